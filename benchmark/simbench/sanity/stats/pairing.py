"""Pairing: whether an index tells a layer from the same rows in another order.

Spectra and norms alone order real layers well enough for many questions, and know nothing of which input a row belongs
to. So an index that claims to pair inputs, and does not, has the grade 0 whatever it is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from simbench.references import Comparison, ModelGroup, Named, RepresentationRef
from simbench.seeds import seed_for


class PairingCheck(NamedTuple):
    """A layer against itself, and against its shuffled rows: an index that pairs inputs holds the former for closer."""

    own: Comparison
    unrelated: Comparison

    @classmethod
    def of(cls, layer: RepresentationRef) -> PairingCheck:
        """Return the check of a layer."""
        return cls(Comparison(layer, layer), shuffled(layer))


def shuffled(a: RepresentationRef) -> Comparison:
    """Compare a row-shuffled copy of `a` with `a`: the same values, no shared inputs. All tests share one shuffle."""
    seed = seed_for(transform="row_shuffle", model=str(a.model), layer=a.layer)
    return Comparison(a.under(Named.of("row_shuffle", seed=seed)), a)


def checks_of_models(groups: Sequence[ModelGroup], level: str) -> Iterator[PairingCheck]:
    """Yield the check of every model, at the layer that its head reads, else at its last layer."""
    for group in groups:
        layer = group.embedding_layer or (group.layers[-1] if group.layers and level == "layers" else None)
        if layer is not None:
            yield from (PairingCheck.of(RepresentationRef(model, layer)) for model in group.models)
