"""Write a board as a JSON document, and read it. The document is the published record: its shape has a version."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from simbench.board.board import Board, BoardColumn, BoardRow, Row
from simbench.board.cells import cell
from simbench.board.evidence import Evidence, evidence_of
from simbench.board.remarks import Remark
from simbench.board.scores import ScoreRow
from simbench.board.standing import board_of
from simbench.declaration import MetricInfo, Purpose
from simbench.errors import SimbenchError
from simbench.verdicts.verdict import Outcome, Owed, Tally, Trial, Verdict, VerdictStatus

Model = TypeVar("Model", bound=BaseModel)
# Of leaderboards, of the documents of runs, and of bundles, which hold a leaderboard. Version 2 renamed fields
# (auxiliary values, violations, the declaration of a metric as an object). Version 3 has outcomes, what is owed, and
# standing in place of ranks.
SchemaVersion = Literal[3]
SCHEMA_VERSION: SchemaVersion = 3
# The file of a published leaderboard, and of the one that a bundle claims.
DOCUMENT = "leaderboard.json"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ViolationRecord(_Part):
    """A trial that did not hold."""

    where: str
    margin: float | None


class RemarkRecord(_Part):
    """Remark that some of the scores that a test asked for carry: the first such remark, and the comparison with it."""

    text: str
    where: str
    scores: int = Field(ge=1)
    asked: int = Field(ge=1)


class CellRecord(_Part):
    """A metric's verdict on a test, or on one column of a test.

    `outcome` is the verdict in a word; `passed` is null where it is undecided, partly answered, or there is none.
    `remarks` on the scores are counted for whole tests, and written only where there are some.
    `tallies`: per set of models, how many of the trials held and how many there were. Where the grade is no mean of
    trials: the `statistic` that it is clipped from, and what that is `without` each of its models.
    """

    status: VerdictStatus
    outcome: Outcome
    owed: Owed
    grade: float | None = Field(ge=0, le=1)
    interval: tuple[float, float] | None
    passed: bool | None
    comparisons: int = Field(ge=0)
    reason: str | None
    auxiliary: dict[str, float | None]
    violations: list[ViolationRecord]
    tallies: list[tuple[list[str], float, int]]
    statistic: float | None = None
    without: dict[str, float | None] = Field(default_factory=dict)
    remarks: list[RemarkRecord] = []


class ColumnRecord(_Part):
    """A test, or one column of a test; `purposes` for which it is owed, none for all."""

    id: str
    kind: str
    pass_if: str
    about: str
    parent: str | None
    description: str
    settings: dict[str, Any]
    reason: str
    purposes: tuple[Purpose, ...]
    model_correlation: float = Field(ge=0, le=1)


class StandingRecord(_Part):
    """Place of a metric within a purpose: its tier, and the metrics that it is above; or why it is not placed."""

    tier: int | None
    above: list[str]
    reason: str


class CountsRecord(_Part):
    """Verdicts over the tests, each counted once, and the ids of the promises that the metric breaks."""

    passed: int
    failed: int
    undecided: int
    not_promised: int
    unanswered: int
    broken_promises: list[str]


class RowRecord(MetricInfo):
    """One metric as the board describes it, its verdicts by column id, its aggregates. Its label is called `metric`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    label: str = Field(alias="metric")
    tests: dict[str, CellRecord]
    standing: dict[Purpose, StandingRecord]
    counts: CountsRecord
    comparisons: int
    seconds: float


class Document(_Part):
    """A whole leaderboard. `tiers` are labels of metrics, by purpose; `evidence` is in published ones."""

    schema_version: SchemaVersion
    suite: str
    version: int
    about: str
    columns: list[ColumnRecord]
    rows: list[RowRecord]
    tiers: dict[Purpose, list[list[str]]]
    provenance: dict[str, Any]
    evidence: Evidence | None = None


def to_document(board: Board, scores: Sequence[ScoreRow] | None = None) -> dict[str, Any]:
    """Return the board in JSON types, with the scores behind it if given; what is not finite becomes null."""
    document: dict[str, Any] = json_safe(
        {
            "schema_version": SCHEMA_VERSION,
            "suite": board.suite,
            "version": board.version,
            "about": board.about,
            "columns": [
                {name: getattr(column, name) for name in ColumnRecord.model_fields} for column in board.columns
            ],
            "rows": [_row_record(entry, board) for entry in board.rows],
            "tiers": board.tiers(),
            "provenance": board.provenance,
        }
    )
    if scores is not None:
        document["evidence"] = evidence_of(board, scores).model_dump(mode="json")
    return document


def from_document(document: Mapping[str, Any]) -> Board:
    """Return the board that a document records, its aggregates derived anew.

    Raises:
        SimbenchError: another schema version, or not such a document; says what to do.
    """
    version = document.get("schema_version")
    if not isinstance(version, int):
        raise SimbenchError("not a leaderboard of simbench: it has no schema_version")
    if version != SCHEMA_VERSION:
        raise SimbenchError(wrong_version("this leaderboard", version))
    checked = _checked(Document, document)
    for record in checked.rows:
        lacking = [column.id for column in checked.columns if column.id not in record.tests]
        if lacking:
            raise SimbenchError(f"not a leaderboard of simbench: {record.label} has no entry for {', '.join(lacking)}")
    columns = [BoardColumn(**column.model_dump()) for column in checked.columns]
    rows = [_row(record) for record in checked.rows]
    return board_of(checked.suite, checked.version, checked.about, columns, rows, checked.provenance)


def wrong_version(document: str, version: int) -> str:
    r"""Return the message for a document of another schema version: what wrote it, and what to do.

    >>> print(*wrong_version("this leaderboard", 2).split(", "), sep="\n")
    this leaderboard was written by simbench with schema 2
    older than 3; publish it again with `simbench publish SUITE`
    which computes nothing where the store has its scores
    or ask its author to
    """
    written = f"{document} was written by simbench with schema {version}"
    if version > SCHEMA_VERSION:
        return f"{written}, newer than {SCHEMA_VERSION}; upgrade simbench"
    return f"{written}, older than {SCHEMA_VERSION}; publish it again with `simbench publish SUITE`, " + (
        "which computes nothing where the store has its scores, or ask its author to"
    )


def evidence_in(document: Mapping[str, Any]) -> Evidence | None:
    """Return the scores that a document carries; None where it has none.

    Raises:
        SimbenchError: the evidence is malformed.
    """
    evidence = document.get("evidence")
    return None if evidence is None else _checked(Evidence, evidence)


def json_safe(value: Any) -> Any:
    """Return a value in JSON types: numbers that are not finite become null, anything unknown its text.

    >>> json_safe({"a": (1, float("nan")), 2: {"b"}})
    {'a': [1, None], '2': ['b']}
    """
    if isinstance(value, Mapping):
        return {str(key): json_safe(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(inner) for inner in value]
    if isinstance(value, set | frozenset):
        return sorted(str(inner) for inner in value)
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)


def _checked(model: type[Model], value: Any) -> Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SimbenchError(f"not a leaderboard of simbench: {where}: {first['msg']}") from None


def _row_record(entry: BoardRow, board: Board) -> dict[str, Any]:
    info = entry.row.metric
    return {
        "metric": info.label,
        **info.model_dump(exclude={"label"}),
        "tests": {column.id: _cell_record(entry.row, column) for column in board.columns},
        "standing": {purpose: vars(standing) for purpose, standing in entry.standing.items()},
        "counts": vars(entry.counts),
        "comparisons": entry.row.comparisons,
        "seconds": entry.row.seconds,
    }


def _cell_record(row: Row, column: BoardColumn) -> dict[str, Any]:
    verdict, remarks = cell(row, column), row.remarks.get(column.id)
    record = {
        "status": verdict.status,
        "outcome": verdict.outcome,
        "owed": verdict.owed,
        "grade": verdict.grade,
        "interval": verdict.interval,
        "passed": verdict.passed,
        "comparisons": verdict.comparisons,
        "reason": verdict.reason,
        "auxiliary": verdict.auxiliary,
        "violations": [{"where": violation.where, "margin": violation.margin} for violation in verdict.violations],
        "tallies": [(tally.models, tally.credit, tally.asked) for tally in verdict.tallies],
        "statistic": verdict.statistic,
        "without": verdict.without,
    }
    return {**record, "remarks": [vars(remark) for remark in remarks]} if remarks else record


def _row(record: RowRecord) -> Row:
    info = MetricInfo(**{name: getattr(record, name) for name in MetricInfo.model_fields})
    verdicts = {name: _verdict(result) for name, result in record.tests.items()}
    remarks = {
        name: tuple(Remark(**remark.model_dump()) for remark in result.remarks)
        for name, result in record.tests.items()
        if result.remarks
    }
    return Row(info, verdicts, record.comparisons, record.seconds, remarks)


def _verdict(record: CellRecord) -> Verdict:
    return Verdict(
        record.status,
        grade=record.grade,
        interval=record.interval,
        passed=record.passed,
        comparisons=record.comparisons,
        reason=record.reason,
        auxiliary=_numbers(record.auxiliary),
        violations=tuple(
            Trial(violation.where, (), False, math.nan if violation.margin is None else violation.margin)
            for violation in record.violations
        ),
        tallies=tuple(Tally(tuple(models), holding, asked) for models, holding, asked in record.tallies),
        statistic=record.statistic,
        without=_numbers(record.without),
        owed=record.owed,
    )


def _numbers(recorded: Mapping[str, float | None]) -> dict[str, float]:
    """Return the numbers, NaN again where they were not finite."""
    return {name: math.nan if value is None else value for name, value in recorded.items()}
