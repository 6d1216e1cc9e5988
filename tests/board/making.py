"""Boards to render, made by hand, with every status a cell can have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tests.board.infos import metric_info

from simbench.board.board import Board, BoardColumn, Row
from simbench.board.standing import board_of
from simbench.declaration import MetricInfo
from simbench.verdicts.verdict import Trial, Verdict

TRANSFORMS = ("permutation", "isotropic_scaling", "translation", "orthogonal", "invertible_linear")
COLUMNS = (
    BoardColumn(
        "identity", "identity", ">= 0.95", "Within a network, no other layer is as similar as the layer itself."
    ),
    BoardColumn("correspondence", "correspondence", ">= 0.95", "The same layer beats layers at least 3 away."),
    BoardColumn("invariance", "invariance", ">= 0.95", "A function-preserving transform changes no similarity."),
    *(BoardColumn(f"invariance/{name}", "invariance", ">= 0.95", "", "invariance") for name in TRANSFORMS),
    BoardColumn("sensitivity", "distribution_sensitivity", ">= 0.9", "Close in KL is not the same."),
)
PROVENANCE = {
    "created": "2025-01-31T12:00:00+00:00",
    "commit": "0123456789abcdef",
    "dirty": False,
    "versions": {"simbench": "0.1.0", "torch": "2.4.0"},
    "device": "cpu",
    "jobs": 2,
}


class Maker:
    """Makes rows and boards."""

    columns = COLUMNS

    def info(self, label: str, **changes: Any) -> MetricInfo:
        """What a board shows of a metric."""
        fields: dict[str, Any] = {
            "family": "CKA",
            "summary": "The cosine of two centred Gram matrices.",
            "formula": "‖ỸᵀX̃‖² / (‖X̃ᵀX̃‖ ‖ỸᵀỸ‖)",
            "reference": "Kornblith et al. (2019), Eq. 4",
            "origin": "simbench/metrics/cka/linear.py:10",
        }
        return metric_info(label, **{**fields, **changes})

    def graded(self, grade: float, **changes: Any) -> Verdict:
        """A verdict with a grade and an interval around it."""
        interval = (max(0.0, grade - 0.05), min(1.0, grade + 0.02))
        fields = {"grade": grade, "interval": interval, "passed": grade >= 0.95, "comparisons": 120, **changes}
        return Verdict("ok", **fields)

    def row(self, label: str, verdicts: dict[str, float | Verdict], seconds: float = 1.5, **changes: Any) -> Row:
        """A row from verdicts or bare grades by column."""
        made = {name: one if isinstance(one, Verdict) else self.graded(one) for name, one in verdicts.items()}
        return Row(self.info(label, **changes), made, comparisons=400, seconds=seconds)

    def full_row(self, label: str, *grades: float, seconds: float = 1.5, **changes: Any) -> Row:
        """A row graded everywhere: one grade per test, the columns of a test like the test."""
        by_test = dict(zip(("identity", "correspondence", "invariance", "sensitivity"), grades, strict=True))
        verdicts: dict[str, float | Verdict] = {column.id: by_test[column.parent or column.id] for column in COLUMNS}
        return self.row(label, verdicts, seconds, **changes)

    def board(self, rows: Sequence[Row] | None = None, **changes: Any) -> Board:
        """The board of `rows`, or one that shows everything."""
        fields: dict[str, Any] = {
            "suite": "sanity",
            "version": 1,
            "about": "What any similarity index should show.",
            "columns": COLUMNS,
            "rows": self.every_kind() if rows is None else rows,
            "provenance": PROVENANCE,
        }
        return board_of(**{**fields, **changes})

    def every_kind(self) -> list[Row]:
        """Passes, failures, partial grades, skips, errors and missing cells."""
        worst = tuple(Trial(f"cnn/0 block{layer}", (), False, -0.1 * layer) for layer in (3, 2, 1))
        part = self.graded(1.0, passed=None, reason="3 of 40 skip: cnn/1 block7: no variance in block7")
        failed = self.graded(0.4, auxiliary={"within one standard error": 0.8}, violations=worst)
        head_only = Verdict("skip", reason="compares layers; this metric is defined at the head only")
        stitching = self.full_row("stitch_task", 0.4, 0.81, 1.0, 0.95, seconds=912.0, family="stitching")
        partial = self.full_row("pwcca", 0.9, 1.0, 0.6, 0.1, seconds=8.0)
        return [
            self.full_row("cka", 1.0, 0.987, 0.8, 1.0, seconds=3.21),
            self.full_row("cka_debiased", 1.0, 0.987, 0.8, 1.0, seconds=4.0),
            self.full_row("procrustes", 0.971, 0.962, 0.8, 0.9, seconds=75.0),
            replace(stitching, verdicts={**stitching.verdicts, "identity": failed}),
            replace(partial, verdicts={**partial.verdicts, "correspondence": part}),
            self.row(
                "identifiability_llv",
                {
                    "identity": head_only,
                    "correspondence": head_only,
                    "invariance": 1.0,
                    "invariance/orthogonal": 1.0,
                    "sensitivity": 1.0,
                },
                higher_is_more_similar=False,
                level="head",
            ),
            self.row(
                "my_metric",
                {
                    "identity": Verdict("error", reason="12 of 12 error: cnn/0 block1: ValueError: boom"),
                    "correspondence": Verdict("missing", reason="the run was interrupted"),
                    "invariance": Verdict("error", reason="ValueError: boom"),
                    "sensitivity": 0.2,
                },
            ),
        ]
