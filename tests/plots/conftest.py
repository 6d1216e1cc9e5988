"""A board and its scores, made by hand: a sound metric, one that confuses layers, a distance, and one that failed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.board.infos import metric_info

from simbench.board.board import Board, BoardColumn, Row
from simbench.board.evidence import Evidence, evidence_of
from simbench.board.scores import ScoreRow
from simbench.board.standing import board_of
from simbench.declaration import MetricInfo
from simbench.references import Comparison, ModelRef, RepresentationRef
from simbench.verdicts.verdict import Trial, Verdict

LAYERS = ("block1", "block2", "block3")
TRANSFORMS = ("orthogonal", "invertible_linear")
IDENTITY = BoardColumn("identity", "identity", ">= 0.95", "")
CORRESPONDENCE = BoardColumn("correspondence", "correspondence", ">= 0.95", "")
COLUMNS = (
    IDENTITY,
    CORRESPONDENCE,
    BoardColumn("invariance", "invariance", ">= 0.95", ""),
    *(BoardColumn(f"invariance/{name}", "invariance", ">= 0.95", "", "invariance") for name in TRANSFORMS),
)
VALUES = {
    "sound": [[1.0, 0.5, 0.2], [0.5, 1.0, 0.5], [0.2, 0.5, 1.0]],
    "confused": [[0.5, 0.9, 0.2], [0.4, 0.8, 0.5], [0.2, 0.5, 0.7]],
    "far": [[0.0, 1.0, 2.0], [1.0, 0.0, 1.0], [2.0, 1.0, 0.0]],
}


def place(seed: int, layer: str) -> RepresentationRef:
    return RepresentationRef(ModelRef("cnn", seed), layer)


def info(label: str, **changes: object) -> MetricInfo:
    return metric_info(label, family="CKA", **{"higher_is_more_similar": label != "far", **changes})


def graded(grade: float, *violating: Comparison) -> Verdict:
    trials = tuple(Trial(str(one), ("cnn/0",), False, -0.1, violating=(one,)) for one in violating)
    interval = (max(0.0, grade - 0.1), min(1.0, grade + 0.1))
    return Verdict("ok", grade=grade, interval=interval, passed=grade >= 0.95, comparisons=9, trials=trials)


def row(label: str, *grades: float | None, **changes: object) -> Row:
    found = [Verdict("skip", reason="does not apply") if grade is None else graded(grade) for grade in grades]
    verdicts = {column.id: one for column, one in zip(COLUMNS, found, strict=True)}
    if label == "confused":
        broken = Comparison(place(0, "block1"), place(0, "block2"))
        verdicts["identity"] = graded(2 / 3, broken)
    return Row(info(label, **changes), verdicts, 9, 1.0)


@pytest.fixture
def board() -> Board:
    """Three ranked metrics and one that is not."""
    return with_rows(
        [
            row("sound", 1.0, 0.98, 1.0, 1.0, 1.0),
            row("confused", 0.67, 0.5, 0.5, 1.0, 0.0),
            row("far", 1.0, 1.0, 0.7, 1.0, 0.4),
            row("headed", 1.0, None, 1.0, 1.0, 1.0, level="head"),
        ]
    )


def with_rows(rows: Sequence[Row]) -> Board:
    """A board of these rows."""
    return board_of("sanity", 1, "", COLUMNS, rows, {})


@pytest.fixture
def scores() -> list[ScoreRow]:
    """The scores of the first two tests: every layer against every layer; across three pairs of seeds, and a head."""
    found = []
    for test, pairs in (("identity", [(0, 0)]), ("correspondence", [(0, 1), (1, 2), (2, 0)])):
        for label, values in VALUES.items():
            for step, seeds in enumerate(pairs):
                for i, a in enumerate(LAYERS):
                    for j, b in enumerate(LAYERS):
                        comparison = Comparison(place(seeds[0], a), place(seeds[1], b))
                        found.append(score(label, test, comparison, values[i][j] + 0.1 * step))
    for one in range(2):
        for other in range(2):
            comparison = Comparison(place(one, "block3"), place(other, "block3"))
            found.append(score("headed", "identity", comparison, float(one == other)))
    return found


def score(label: str, test: str, comparison: Comparison, value: float | None) -> ScoreRow:
    where = ScoreRow.place_of(comparison)
    status = "skip" if value is None else "ok"
    return ScoreRow(label, test, *where, status, value, None, None, "", "", 0.1, f"{label} {test} {comparison}")


@pytest.fixture
def evidence(board: Board, scores: list[ScoreRow]) -> Evidence:
    """What stands behind the board."""
    return evidence_of(board, scores)
