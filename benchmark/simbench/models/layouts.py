"""Layouts of layers: which axis of an output holds the features, measured layer by layer.

The kinds of evidence, the strongest first:

1. A module that is known to have its features first or last (a convolution, a linear map) put out this very tensor.
2. One feature of what such a module put out last is changed: along the axis of the features, one index changes.
3. The number of features is known from such a module, and only one axis has this size.
4. On inputs of another size, axes of positions change and that of the features stays.
5. On square images, the positions of an output form a square, too.
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
from simbench.models.places import Place
from simbench.representations.layouts import Layout, features_last, positions_form_a_square

POOLS = (_MaxPoolNd, _AvgPoolNd, _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd)
# A subclass of these may permute the axes before and after.
PLAIN = (nn.Linear, nn.LayerNorm, nn.Embedding)
Run = Callable[[Tensor], object]


def measured_layout(network: nn.Module, place: Place, inputs: Tensor, run: Run) -> Layout | None:
    """Return the layout of what a module with an output of three axes or more puts out; None if it cannot be told.

    Args:
        network: the network around the module.
        place: the layer.
        inputs: a few inputs that the network reads.
        run: passes inputs through the network; raises what the network raises.
    """
    size, output = _trace(network, place, inputs, run)
    if output is None:
        return None
    if isinstance(place.module, POOLS):
        return "channels_first"
    shape, squares = tuple(output.shape), _by_squares(inputs, tuple(output.shape))
    if size is not None and size.plain and size.output is output:
        return "channels_first" if size.first else features_last(len(shape))
    by_number = _by_number_of_features(size, shape)
    return (
        _by_one_feature(network, place, inputs, run, size, output)
        or (by_number if squares in (None, by_number) else None)
        or _by_other_sizes(network, place, inputs, run, shape)
        or squares
    )


def layout_by_type(module: nn.Module, axes: int) -> Layout | None:
    """Return the layout of what a module puts out, where its class alone tells it; None where it is to be measured."""
    features = _features_of(module)
    if isinstance(module, POOLS) or (features is not None and features[1]):
        return "channels_first"
    return features_last(axes) if type(module) in PLAIN else None


@dataclass(frozen=True)
class _Size:
    """Number of features that a module puts out, and its output.

    Attributes:
        features: their number.
        first: whether they come before the positions.
        plain: whether the module is sure to leave the axes where they are.
        linear: whether it is a linear map.
        output: what the module put out.
        run: the how many-th run of such a module it was.
    """

    features: int
    first: bool
    plain: bool
    linear: bool
    output: Tensor
    run: int

    @property
    def axis(self) -> int | None:
        """Axis of the module's output that holds the features; None if it cannot be told."""
        shape = self.output.shape
        if self.plain:
            return 1 if self.first else len(shape) - 1
        axes = [axis for axis in (1, len(shape) - 1) if shape[axis] == self.features]
        return axes[0] if len(axes) == 1 else None


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
    network: nn.Module, place: Place, inputs: Tensor, run: Run, changed: _Size | None = None
) -> tuple[_Size | None, Tensor | None]:
    """Run the network; return the last module before the end of the layer that tells its features, and the output.

    Args:
        network: the network around the layer.
        place: the layer.
        inputs: a few inputs that the network reads.
        run: passes inputs through the network.
        changed: what was put out in a run before, to put out again with its first feature changed.
    """
    last: list[_Size] = []
    ended: list[tuple[_Size | None, Tensor]] = []
    runs = 0

    def note(module: nn.Module, _arguments: object, output: object) -> Tensor | None:
        nonlocal runs
        features = _features_of(module)
        if features is None or not isinstance(output, Tensor):
            return None
        runs += 1
        count, first = features
        plain, linear = first or type(module) in PLAIN, isinstance(module, nn.Linear)
        last[:] = [_Size(count, first, plain, linear, output, runs)]
        return _with_first_feature_changed(changed) if changed is not None and changed.run == runs else None

    def end(_module: nn.Module, _arguments: object, output: object) -> None:
        output = place.select(output)
        if isinstance(output, Tensor):
            ended.append((last[0] if last else None, output))

    with torch.no_grad(), ExitStack() as hooks:
        for module in network.modules():
            if _features_of(module) is not None:
                hooks.enter_context(hooked(module, note))
        hooks.enter_context(hooked(place.module, end))
        run(inputs)
    return ended[0] if ended else (None, None)


def _with_first_feature_changed(size: _Size) -> Tensor:
    """Return what a module put out, with its first feature far larger at all positions."""
    assert size.axis is not None
    output = size.output.clone()
    output.select(size.axis, 0).add_(1 + output.abs().max())
    return output


def _by_one_feature(
    network: nn.Module, place: Place, inputs: Tensor, run: Run, size: _Size | None, output: Tensor
) -> Layout | None:
    if size is None or size.axis is None or not output.is_floating_point():
        return None
    _, other = _trace(network, place, inputs, run, size)
    if other is None or other.shape != output.shape:
        return None
    differs = (other != output).movedim(-1, 2)
    differs = differs.reshape(*differs.shape[:3], -1)
    first, last = (int(differs.sum(dim=axes).count_nonzero()) for axes in ((0, 2, 3), (0, 1, 3)))
    if first == 1 < last:
        # a linear map that comes out first may map tokens to tokens: then these are no features
        return "channels_first" if size.first or not size.linear else None
    return features_last(output.ndim) if last == 1 < first else None


def _by_number_of_features(size: _Size | None, output: tuple[int, ...]) -> Layout | None:
    if size is None:
        return None
    first, last = output[1] == size.features, output[-1] == size.features
    if last:
        return None if first else features_last(len(output))
    # a linear map over the tokens of a sequence has as many outputs as there are tokens
    return "channels_first" if first and (size.first or len(output) > 3) else None


def _by_other_sizes(
    network: nn.Module, place: Place, inputs: Tensor, run: Run, output: tuple[int, ...]
) -> Layout | None:
    layouts: set[Layout] = set()
    for resized in _resized(inputs):
        try:
            _, other = _trace(network, place, resized, run)
        except Exception:  # many networks read one size only, and raise anything: then this measures nothing
            continue
        if other is None or other.ndim != len(output):
            continue
        first, last = other.shape[1] == output[1], other.shape[-1] == output[-1]
        if first != last:
            layouts.add("channels_first" if first else features_last(len(output)))
    return layouts.pop() if len(layouts) == 1 else None


def _resized(inputs: Tensor) -> Iterator[Tensor]:
    """Yield the inputs with other numbers of positions: half the tokens, or twice the size of images or sequences.

    Where it cannot be told which axes of the inputs are positions, yield either; a network with weights of its own
    reads one of them only.
    """
    if inputs.ndim == 2:
        if not inputs.is_floating_point() and inputs.shape[1] > 1:
            yield inputs[:, : inputs.shape[1] // 2]
        return
    first, last = positions_form_a_square(tuple(inputs.shape))
    if first or not last:
        yield inputs.repeat(1, 1, *[2] * (inputs.ndim - 2))
    if last or not first:
        yield inputs.repeat(1, *[2] * (inputs.ndim - 2), 1)


def _by_squares(inputs: Tensor, output: tuple[int, ...]) -> Layout | None:
    if len(output) < 4 or not any(positions_form_a_square(tuple(inputs.shape))):
        return None
    first, last = positions_form_a_square(output)
    if first == last:
        return None
    return "channels_first" if first else "channels_last"
