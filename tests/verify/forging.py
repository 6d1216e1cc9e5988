"""A forger who knows how checksums work: whatever is changed, the manifest follows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from simbench.board.document import to_document
from simbench.bundles.archive import MANIFEST
from simbench.bundles.contents import Contents, json_bytes, manifest_for, parse
from simbench.bundles.metric_record import recorded_metric
from simbench.bundles.pack import pack, recorded_plan, regraded
from simbench.bundles.portable_suite import read_suite
from simbench.plan.plan import Plan
from simbench.results.record import ScoreRecord
from simbench.verify.report import Discrepancy, Report


def reseal(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files with a manifest that fits them, as a forger would leave them."""
    inner = {name: content for name, content in files.items() if name != MANIFEST}
    return {**inner, MANIFEST: manifest_for(inner, read_suite(files["suite.yaml"]))}


def edited(files: dict[str, bytes], name: str, change: Callable[[Any], Any], *, seal: bool = True) -> dict[str, bytes]:
    """The bundle with one JSON file changed; with `seal`, the manifest follows."""
    document = json.loads(files[name])
    change(document)
    found = {**files, name: json_bytes(document)}
    return reseal(found) if seal else found


def edited_score(
    files: dict[str, bytes], metric: str, change: Callable[[dict[str, Any]], Any], line: int = 0, *, seal: bool = True
) -> dict[str, bytes]:
    """The bundle with one score record changed."""
    name = f"scores/{metric}.jsonl"
    records = [json.loads(one) for one in files[name].splitlines()]
    change(records[line])
    found = {**files, name: "".join(f"{json.dumps(one)}\n" for one in records).encode()}
    return reseal(found) if seal else found


def consistent(files: dict[str, bytes]) -> dict[str, bytes]:
    """The bundle with a leaderboard that follows from its scores: the most careful forger's work."""
    contents = parse(reseal(files))
    board = regraded(_plan(contents), _records(contents), contents.provenance)
    return reseal({**files, "leaderboard.json": json_bytes(to_document(board))})


def part(files: dict[str, bytes], *labels: str) -> dict[str, bytes]:
    """An honest bundle of some of the metrics."""
    contents = parse(files)
    chosen = [recorded_metric(metric) for metric in contents.metrics if metric.label in labels]
    records = {metric.label: _records(contents)[metric.label] for metric in chosen}
    return pack(contents.suite, chosen, records, contents.provenance).files


def _plan(contents: Contents) -> Plan:
    return recorded_plan(contents.suite, contents.metrics)


def _records(contents: Contents) -> dict[str, dict[str, ScoreRecord]]:
    return {label: {record.key: record for record in records} for label, records in contents.scores.items()}


def findings(report: Report) -> list[Discrepancy]:
    """Everything that was found, whatever the level."""
    return [finding for step in report.steps for finding in step.findings]


def checks(report: Report) -> set[str]:
    """What kinds of things were found."""
    return {finding.check for finding in findings(report)}
