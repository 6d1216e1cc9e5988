"""Merge several people's bundles of one suite into one board."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from simbench.board.board import Board
from simbench.board.scores import ScoreRow
from simbench.bundles.contents import Contents
from simbench.bundles.metric_record import MetricRecord, recorded_metric
from simbench.bundles.pack import pack, recorded_plan
from simbench.bundles.portable_suite import suite_differences
from simbench.errors import ExitCode, SimbenchError, UnknownNameError
from simbench.metrics.metric import Metric
from simbench.plan.plan import Plan
from simbench.references import Comparison
from simbench.results.record import ScoreRecord
from simbench.verify.published import refuse_loss
from simbench.verify.regrade import check_files, check_grades, checked_records
from simbench.verify.reproduction import Allowance, DeviationClass, count_classes, counted, of_other_seeds, settled
from simbench.verify.sources import check_sources

BUILT_IN = "simbench.metrics."


@dataclass(frozen=True)
class Second:
    """A metric that a second bundle has, too, held against the scores that the board shows.

    Attributes:
        metric: its label.
        shown: the bundle whose scores are shown.
        other: the bundle whose scores are not.
        counts: how many scores of both deviate by how much.
        example: what does not agree, in words.
        version: the identity in the other bundle, where that is another one; its scores cannot be compared.
        same_source: whether both were taken with one source.
    """

    metric: str
    shown: str
    other: str
    counts: Mapping[DeviationClass, int]
    example: str = ""
    version: str = ""
    same_source: bool = True

    @property
    def agrees(self) -> bool:
        """Whether every score of both is the same, but for rounding and training again."""
        return not self.version and not self.example

    def __str__(self) -> str:
        """Return one line: who agrees, by how much the others are off, and whose scores are shown."""
        shown = f"the scores are those of {self.shown}" + ("" if self.same_source else "; their sources differ")
        if self.version:
            return f"{self.metric}: {self.other} has {self.version}, which was not compared; {shown}"
        counts = counted(self.counts)
        if self.agrees:
            return f"{self.metric}: {self.shown} and {self.other} agree ({counts}); {shown}"
        return f"{self.metric}: {self.other} differs from {self.shown} ({counts}: {self.example}); {shown}"


@dataclass(frozen=True)
class Merged:
    """Board made from several bundles."""

    board: Board
    table: list[ScoreRow]
    bundle: dict[str, bytes]
    seconds: tuple[Second, ...]
    """Metrics that a second bundle has, too."""

    @property
    def confirmed(self) -> Mapping[str, tuple[str, ...]]:
        """Metrics that several bundles have with the same values, and those bundles; the first one's are shown."""
        confirmed: dict[str, tuple[str, ...]] = {}
        for second in self.seconds:
            if second.agrees:
                confirmed[second.metric] = (*confirmed.get(second.metric, (second.shown,)), second.other)
        return confirmed


@dataclass(frozen=True)
class _Entry:
    origin: str
    metric: MetricRecord
    records: Mapping[str, ScoreRecord]
    comparisons: Mapping[str, Comparison]


def merge(
    bundles: Mapping[str, Contents],
    *,
    official: str | None = None,
    standing: Collection[str] = (),
    drop: Collection[str] = (),
) -> Merged:
    """Return the board of all metrics of these bundles, which are given by the name of their origin.

    A metric that two bundles have is shown with the scores of the official one, else of the first; how the others
    deviate is reported, and no reason to refuse: networks that were trained elsewhere are other networks.

    Args:
        bundles: by the name of their origin.
        official: the one whose scores of shared metrics are shown; by default the first.
        standing: rows of the board that this one takes the place of; each must be on it, or be dropped.
        drop: rows to leave out.

    Raises:
        SimbenchError: the bundles are not of one suite and version, one of them does not hold what it claims, two have
            different code under one name, or a row that stood there would be lost; names them.
    """
    bundles = _in_order(bundles, official)
    first_origin, first = next(iter(bundles.items()))
    for origin, contents in bundles.items():
        _check_claims(origin, contents)
        _check_suite(first_origin, first, origin, contents)
    entries: dict[str, _Entry] = {}
    seconds: list[Second] = []
    for origin, contents in bundles.items():
        for entry in _entries(origin, contents):
            earlier = entries.setdefault(entry.metric.label, entry)
            if earlier is entry:
                continue
            _check_code(earlier.metric, entry.metric, earlier.origin, origin)
            seconds.append(_compared(earlier, entry))
            entries[entry.metric.label] = _joined(earlier, entry)
    rows = [label for label, entry in entries.items() if entry.metric.on_board]
    refuse_loss(rows, standing, drop, "give its bundle first")
    entries = {label: _off_board(entry) if label in drop else entry for label, entry in entries.items()}
    records = {label: entry.records for label, entry in entries.items()}
    metrics: list[Metric] = [recorded_metric(entry.metric) for entry in entries.values() if entry.metric.on_board]
    packed = pack(
        first.suite,
        metrics,
        records,
        _runs(bundles.values(), records),
        stated={"bundles": _origins(bundles, entries)},
    )
    return Merged(packed.board, packed.scores, packed.files, tuple(seconds))


def _in_order(bundles: Mapping[str, Contents], official: str | None) -> dict[str, Contents]:
    if official is None:
        return dict(bundles)
    if official not in bundles:
        raise UnknownNameError("bundle", official, bundles)
    return {official: bundles[official], **bundles}


def _check_claims(origin: str, contents: Contents) -> None:
    findings = [finding for step in (check_files(contents), check_grades(contents)) for finding in step.findings]
    findings += check_sources(contents)[0]
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
    plan: Plan = recorded_plan(contents.suite, contents.metrics)
    records, _ = checked_records(contents, plan)
    comparisons = {planned.metric.label: planned.scores for planned in plan.metrics}
    return [_Entry(origin, metric, records[metric.label], comparisons[metric.label]) for metric in contents.metrics]


def _check_code(left: MetricRecord, right: MetricRecord, shown: str, other: str) -> None:
    """Raise `DisagreementError` where one name stands for different code of two people."""
    if _built_in(left) and _built_in(right) and left.on_board >= right.on_board:
        return  # the official scores are shown, whatever the release that others have
    if left.identity != right.identity or not _same_source(left, right):
        raise DisagreementError(
            f'"{left.label}" is {left.identity} in {shown} ({_source(left)}) '
            f"and {right.identity} in {other} ({_source(right)}); rename one of them"
        )


def _compared(left: _Entry, right: _Entry) -> Second:
    """Count how far the scores that both have deviate."""
    label, same_source = left.metric.label, _same_source(left.metric, right.metric)
    if left.metric.identity != right.metric.identity:
        return Second(label, left.origin, right.origin, count_classes(()), "", right.metric.identity, same_source)
    allowance = Allowance.of(
        "reproduced",
        left.metric.declaration.cost,
        left.records,
        left.comparisons,
        symmetric=left.metric.declaration.symmetric,
    )
    # The metrics of a bundle decide on which comparisons its tests need a reference variable.
    whole = left.metric.on_board and right.metric.on_board
    keys = left.records.keys() | right.records.keys() if whole else left.records.keys() & right.records.keys()
    apart = settled(
        {key: allowance.deviation(key, left.records.get(key), right.records.get(key)) for key in sorted(keys)}
    )
    furthest = max(
        (key for key in apart if apart[key].kind == "outside"), key=lambda key: apart[key].distance, default=""
    )
    example = (
        f"{_shown(left.records.get(furthest))} and {_shown(right.records.get(furthest))} "
        f"at {left.comparisons.get(furthest) or right.comparisons.get(furthest)}"
        if furthest
        else ""
    )
    shared = {key: record for key, record in right.records.items() if key in left.records}
    far = allowance.of_other_seeds(left.records, shared)
    if far is not None:
        example = of_other_seeds(far)
    return Second(label, left.origin, right.origin, count_classes(apart.values()), example, "", same_source)


def _joined(left: _Entry, right: _Entry) -> _Entry:
    """Return the records of the first, and those that only the second has where one of the two is not on a board."""
    if left.metric.identity != right.metric.identity or (left.metric.on_board and right.metric.on_board):
        return left
    shown = left if left.metric.on_board else right
    return replace(
        shown,
        records={**right.records, **left.records},
        comparisons={**right.comparisons, **left.comparisons},
    )


def _off_board(entry: _Entry) -> _Entry:
    """Return the entry of a row that is left out: its scores stay where tests need them as a reference variable."""
    return replace(entry, metric=entry.metric.model_copy(update={"on_board": False}))


def _built_in(metric: MetricRecord) -> bool:
    return metric.origin.startswith(BUILT_IN)


def _same_source(left: MetricRecord, right: MetricRecord) -> bool:
    hashes = {metric.source.sha256 for metric in (left, right)} - {None}
    return len(hashes) < 2


def _shown(record: ScoreRecord | None) -> str:
    return "nothing" if record is None else record.status if record.value is None else f"{record.value!r}"


def _source(metric: MetricRecord) -> str:
    return f"{metric.source.file}, sha256 {(metric.source.sha256 or 'unknown')[:12]}"


def _runs(
    bundles: Iterable[Contents], records: Mapping[str, Mapping[str, ScoreRecord]]
) -> dict[str, Mapping[str, Any]]:
    """Return the provenance of every run that a shown score comes from."""
    used = {record.provenance for runs in records.values() for record in runs.values()}
    runs = {run: facts for contents in bundles for run, facts in contents.provenance.items()}
    return {run: runs.get(run, {}) for run in sorted(used)}


def _origins(bundles: Mapping[str, Contents], entries: Mapping[str, _Entry]) -> dict[str, Any]:
    """Return the bundle that each metric comes from, with the bundle's checksum.

    A bundle that was itself merged keeps the origins that it states.
    """
    origins: dict[str, Any] = {}
    for origin, contents in bundles.items():
        left = [label for label, entry in entries.items() if entry.origin == origin and entry.metric.on_board]
        for name, digest, labels in _stated_origins(contents):
            kept = [label for label in labels if label in left]
            left = [label for label in left if label not in kept]
            if kept and name not in bundles:
                origins[name] = {"digest": digest, "metrics": kept}
            else:
                left += kept
        if left or not contents.stated.get("bundles"):
            origins[origin] = {"digest": contents.digest, "metrics": left}
    return origins


def _stated_origins(contents: Contents) -> list[tuple[str, str, Sequence[str]]]:
    stated = contents.stated.get("bundles")
    if not isinstance(stated, dict):
        return []
    return [
        (name, str(origin.get("digest")), [label for label in origin["metrics"] if isinstance(label, str)])
        for name, origin in stated.items()
        if isinstance(origin, dict) and isinstance(origin.get("metrics"), list)
    ]


class DisagreementError(SimbenchError):
    """Bundles that cannot be merged into one board."""

    exit_code = ExitCode.VERDICT_FAILED
