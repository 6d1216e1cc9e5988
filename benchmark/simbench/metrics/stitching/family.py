"""Factory of stitching metrics: a way to find affine maps and a score read off the stitch make a metric."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Any, Protocol, get_type_hints

from simbench.declaration import MapSearch
from simbench.errors import NotApplicable
from simbench.metrics.metric import Pairs, Score, metric
from simbench.metrics.stitching.affine_maps import Affine, MapsOfPairs, solve_maps, where_rows_are_inputs
from simbench.metrics.stitching.map_forms import MapForm, Unrestricted
from simbench.metrics.stitching.trained_maps import AdamSettings, Aim, Start, TaskTraining, train_maps

if TYPE_CHECKING:
    from simbench.representations.representation import Representation

NEEDS = frozenset({"model", "fit", "targets"})

# (sender, receiver, map) → score; raises `NotApplicable` where there is none.
ReadOff = Callable[["Representation", "Representation", Affine], Score]


class Maps(Protocol):
    """A way to find the maps of many pairs."""

    @property
    def search(self) -> MapSearch | None:
        """Name of the way, where `stitch_in_distribution` finds the same maps."""

    @property
    def parameters(self) -> tuple[type, ...]:
        """Dataclasses whose fields are the parameters of a metric with these maps."""

    def find(self, representations: Sequence[Representation], pairs: Pairs, **parameters: Any) -> MapsOfPairs:
        """Find the maps of pairs of a sender and a receiver."""


@dataclass(frozen=True)
class SolvedMaps:
    """Direct matching: T = argmin ‖T R f_i − g_j‖² over the maps of a form, in closed form."""

    form: type[MapForm] = Unrestricted

    @property
    def search(self) -> MapSearch | None:
        """`direct` for unrestricted maps."""
        return "direct" if self == SolvedMaps() else None

    @property
    def parameters(self) -> tuple[type, ...]:
        """Parameters of the form."""
        return (self.form,)

    def find(self, representations: Sequence[Representation], pairs: Pairs, **parameters: Any) -> MapsOfPairs:
        """Solve for the maps."""
        return solve_maps(representations, pairs, self.form(**parameters))


@dataclass(frozen=True)
class TrainedMaps:
    """Task loss matching: T learns to make the stitched network predict labels, or the receiver's own outputs."""

    form: type[MapForm] = Unrestricted
    start: Start = "random"
    aim: Aim = "labels"

    @property
    def search(self) -> MapSearch | None:
        """`task` for unrestricted maps that start at random and learn labels."""
        return "task" if self == TrainedMaps() else None

    @property
    def parameters(self) -> tuple[type, ...]:
        """Parameters of the form and of the optimiser."""
        return self.form, AdamSettings

    def find(self, representations: Sequence[Representation], pairs: Pairs, **parameters: Any) -> MapsOfPairs:
        """Train the maps."""
        form = self.form(**{name: parameters.pop(name) for name in _annotated(self.form) if name in parameters})
        training = TaskTraining(**parameters, form=form, start=self.start, aim=self.aim)
        return train_maps(representations, pairs, training)


def stitching(
    maps: Maps,
    score: ReadOff,
    *,
    formula: str,
    reference: str,
    higher_is_more_similar: bool = True,
    value_range: tuple[float, float] = (0, 1),
    invariant_to: AbstractSet[str] = frozenset(),
    needs: AbstractSet[str] = NEEDS,
    default: bool = False,
    version: int = 1,
    runs_network: bool = True,
) -> Callable[[Callable[[], None]], Callable[..., Score]]:
    """Turn an empty function, which gives name and documentation, into a registered stitching metric.

    The parameters of the metric are those of its maps. What runs the stitched network maps every position, whatever the
    suite's spatial rule; what does not learns and is evaluated on rows that are inputs, where the rule makes them so.
    """

    def compare_many(representations: Sequence[Representation], pairs: Pairs, **parameters: Any) -> list[Score]:
        if not runs_network:
            representations = [where_rows_are_inputs(representation) for representation in representations]
        return read_off_maps(score, representations, pairs, maps.find(representations, pairs, **parameters))

    def decorate(described: Callable[[], None]) -> Callable[..., Score]:
        @wraps(described)
        def compare(sender: Representation, receiver: Representation, **parameters: Any) -> Score:
            return compare_many([sender, receiver], [(0, 1)], **parameters)[0]

        _set_signature(compare, maps.parameters)
        return metric(
            described.__name__,
            version=version,
            higher_is_more_similar=higher_is_more_similar,
            value_range=value_range,
            invariant_to=invariant_to,
            needs=needs,
            family="stitching",
            formula=formula,
            reference=reference,
            default=default,
            cost="heavy" if isinstance(maps, TrainedMaps) else "light",
            map=maps.search,
            compare_many=compare_many,
        )(compare)

    return decorate


def read_off_maps(
    score: ReadOff, representations: Sequence[Representation], pairs: Pairs, maps: MapsOfPairs
) -> list[Score]:
    """Read a score off each pair's map, in the order of the pairs; skip a pair that has none, with the reason."""
    scores: dict[int, Score] = {}
    for position, stitched in maps:
        sender, receiver = (representations[side] for side in pairs[position])
        try:
            if isinstance(stitched, NotApplicable):
                raise stitched
            scores[position] = score(sender, receiver, stitched)
        except NotApplicable as reason:
            scores[position] = Score.skip(str(reason))
    return [scores[position] for position in range(len(pairs))]


def _set_signature(function: Callable[..., Score], sources: Collection[type]) -> None:
    """Give a function of sender and receiver keyword-only parameters: the fields of dataclasses."""
    annotated = {name: hint for source in sources for name, hint in _annotated(source).items()}
    defaults = {field.name: field.default for source in sources for field in fields(source)}
    positional = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ("sender", "receiver")]
    keywords = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=hint)
        for name, hint in annotated.items()
    ]
    function.__annotations__ = annotated
    function.__dict__["__signature__"] = inspect.Signature([*positional, *keywords], return_annotation=Score)


def _annotated(source: type) -> dict[str, Any]:
    """Return the fields of a dataclass and their types, bounds included."""
    return get_type_hints(source, include_extras=True)
