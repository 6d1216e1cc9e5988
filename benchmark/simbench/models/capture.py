"""Capture of layers' outputs during passes; what is wrong with one layer concerns that layer alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from simbench.errors import SimbenchError


@contextmanager
def hooked(module: nn.Module, hook: Callable[[nn.Module, Any, Any], Any]) -> Iterator[None]:
    """Hold a forward hook during the block, and remove it whatever happens in it."""
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@dataclass
class Capture:
    """Outputs of one layer, batch by batch, or the reason why they are no representation."""

    layer: str
    module: nn.Module
    batches: list[Tensor] = field(default_factory=list)
    problem: str | None = None

    @contextmanager
    def during(self, batch: Tensor) -> Iterator[None]:
        """Capture what the layer puts out for a batch of inputs `(n, …)`, on their device, while the block runs."""
        outputs: list[object] = []

        def capture(_module: nn.Module, _arguments: object, output: object) -> None:
            outputs.append(None if self.problem else _kept(output))

        with hooked(self.module, capture):
            yield
        self.problem = self.problem or self._problem(outputs, len(batch))
        if self.problem is None:
            (output,) = outputs
            assert isinstance(output, Tensor)
            self.batches.append(output.to(batch.device))
        else:
            self.batches.clear()

    def _problem(self, outputs: list[object], inputs: int) -> str | None:
        if len(outputs) != 1:
            return not_once(self.layer, len(outputs))
        puts_out, output = f'layer "{self.layer}" puts out', outputs[0]
        if not isinstance(output, Tensor):
            return f"{puts_out} a {output}, not a tensor"
        shape = tuple(output.shape)
        if output.is_complex():
            return f"{puts_out} complex numbers"
        if output.ndim < 2 or shape[0] != inputs:
            return f"{puts_out} {shape} for {inputs} inputs, not (inputs, features, …)"
        if self.batches and self.batches[0].shape[1:] != output.shape[1:]:
            return f"{puts_out} {tuple(self.batches[0].shape[1:])} for some inputs and {shape[1:]} for others"
        return None

    def result(self) -> Tensor | SimbenchError:
        """Return the outputs for all inputs, or why there are none."""
        return torch.cat(self.batches) if self.problem is None else SimbenchError(self.problem)


def _kept(output: object) -> object:
    """Return a tensor as it is now, or the name of the type of anything else.

    A later in-place operation would change it. Integers are read as float64, as those of arrays are.
    """
    if not isinstance(output, Tensor):
        return type(output).__name__
    kept = output.detach().clone()
    return kept if kept.is_floating_point() or kept.is_complex() else kept.double()


def not_once(layer: str, runs: int) -> str:
    """Return the message about a layer that does not run exactly once."""
    return f'layer "{layer}" runs {runs} times in a pass: its output is not one representation'
