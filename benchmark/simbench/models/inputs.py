"""Inputs as a network reads them: integers where it takes integers, numbers in the dtype that it computes in."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain

import torch
from torch import Tensor, nn

from simbench.errors import SimbenchError
from simbench.representations.tensors import NARROWEST

# Inputs on which it is tried whether a network takes integers: two, so that no batch axis is taken for another.
TRIAL = 2


def floating_dtype(network: nn.Module) -> torch.dtype | None:
    """Return the dtype of the first parameter, or else buffer, that is floating point and no quantised weight.

    None if there is none.
    """
    for tensor in chain(network.parameters(), network.buffers()):
        if tensor.is_floating_point() and torch.finfo(tensor.dtype).bits >= NARROWEST:
            return tensor.dtype
    return None


@dataclass
class InputReader:
    """Hand inputs to a network in the form that it reads.

    Numbers are cast to the network's dtype. Integers, such as token ids, stay integers if the network takes them, which
    is tried once; a network that does not (one of images, given as bytes) gets them as numbers. Numbers that are all
    whole, and that the network's dtype cannot hold, are integers that were stored as floats.
    """

    network: nn.Module
    _takes_integers: bool | None = field(default=None, init=False)

    def read(self, inputs: Tensor) -> Tensor:
        """Return inputs `(n, …)` on the network's device and in the dtype that it reads.

        Raises:
            SimbenchError: the inputs are complex, or integers that the network takes neither as such nor as numbers.
        """
        if inputs.is_complex():
            raise SimbenchError("the inputs are complex numbers, which networks do not read here")
        first = next(self.network.parameters(), None)
        inputs = inputs if first is None else inputs.to(first.device)
        dtype = floating_dtype(self.network)
        if inputs.is_floating_point():
            numbers = inputs if dtype is None else inputs.to(dtype)
            if numbers.dtype == inputs.dtype or not _are_rounded_integers(inputs, numbers):
                return numbers
        else:
            numbers = inputs.to(dtype or torch.get_default_dtype())
            if inputs.dtype == torch.bool:
                return numbers
        integers = inputs.long()
        if not getattr(self.network, "reads_padding", True) and integers.numel() and int(integers.min()) < 0:
            raise SimbenchError(f"{type(self.network).__name__} reads whole sequences, and some of these have padding")
        if self._takes_integers is None:
            self._takes_integers = self._try(integers[:TRIAL], numbers[:TRIAL])
        return integers if self._takes_integers else numbers

    def _try(self, integers: Tensor, numbers: Tensor) -> bool:
        """Return whether the network takes integers; raise if it takes the same numbers neither."""
        if getattr(self.network, "vocabulary", None) is not None:
            return True
        refusals = []
        trained = self.network.training
        try:
            for form in (integers, numbers):
                try:
                    with torch.no_grad(), torch.random.fork_rng(devices=[]):
                        self.network.eval()(form)
                except Exception as error:  # somebody else's network may raise anything; both refusals are reported
                    refusals.append(" ".join(str(error).split())[:200] or type(error).__name__)
                else:
                    return not refusals
        finally:
            self.network.train(trained)
        raise SimbenchError(
            f"{type(self.network).__name__} reads the inputs neither as integers ({refusals[0]}) "
            f"nor as numbers ({refusals[1]})"
        )


def are_whole(inputs: Tensor) -> bool:
    """Return whether all inputs are whole numbers: token ids, in whatever dtype.

    >>> are_whole(torch.tensor([3.0, 5.0])), are_whole(torch.tensor([0.5]))
    (True, False)
    """
    if inputs.is_floating_point():
        return torch.equal(inputs, inputs.round())
    return not inputs.is_complex()


def _are_rounded_integers(inputs: Tensor, cast: Tensor) -> bool:
    """Return whether the inputs are whole numbers, some of which became others by the cast."""
    return are_whole(inputs) and not torch.equal(cast.to(inputs.dtype), inputs)
