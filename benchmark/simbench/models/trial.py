"""Try whether code of the user's own makes a network that reads its inputs, before anything is trained or loaded."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from simbench.errors import SimbenchError, is_failure
from simbench.lazy import lazy_import
from simbench.tracebacks import described_at

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from simbench.models.architecture import Architecture
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
