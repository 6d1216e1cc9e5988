"""Try whether code of the user's own makes a network that reads its inputs, before anything is trained or loaded."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from simbench.errors import SimbenchError, UnknownNameError, is_failure
from simbench.lazy import lazy_import
from simbench.tracebacks import described_at

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from simbench.models.architecture import Architecture
    from simbench.models.places import Place
else:
    torch = lazy_import("torch")

# Inputs of a pass: two, so that no batch axis is taken for another; and labels of the network.
INPUTS, LABELS = 2, 2


def trial_problem(
    architecture: Architecture, parameters: Mapping[str, Any], input_shape: tuple[int, ...]
) -> str | None:
    """Return in one line what an architecture raises, when it is built or reads inputs; None if it raises nothing.

    It is tried without weights, and with them only if that fails, as code that looks at values does. What it prints is
    left out.
    """
    problem = None
    for device in ("meta", "cpu"):
        with contextlib.redirect_stdout(io.StringIO()), torch.random.fork_rng(devices=[]), torch.device(device):
            problem = _problem(architecture, parameters, input_shape)
        if problem is None:
            return None
    return problem


def _problem(architecture: Architecture, parameters: Mapping[str, Any], input_shape: tuple[int, ...]) -> str | None:
    try:
        network = architecture.build(input_shape, LABELS, **parameters).eval()
    except SimbenchError as error:
        return str(error)
    if getattr(network, "preprocess", None) is not None:
        return None  # what it reads is known to its preprocessing alone
    refusals = [_refusal(network, inputs) for inputs in (torch.zeros(INPUTS, *input_shape), _token_ids(input_shape))]
    if None in refusals:
        return None
    shape = ", ".join(map(str, ("n", *input_shape)))
    return f"{architecture.name} reads no inputs of shape ({shape}): {refusals[0]}"


def _token_ids(input_shape: tuple[int, ...]) -> Tensor:
    return torch.zeros(INPUTS, *input_shape, dtype=torch.long)


def _refusal(network: nn.Module, inputs: Tensor) -> str | None:
    """Return what a network raises when it reads inputs; None if it reads them."""
    try:
        with torch.no_grad():
            network(inputs)
    except BaseException as error:  # the user's own code may raise anything
        if not is_failure(error):
            raise
        return described_at(error)
    return None


def missing_layers(network: nn.Module, layers: Sequence[str], input_shape: tuple[int, ...], kind: str) -> Iterator[str]:
    """Yield a line for every layer that a network without weights does not have, or that is no part of an output.

    Args:
        network: the network, on the meta device.
        layers: the names.
        input_shape: shape of one input.
        kind: the word for a layer in messages.
    """
    from simbench.models.places import place_of

    selected = []
    for layer in layers:
        try:
            place = place_of(network, layer)
        except UnknownNameError as error:
            yield str(UnknownNameError(kind, error.name, error.valid))
            continue
        if place.selectors:
            selected.append(place)
    yield from _unselectable(network, selected, input_shape) if selected else ()


def _unselectable(network: nn.Module, places: Sequence[Place], input_shape: tuple[int, ...]) -> list[str]:
    """Return why some elements are in no output, as far as the network reads inputs without weights."""
    problems: dict[str, str] = {}

    def look(place: Place) -> Callable[[nn.Module, object, object], None]:
        def hook(_module: nn.Module, _arguments: object, output: object) -> None:
            try:
                place.select(output)
            except SimbenchError as error:
                problems[place.layer] = str(error)

        return hook

    handles = [place.module.register_forward_hook(look(place)) for place in places]
    try:
        with contextlib.redirect_stdout(io.StringIO()), torch.random.fork_rng(devices=[]), torch.device("meta"):
            forms = (torch.zeros(INPUTS, *input_shape), _token_ids(input_shape))
            reads = any(_refusal(network.eval(), inputs) is None for inputs in forms)
    finally:
        for handle in handles:
            handle.remove()
    return list(problems.values()) if reads else []
