"""Remarks on scores: what to know before a value is believed, counted per test and kind of remark."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")


@dataclass(frozen=True)
class Remark:
    """Remark that some scores of a test carry; remarks that differ in nothing but numbers count as one.

    Attributes:
        text: the first such remark.
        where: the comparison that carries it.
        scores: how many scores carry such a remark.
        asked: how many scores the test asked for.
    """

    text: str
    where: str
    scores: int
    asked: int

    @property
    def kind(self) -> str:
        """Remark without its numbers.

        >>> Remark("saturated: ranks 5 and 7 of 8 rows force 5 of 5 correlations to 1", "", 1, 1).kind
        'saturated: ranks # and # of # rows force # of # correlations to #'
        """
        return NUMBER.sub("#", self.text)


def count_remarks(scores: Iterable[tuple[str, Sequence[str]]], asked: int) -> tuple[Remark, ...]:
    """Count the remarks on the scores of a test, given as (comparison, remarks), by kind, in the order of the first.

    >>> count_remarks([("a → b", ["3 dead units"]), ("a → c", ["1 dead units"])], asked=5)
    (Remark(text='3 dead units', where='a → b', scores=2, asked=5),)
    """
    return merge_remarks(Remark(text, where, 1, asked) for where, texts in scores for text in dict.fromkeys(texts))


def merge_remarks(remarks: Iterable[Remark]) -> tuple[Remark, ...]:
    """Add up remarks of one kind on scores of the same test; the first of each kind is the example."""
    by_kind: dict[str, Remark] = {}
    for remark in remarks:
        earlier = by_kind.get(remark.kind)
        by_kind[remark.kind] = replace(earlier, scores=earlier.scores + remark.scores) if earlier else remark
    return tuple(by_kind.values())
