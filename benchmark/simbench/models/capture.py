"""Capture of layers' outputs during passes; what is wrong with one layer concerns that layer alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from simbench.errors import SimbenchError
from simbench.representations.tensors import as_floating, dense


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
        outputs: list[Tensor | str | None] = []

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

    def _problem(self, outputs: list[Tensor | str | None], inputs: int) -> str | None:
        if len(outputs) != 1:
            return not_once(self.layer, len(outputs))
        puts_out, output = f'layer "{self.layer}" puts out', outputs[0]
        if not isinstance(output, Tensor):
            return f"{puts_out} {output}"
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


def _kept(output: object) -> Tensor | str:
    """Return a tensor of numbers as it is now, or what else it is.

    A later in-place operation would change it. Integers are read as float64, and sparse and quantised tensors as the
    numbers that they stand for, as those of arrays are.
    """
    if not isinstance(output, Tensor):
        return f"a {type(output).__name__}, not a tensor"
    try:
        return as_floating(dense(output.detach())).clone()
    except ValueError as error:
        return f"what cannot be read: {error}"


def not_once(layer: str, runs: int) -> str:
    """Return the message about a layer that does not run exactly once."""
    return f'layer "{layer}" runs {runs} times in a pass: its output is not one representation'


def like(activations: Tensor, output: Tensor) -> Tensor:
    """Return activations in the form of a layer's own output: its dtype, or quantised as it is."""
    if not output.is_quantized:
        return activations.to(output.dtype)
    scheme = output.qscheme()
    if scheme in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        return torch.quantize_per_tensor(activations, output.q_scale(), output.q_zero_point(), output.dtype)
    scales, zeros, axis = output.q_per_channel_scales(), output.q_per_channel_zero_points(), output.q_per_channel_axis()
    return torch.quantize_per_channel(activations, scales, zeros, axis, output.dtype)
