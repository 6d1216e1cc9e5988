"""The maps of many pairs, each solved for or trained in good company, and the scores that are read off them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from simbench.errors import NotApplicable
from simbench.metrics.metric import Pairs, Score
from simbench.metrics.stitching.affine_maps import Affine, DirectMatching, fits_of, grid, require_map, require_rows
from simbench.metrics.stitching.map_forms import ANY, Form
from simbench.metrics.stitching.scores import receiver_accuracy
from simbench.metrics.stitching.trained_maps import Training, groups_trained_together, trained_maps

if TYPE_CHECKING:
    from simbench.representations.representation import Representation

ReadOff = Callable[["Representation", "Representation", Affine], Score]
"""(sender, receiver, map) → a score; `NotApplicable` where there is none."""
FoundMaps = Iterable[tuple[int, Affine | NotApplicable]]
"""The position of a pair, and its map or the reason why it has none; in any order."""


def directly_matched(
    read_off: ReadOff, representations: Sequence[Representation], pairs: Pairs, form: Form = ANY
) -> list[Score]:
    """Solve for each pair's map and read a score off it; a pair that has none is skipped with the reason."""
    return scored(read_off, representations, pairs, direct_maps(representations, pairs, form))


def task_matched(
    read_off: ReadOff, representations: Sequence[Representation], pairs: Pairs, training: Training
) -> list[Score]:
    """Train each pair's map and read a score off it; a pair that has none is skipped with the reason."""
    return scored(read_off, representations, pairs, task_maps(representations, pairs, training))


def direct_maps(representations: Sequence[Representation], pairs: Pairs, form: Form = ANY) -> FoundMaps:
    """One Gram matrix per sender and target size."""
    matching = DirectMatching(form)
    for position in sorted(range(len(pairs)), key=lambda k: (pairs[k][0], grid(representations[pairs[k][1]]))):
        try:
            yield position, matching.map_of(*(representations[side] for side in pairs[position]))
        except NotApplicable as reason:
            yield position, reason


def task_maps(representations: Sequence[Representation], pairs: Pairs, training: Training) -> FoundMaps:
    """All senders of one receiving layer are trained together; where nothing can be stitched, nothing is trained."""
    chosen = [(representations[a], representations[b]) for a, b in pairs]
    reasons = {k: reason for k, pair in enumerate(chosen) if (reason := _impossible(*pair, training)) is not None}
    yield from reasons.items()
    possible = [position for position in range(len(pairs)) if position not in reasons]
    for group in groups_trained_together([chosen[position] for position in possible]):
        together = [possible[index] for index in group]
        yield from zip(together, trained_maps([chosen[k] for k in together], training), strict=True)


def scored(read_off: ReadOff, representations: Sequence[Representation], pairs: Pairs, maps: FoundMaps) -> list[Score]:
    """The scores of the pairs, in their order."""
    return [score for _, score in sorted(_scores(read_off, representations, pairs, maps), key=lambda found: found[0])]


def _scores(
    read_off: ReadOff, representations: Sequence[Representation], pairs: Pairs, maps: FoundMaps
) -> Iterator[tuple[int, Score]]:
    for position, found in maps:
        sender, receiver = (representations[side] for side in pairs[position])
        try:
            if isinstance(found, NotApplicable):
                raise found
            yield position, read_off(sender, receiver, found)
        except NotApplicable as reason:
            yield position, Score.skip(str(reason))


def _impossible(sender: Representation, receiver: Representation, training: Training) -> NotApplicable | None:
    """Why nothing can be stitched here, before anything is trained."""
    try:
        require_map(sender, receiver)
        receiver_accuracy(receiver)
        if training.start == "direct":
            require_rows(*fits_of(sender, receiver))
    except NotApplicable as reason:
        return reason
    return None
