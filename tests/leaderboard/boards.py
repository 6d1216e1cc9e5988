"""Boards to render: made by hand, with every status a cell can have."""

from __future__ import annotations

from simbench.leaderboard.board import Board, MetricInfo, Row, TestColumn
from simbench.leaderboard.ranking import board_of
from simbench.sanity.verdict import Offender, Verdict

TRANSFORMS = ("permutation", "isotropic_scaling", "translation", "orthogonal", "invertible_linear")
COLUMNS = (
    TestColumn("identity", "identity", ">= 0.95", "Within a network, no other layer is as similar as the layer itself."),
    TestColumn("correspondence", "correspondence", ">= 0.95", "The same layer beats layers at least 3 away."),
    TestColumn("invariance", "invariance", ">= 0.95", "A function-preserving transform changes no similarity."),
    *(TestColumn(f"invariance/{name}", "invariance", ">= 0.95", "", "invariance") for name in TRANSFORMS),
    TestColumn("sensitivity", "distribution_sensitivity", ">= 0.9", "Close in KL is not the same."),
)
PROVENANCE = {
    "created": "2025-01-31T12:00:00+00:00",
    "commit": "0123456789abcdef",
    "dirty": False,
    "versions": {"simbench": "0.1.0", "torch": "2.4.0"},
    "device": "cpu",
    "jobs": 2,
}


def info(label: str, **changes: object) -> MetricInfo:
    """What a board shows of a metric."""
    fields: dict[str, object] = {
        "identity": f"{label}@1",
        "family": "CKA",
        "summary": "The cosine of two centred Gram matrices.",
        "formula": "‖ỸᵀX̃‖² / (‖X̃ᵀX̃‖ ‖ỸᵀỸ‖)",
        "reference": "Kornblith et al. (2019), Eq. 4",
        "origin": "simbench/metrics/cka.py:10",
        "higher_is_more_similar": True,
        "level": "layers",
    }
    return MetricInfo(label, **{**fields, **changes})  # type: ignore[arg-type]


def graded(grade: float, passes_from: float = 0.95, **changes: object) -> Verdict:
    """A verdict with a grade and an interval around it."""
    interval = (max(0.0, grade - 0.05), min(1.0, grade + 0.02))
    fields = {"grade": grade, "interval": interval, "passed": grade >= passes_from, "comparisons": 120, **changes}
    return Verdict("ok", **fields)  # type: ignore[arg-type]


def row(label: str, grades: dict[str, float | Verdict], seconds: float = 1.5, **changes: object) -> Row:
    """A row with verdicts from grades."""
    verdicts = {name: value if isinstance(value, Verdict) else graded(value) for name, value in grades.items()}
    return Row(info(label, **changes), verdicts, comparisons=400, seconds=seconds)


def full_row(label: str, *grades: float, seconds: float = 1.5) -> Row:
    """A row graded everywhere: one grade per test, the columns of a test like the test."""
    tests = [column.id for column in COLUMNS if column.parent is None]
    by_test = dict(zip(tests, grades, strict=True))
    return row(label, {column.id: by_test[column.parent or column.id] for column in COLUMNS}, seconds)


def board(rows: list[Row] | None = None) -> Board:
    """The board of `rows`, or one that shows everything."""
    return board_of("sanity", 1, "What any similarity index should show.", COLUMNS, rows or every_kind(), PROVENANCE)


def every_kind() -> list[Row]:
    """Passes, failures, partial grades, skips, errors and missing cells."""
    worst = tuple(Offender(f"cnn/0 block{layer}", -0.1 * layer) for layer in (3, 2, 1))
    part = graded(1.0, passed=None, reason="3 of 40 skip: cnn/1 block7: no variance in block7")
    return [
        full_row("cka", 1.0, 0.987, 0.8, 1.0, seconds=3.21),
        full_row("cka_debiased", 1.0, 0.987, 0.8, 1.0, seconds=4.0),
        full_row("procrustes", 0.971, 0.962, 0.8, 0.9, seconds=75.0),
        row(
            "stitch_task",
            {
                **full_row("", 0.4, 0.81, 1.0, 0.95).verdicts,
                "identity": graded(0.4, companions={"within one standard error": 0.8}, offenders=worst),
            },
            seconds=912.0,
            family="stitching",
        ),
        row("pwcca", {**full_row("", 0.9, 1.0, 0.6, 0.1).verdicts, "correspondence": part}, seconds=8.0),
        row(
            "identifiability_llv",
            {
                "identity": Verdict("skip", reason="compares layers; this metric is defined at the head only"),
                "correspondence": Verdict("skip", reason="compares layers; this metric is defined at the head only"),
                "invariance": 1.0,
                "invariance/orthogonal": 1.0,
                "sensitivity": 1.0,
            },
            higher_is_more_similar=False,
            level="head",
        ),
        row(
            "my_metric",
            {
                "identity": Verdict("error", reason="12 of 12 error: cnn/0 block1: ValueError: boom"),
                "correspondence": Verdict("missing", reason="the run was interrupted"),
                "invariance": Verdict("error", reason="ValueError: boom"),
                "sensitivity": 0.2,
            },
        ),
    ]
