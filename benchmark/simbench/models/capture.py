"""Capture of layers' outputs during passes; what is wrong with one layer concerns that layer alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from simbench.errors import SimbenchError
from simbench.models.places import Place, tensors_in
from simbench.representations.tensors import as_floating, dense


@contextmanager
def hooked(module: nn.Module, hook: Callable[[nn.Module, Any, Any], Any]) -> Iterator[None]:
    """Hold a forward hook during the block, and remove it whatever happens in it."""
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


# Receiver of what a layer puts out for a batch, the first of whose inputs is the given one of all.
Sink = Callable[[Tensor, int], None]


@dataclass
class Capture:
    """Outputs of one layer, batch by batch, or the reason why they are no representation.

    They are kept, on the device of the inputs, unless there is a `sink`: it is given each output while the network
    runs, and copies what it keeps. What it was given counts for nothing if `problem` says so in the end.
    """

    place: Place
    sink: Sink | None = None
    batches: list[Tensor] = field(default_factory=list)
    problem: str | None = None
    shape: tuple[int, ...] | None = None

    @property
    def layer(self) -> str:
        """Name of the layer."""
        return self.place.layer

    @contextmanager
    def during(self, batch: Tensor, first: int = 0) -> Iterator[None]:
        """Capture what the layer puts out for a batch of inputs `(n, …)`, of which `first` is the first of all."""
        runs = 0

        def capture(_module: nn.Module, _arguments: object, output: object) -> None:
            nonlocal runs
            runs += 1
            if runs == 1 and self.problem is None:
                self._take(output, batch, first)

        with hooked(self.place.module, capture):
            yield
        if runs != 1:
            self.problem = self.problem or not_once(self.layer, runs)
        if self.problem is not None:
            self.batches.clear()

    def _take(self, output: object, batch: Tensor, first: int) -> None:
        try:
            read = _read(self.place.select(output), self.layer)
        except SimbenchError as error:
            self.problem = str(error)
            return
        self.problem = self._problem(read, len(batch))
        if self.problem is not None or not isinstance(read, Tensor):
            return
        self.shape = tuple(read.shape[1:])
        if self.sink is not None:
            self.sink(read, first)
        else:  # a later in-place operation would change it
            self.batches.append(read.clone().to(batch.device))

    def _problem(self, output: Tensor | str, inputs: int) -> str | None:
        puts_out = f'layer "{self.layer}" puts out'
        if not isinstance(output, Tensor):
            return f"{puts_out} {output}"
        shape = tuple(output.shape)
        if output.is_complex():
            return f"{puts_out} complex numbers"
        if output.ndim < 2 or shape[0] != inputs:
            return f"{puts_out} {shape} for {inputs} inputs, not (inputs, features, …)"
        if self.shape is not None and self.shape != shape[1:]:
            return f"{puts_out} {self.shape} for some inputs and {shape[1:]} for others"
        return None

    def result(self) -> Tensor | SimbenchError:
        """Return the outputs for all inputs, or why there are none."""
        return torch.cat(self.batches) if self.problem is None else SimbenchError(self.problem)


def _read(output: object, layer: str) -> Tensor | str:
    """Return a tensor of numbers, or what else it is.

    Integers are read as float64, and sparse and quantised tensors as the numbers that they stand for, as those of
    arrays are.
    """
    if not isinstance(output, Tensor):
        selectors = tensors_in(output)
        inside = f'; "{layer}{selectors[0]}" is one' if selectors else ""
        return f"a {type(output).__name__}, not a tensor{inside}"
    try:
        return as_floating(dense(output.detach()))
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
