"""Merge several people's bundles of one suite into one board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from simbench.board.board import Board
from simbench.board.scores import ScoreRow
from simbench.bundles.contents import Contents
from simbench.bundles.metric_record import MetricRecord, recorded_metric
from simbench.bundles.pack import pack, recorded_plan
from simbench.bundles.portable_suite import suite_differences
from simbench.errors import ExitCode, SimbenchError
from simbench.grading import grade, score_table
from simbench.metrics.metric import Metric
from simbench.results.record import ScoreRecord
from simbench.verify.regrade import check_files, check_grades, checked_records
from simbench.verify.sampling import TOLERANCES, spread


@dataclass(frozen=True)
class Merged:
    """Board made from several bundles."""

    board: Board
    table: list[ScoreRow]
    bundle: dict[str, bytes]
    confirmed: Mapping[str, tuple[str, ...]]
    """Metrics that several bundles have with the same values, and those bundles; the first one's values are shown."""


@dataclass(frozen=True)
class _Entry:
    origin: str
    metric: MetricRecord
    records: Mapping[str, ScoreRecord]


def merge(bundles: Mapping[str, Contents]) -> Merged:
    """Return the board of all metrics of these bundles, which are given by the name of their origin.

    A metric that two bundles have must have the same values in both, up to the deviations of models that were trained
    on another machine; its records are those of the first bundle.

    Raises:
        SimbenchError: the bundles are not of one suite and version, one of them does not hold what it claims, or two
            disagree on a metric; names them.
    """
    first_origin, first = next(iter(bundles.items()))
    for origin, contents in bundles.items():
        _check_claims(origin, contents)
        _check_suite(first_origin, first, origin, contents)
    entries: dict[str, _Entry] = {}
    confirmed: dict[str, tuple[str, ...]] = {}
    for origin, contents in bundles.items():
        for entry in _entries(origin, contents):
            earlier = entries.setdefault(entry.metric.label, entry)
            if earlier is entry:
                continue
            if not (earlier.metric.on_board and entry.metric.on_board):
                # The metrics of a bundle decide which reference variables its tests need.
                entries[entry.metric.label] = _joined(earlier, entry)
            else:
                _check_agreement(earlier, entry)
                confirmed[entry.metric.label] = (*confirmed.get(entry.metric.label, (earlier.origin,)), origin)
    records = {label: entry.records for label, entry in entries.items()}
    runs = _runs(bundles.values(), records)
    metrics: list[Metric] = [recorded_metric(entry.metric) for entry in entries.values() if entry.metric.on_board]
    plan = recorded_plan(first.suite, [entry.metric for entry in entries.values()])
    board = grade(plan, records, {"runs": runs, "bundles": _origins(bundles, entries)})
    return Merged(board, score_table(plan, records), pack(first.suite, metrics, records, runs).files, confirmed)


def _check_claims(origin: str, contents: Contents) -> None:
    findings = [finding for step in (check_files(contents), check_grades(contents)) for finding in step.findings]
    if findings:
        more = f" (and {len(findings) - 1} more; `simbench verify {origin}` lists them)" if len(findings) > 1 else ""
        raise DisagreementError(f"{origin} does not hold what it claims: {findings[0]}{more}")


def _check_suite(first_origin: str, first: Contents, origin: str, contents: Contents) -> None:
    if contents.title != first.title:
        raise DisagreementError(f"{first_origin} is of {first.title}, {origin} of {contents.title}")
    places = suite_differences(first.suite, contents.suite)
    if places:
        raise DisagreementError(
            f"{first_origin} and {origin} are both of {first.title} and differ in {', '.join(places[:5])}"
        )


def _entries(origin: str, contents: Contents) -> list[_Entry]:
    records, _ = checked_records(contents, recorded_plan(contents.suite, contents.metrics))
    return [_Entry(origin, metric, records[metric.label]) for metric in contents.metrics]


def _joined(left: _Entry, right: _Entry) -> _Entry:
    """Return all records of a reference variable; raise `DisagreementError` if common records differ."""
    shared = left.records.keys() & right.records.keys()
    _check_agreement(*(replace(side, records={key: side.records[key] for key in shared}) for side in (left, right)))
    shown, more = (right, left) if right.metric.on_board else (left, right)
    return replace(shown, records={**more.records, **shown.records})


def _check_agreement(left: _Entry, right: _Entry) -> None:
    """Raise `DisagreementError` unless two people's scores of one metric are the same."""
    label = left.metric.label
    if left.metric.identity != right.metric.identity:
        raise DisagreementError(
            f'"{label}" is {left.metric.identity} in {left.origin} ({_source(left.metric)}) '
            f"and {right.metric.identity} in {right.origin} ({_source(right.metric)}); rename one of them"
        )
    allowed = TOLERANCES["reproduced", left.metric.declaration.cost] * spread(left.records)
    for key in sorted({*left.records, *right.records}):
        a, b = left.records.get(key), right.records.get(key)
        if not _agree(a, b, allowed):
            raise DisagreementError(
                f'"{label}" has different values in {left.origin} and {right.origin}: '
                f"{_shown(a)} and {_shown(b)} at {key}; "
                "`simbench verify --retrain` tells who is right"
            )


def _agree(a: ScoreRecord | None, b: ScoreRecord | None, allowed: float) -> bool:
    if a is None or b is None or a.status != b.status:
        return False
    return a.value is None or b.value is None or abs(a.value - b.value) <= allowed


def _shown(record: ScoreRecord | None) -> str:
    return "nothing" if record is None else record.status if record.value is None else f"{record.value!r}"


def _source(metric: MetricRecord) -> str:
    return f"{metric.source.file}, sha256 {(metric.source.sha256 or 'unknown')[:12]}"


def _runs(
    bundles: Sequence[Contents] | Any, records: Mapping[str, Mapping[str, ScoreRecord]]
) -> dict[str, Mapping[str, Any]]:
    """Return the provenance of every run that a shown score comes from."""
    used = {record.provenance for runs in records.values() for record in runs.values()}
    runs = {run: facts for contents in bundles for run, facts in contents.provenance.items()}
    return {run: runs.get(run, {}) for run in sorted(used)}


def _origins(bundles: Mapping[str, Contents], entries: Mapping[str, _Entry]) -> dict[str, Any]:
    """Return the bundle that each metric comes from, with the bundle's checksum."""
    return {
        origin: {
            "digest": contents.digest,
            "metrics": [label for label, entry in entries.items() if entry.origin == origin],
        }
        for origin, contents in bundles.items()
    }


class DisagreementError(SimbenchError):
    """Bundles that cannot be merged into one board."""

    exit_code = ExitCode.VERDICT_FAILED
