"""Layouts of layers: which axis of an output holds the features, measured layer by layer.

Three kinds of evidence, the strongest first:

1. The number of features is known from the module that ran last in the layer, or before it (a convolution's channels, a
   linear map's outputs), and only one axis has this size. Where two have it, the kind of the module decides, if the
   layer passes on its output in the same shape.
2. On inputs of another size, axes of positions change and that of the features stays.
3. On square images, the positions of an output form a square, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd, _AvgPoolNd, _MaxPoolNd

from simbench.models.capture import hooked
from simbench.representations.layouts import Layout, features_last, positions_form_a_square

POOLS = (_MaxPoolNd, _AvgPoolNd, _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd)
# A subclass of these may permute the axes before and after.
PLAIN = (nn.Linear, nn.LayerNorm, nn.Embedding)
Run = Callable[[Tensor], object]


def measured_layout(network: nn.Module, module: nn.Module, inputs: Tensor, run: Run) -> Layout | None:
    """Return the layout of what a module with an output of three axes or more puts out; None if it cannot be told.

    Args:
        network: the network around the module.
        module: the layer.
        inputs: a few inputs that the network reads.
        run: passes inputs through the network; raises what the network raises.
    """
    sizes, output = _trace(network, module, inputs, run)
    if output is None:
        return None
    if isinstance(module, POOLS):
        return "channels_first"
    return (
        _by_number_of_features(sizes, output)
        or _by_other_sizes(network, module, inputs, run, output)
        or _by_squares(inputs, output)
    )


@dataclass(frozen=True)
class _Size:
    """Number of features that a module puts out, and the shape of its output.

    Attributes:
        features: their number.
        first: whether they come before the positions.
        plain: whether the module is sure to leave the axes where they are.
        shape: that of the output.
    """

    features: int
    first: bool
    plain: bool
    shape: tuple[int, ...]


def _features_of(module: nn.Module) -> tuple[int, bool] | None:
    """Return the number of features that a module puts out, and whether they come before the positions."""
    if isinstance(module, _ConvNd):
        return module.out_channels, True
    if isinstance(module, _NormBase):
        return module.num_features, True
    if isinstance(module, nn.GroupNorm):
        return module.num_channels, True
    if isinstance(module, nn.Linear):
        return module.out_features, False
    if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1:
        return module.normalized_shape[0], False
    if isinstance(module, nn.Embedding):
        return module.embedding_dim, False
    return None


def _trace(
    network: nn.Module, layer: nn.Module, inputs: Tensor, run: Run
) -> tuple[_Size | None, tuple[int, ...] | None]:
    """Run the network; return the last module before the end of the layer that tells its features, and the shape."""
    last: list[_Size] = []
    ended: list[tuple[_Size | None, tuple[int, ...]]] = []

    def note(module: nn.Module, _arguments: object, output: object) -> None:
        features = _features_of(module)
        if features is not None and isinstance(output, Tensor):
            count, first = features
            last[:] = [_Size(count, first, first or type(module) in PLAIN, tuple(output.shape))]

    def end(_module: nn.Module, _arguments: object, output: object) -> None:
        if isinstance(output, Tensor):
            ended.append((last[0] if last else None, tuple(output.shape)))

    with torch.no_grad(), ExitStack() as hooks:
        for module in network.modules():
            if _features_of(module) is not None:
                hooks.enter_context(hooked(module, note))
        hooks.enter_context(hooked(layer, end))
        run(inputs)
    return ended[0] if ended else (None, None)


def _by_number_of_features(size: _Size | None, output: tuple[int, ...]) -> Layout | None:
    if size is None:
        return None
    first, last = output[1] == size.features, output[-1] == size.features
    if first and last:
        if not size.plain or size.shape != output:
            return None
        return "channels_first" if size.first else features_last(len(output))
    if last:
        return features_last(len(output))
    # a linear map over the tokens of a sequence has as many outputs as there are tokens
    return "channels_first" if first and (size.first or len(output) > 3) else None


def _by_other_sizes(
    network: nn.Module, module: nn.Module, inputs: Tensor, run: Run, output: tuple[int, ...]
) -> Layout | None:
    for resized in _resized(inputs):
        try:
            _, other = _trace(network, module, resized, run)
        except Exception:  # many networks read one size only, and raise anything: then this measures nothing
            continue
        if other is None or len(other) != len(output):
            continue
        first, last = other[1] == output[1], other[-1] == output[-1]
        if first != last:
            return "channels_first" if first else features_last(len(output))
    return None


def _resized(inputs: Tensor) -> Iterator[Tensor]:
    """Yield the inputs with other numbers of positions: half the tokens, or twice the size of images or sequences."""
    if inputs.ndim == 2:
        if not inputs.is_floating_point() and inputs.shape[1] > 1:
            yield inputs[:, : inputs.shape[1] // 2]
        return
    yield inputs.repeat(1, 1, *[2] * (inputs.ndim - 2))
    yield inputs.repeat(1, 2, *[1] * (inputs.ndim - 2))


def _by_squares(inputs: Tensor, output: tuple[int, ...]) -> Layout | None:
    if len(output) < 4 or not any(positions_form_a_square(tuple(inputs.shape))):
        return None
    first, last = positions_form_a_square(output)
    if first == last:
        return None
    return "channels_first" if first else "channels_last"
