"""Check the levels `claimed` and `regraded`: recompute checksums, keys, grades and standing; no code is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from simbench.board.document import from_document, json_safe, to_document
from simbench.bundles.contents import Contents, checksum_problems
from simbench.bundles.metric_record import declared_otherwise
from simbench.bundles.pack import recorded_plan, regraded
from simbench.bundles.portable_suite import suite_differences
from simbench.parameters import ParameterError
from simbench.plan.plan import Plan, PlannedMetric, needs_fit
from simbench.registry import METRICS
from simbench.results.provenance import identifier
from simbench.results.record import ScoreRecord
from simbench.suite.load import bundled_suites, load_suite
from simbench.verify.report import Discrepancy, Step, step_of

# Largest difference, due to rounding, of grades and intervals of the same scores on two machines.
ROUNDING = 1e-9
PLACED = ("standing", "counts", "tiers")


def check_files(contents: Contents) -> Step:
    """Check the level `claimed`: every file has the checksum that the manifest gives."""
    problems = checksum_problems(contents.files, contents.manifest)
    findings = [Discrepancy("checksum", name, note=what) for name, what in problems]
    count = sum(len(records) for records in contents.scores.values())
    summary = f"{len(contents.files)} files, {len(contents.metrics)} metrics, {count} scores"
    return step_of("claimed", summary, findings)


def check_grades(contents: Contents) -> Step:
    """Check the level `regraded`: keys follow from the suite; grades and standing follow from the scores.

    Raises:
        SimbenchError: the claimed leaderboard is not a document of this schema.
    """
    from_document(contents.leaderboard)
    plan = recorded_plan(contents.suite, contents.metrics)
    records, of_keys = checked_records(contents, plan)
    document = to_document(regraded(plan, records, contents.provenance, contents.stated))
    if not states_remarks(contents.leaderboard):
        document = _without_remarks(document)
    findings = [
        *_of_suite(contents),
        *_of_metrics(contents),
        *of_keys,
        *_of_provenance(contents),
        *differences(contents.leaderboard, document),
    ]
    verdicts = sum(len(row["tests"]) for row in document["rows"])
    keys, metrics = sum(map(len, records.values())), len(document["rows"])
    summary = f"{keys} keys, {verdicts} verdicts and the standing of {metrics} metrics recomputed"
    return step_of("regraded", summary, findings)


def states_remarks(leaderboard: Mapping[str, Any]) -> bool:
    """Tell whether a claimed board has any remark on scores; one that an earlier simbench wrote has none."""
    return any("remarks" in cell for row in leaderboard["rows"] for cell in row["tests"].values())


def _without_remarks(document: dict[str, Any]) -> dict[str, Any]:
    def without(row: dict[str, Any]) -> dict[str, Any]:
        cells = {
            column: {name: value for name, value in cell.items() if name != "remarks"}
            for column, cell in row["tests"].items()
        }
        return {**row, "tests": cells}

    return {**document, "rows": [without(row) for row in document["rows"]]}


def checked_records(contents: Contents, plan: Plan) -> tuple[dict[str, dict[str, ScoreRecord]], list[Discrepancy]]:
    """Return the records whose keys are those of the plan, by metric, and findings on the others."""
    findings: list[Discrepancy] = []
    kept: dict[str, dict[str, ScoreRecord]] = {}
    for planned in plan.metrics:
        label = planned.metric.label
        kept[label] = {}
        for record in contents.scores[label]:
            problem = _key_problem(plan, planned, record)
            if problem is None and record.key in kept[label]:
                problem = Discrepancy("key", f"{label} {record.key}", note="stands twice")
            if problem is not None:
                findings.append(problem)
            else:
                kept[label][record.key] = record
    return kept, findings


def differences(claimed: Mapping[str, Any], regraded: Mapping[str, Any]) -> list[Discrepancy]:
    """Compare a claimed leaderboard with the one that follows from the scores; rows are matched by metric."""
    findings = [
        Discrepancy(_check_of(name), where, a, b)
        for name in dict.fromkeys([*regraded, *claimed])
        if name != "rows"
        for where, a, b in _unequal(name, claimed.get(name), regraded.get(name))
    ]
    claimed_rows = {row["metric"]: row for row in claimed["rows"]}
    other = {row["metric"]: row for row in regraded["rows"]}
    for label in dict.fromkeys([*other, *claimed_rows]):
        if label not in claimed_rows or label not in other:
            findings.append(
                Discrepancy("standing", label, label in claimed_rows, label in other, "in only one of claim and scores")
            )
            continue
        for where, a, b in _unequal("", claimed_rows[label], other[label]):
            findings.append(Discrepancy(_check_of(where.strip(".")), f"{label}{where}", a, b))
    if not findings and (list(claimed_rows) != list(other) or len(claimed_rows) != len(claimed["rows"])):
        findings.append(Discrepancy("standing", "order of the rows", list(claimed_rows), list(other)))
    return findings


def _key_problem(plan: Plan, planned: PlannedMetric, record: ScoreRecord) -> Discrepancy | None:
    """Check a record's key, and the metric and representations that it names."""
    metric, where = planned.metric, f"{planned.metric.label} {record.key} ({record.a} → {record.b})"
    if record.metric != metric.identity or dict(record.parameters) != dict(metric.parameters):
        return Discrepancy("key", where, note=f"is a record of {record.metric} {dict(record.parameters)}")
    comparison = planned.scores.get(record.key)
    if comparison is None:
        return Discrepancy("key", where, note="no comparison of the suite has this key")
    wanted = [plan.representation_key(side, with_fit=needs_fit(metric)) for side in (comparison.a, comparison.b)]
    given = [record.a_key, record.b_key]
    if (sorted(given) if metric.symmetric else given) != (sorted(wanted) if metric.symmetric else wanted):
        return Discrepancy("key", where, claimed=given, found=wanted)
    return None


def _of_suite(contents: Contents) -> Iterator[Discrepancy]:
    """Check that a suite with the name and version of one that ships with simbench is that suite."""
    shipped = bundled_suites().get(contents.suite.suite)
    if shipped is None:
        return
    ours = load_suite(str(shipped))
    if ours.version == contents.suite.version:
        for place in suite_differences(contents.suite, ours):
            yield Discrepancy("suite", place, note=f"is not that of the {ours.title} that ships with simbench")


def _of_metrics(contents: Contents) -> Iterator[Discrepancy]:
    """Check that the installed metrics have the same declarations."""
    for record in contents.metrics:
        if record.declaration.name not in METRICS:
            continue
        ours = METRICS.get(record.declaration.name)
        with suppress(ParameterError):  # which only another metric of that name may have
            ours = ours.with_parameters(record.parameters)
        if ours.identity == record.identity:
            for name, stated in declared_otherwise(record, ours):
                note = f"{record.identity} declares something else here"
                yield Discrepancy("metric", f"{record.label}.{name}", stated, note=note)


def _of_provenance(contents: Contents) -> Iterator[Discrepancy]:
    """Check that every record names a run whose provenance is in the bundle, under its own id."""
    for run, facts in contents.provenance.items():
        # A store may have lost the facts of an old run: then there is nothing to check, and nothing is claimed.
        if facts and identifier(dict(facts)) != run:
            yield Discrepancy("provenance", run, run, identifier(dict(facts)))
    used = {record.provenance for records in contents.scores.values() for record in records}
    for run in sorted(used - contents.provenance.keys()):
        yield Discrepancy("provenance", run, note="scores name this run, and the bundle says nothing of it")


def _check_of(where: str) -> str:
    name = where.partition("[")[0]
    if name.startswith("tests"):
        return "grade"
    if name.partition(".")[0] in PLACED:
        return "standing"
    return {"provenance": "provenance", "columns": "suite", "suite": "suite", "version": "suite"}.get(
        name.partition(".")[0], "document"
    )


def _unequal(where: str, claimed: Any, regraded: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield every leaf that differs, with its place."""
    claimed, regraded = json_safe(claimed), json_safe(regraded)
    if isinstance(claimed, dict) and isinstance(regraded, dict):
        for name in dict.fromkeys([*regraded, *claimed]):
            # Test ids hold dots, so that only field names are joined by them.
            inner = f"{where}[{name}]" if where.endswith("tests") else f"{where}.{name}"
            if (name in claimed) != (name in regraded):
                yield inner, claimed.get(name, "nothing"), regraded.get(name, "nothing")
            else:
                yield from _unequal(inner, claimed[name], regraded[name])
    elif isinstance(claimed, list) and isinstance(regraded, list) and len(claimed) == len(regraded):
        for index, (a, b) in enumerate(zip(claimed, regraded, strict=True)):
            yield from _unequal(f"{where}[{index}]", a, b)
    elif not _same(claimed, regraded):
        yield where, claimed, regraded


def _same(claimed: Any, regraded: Any) -> bool:
    numbers = [isinstance(value, int | float) and not isinstance(value, bool) for value in (claimed, regraded)]
    if all(numbers):
        return bool(abs(claimed - regraded) <= ROUNDING * max(1.0, abs(regraded)))
    return type(claimed) is type(regraded) and bool(claimed == regraded)
