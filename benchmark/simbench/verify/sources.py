"""Compare the source that a bundle names for each metric with the code at hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from simbench.bundles.contents import Contents
from simbench.bundles.metric_record import MetricRecord, SourcePointer, record_of
from simbench.parameters import ParameterError
from simbench.registry import METRICS
from simbench.results.provenance import committed_hashes
from simbench.verify.report import Discrepancy


def check_sources(contents: Contents) -> tuple[list[Discrepancy], list[str]]:
    """Return (sources that are not what they say, remarks on sources of other commits or releases).

    Looked at are metrics whose code is at hand under the same identity. A source of simbench may be that of another
    release: in a checkout its history tells.
    """
    findings: list[Discrepancy] = []
    remarks: dict[str, list[str]] = {}
    for label, difference in _differences(contents):
        if isinstance(difference, Discrepancy):
            findings.append(difference)
        else:
            remarks.setdefault(difference, []).append(label)
    return findings, [f"{', '.join(labels)}: {remark}" for remark, labels in remarks.items()]


def _differences(contents: Contents) -> Iterator[tuple[str, Discrepancy | str]]:
    for record in contents.metrics:
        if record.declaration.name not in METRICS:
            continue
        ours = METRICS.get(record.declaration.name)
        with suppress(ParameterError):  # which only another metric of that name may have
            ours = ours.with_parameters(record.parameters)
        here = record_of(ours).source
        if ours.identity != record.identity or None in (record.source.sha256, here.sha256):
            continue
        if record.source.sha256 != here.sha256:
            yield record.label, _difference(record, here)


def _difference(record: MetricRecord, here: SourcePointer) -> Discrepancy | str:
    stated = f"{record.source.file}, sha256 {(record.source.sha256 or '')[:16]}"
    committed = committed_hashes(here.file) if here.package is not None else None
    if committed is not None and record.source.sha256 in committed:
        return f"the source ({stated}) is that of another commit of simbench than the one here"
    if committed is not None:
        return Discrepancy("metric", f"{record.label}.source", note=f"{stated}: that of no commit that is here")
    if record.source.package == here.package:
        return Discrepancy(
            "metric", f"{record.label}.source", note=f"{stated}: the code here has sha256 {(here.sha256 or '')[:16]}"
        )
    return f"the source ({stated}) is not the one here ({here.package}); nothing here has that release"
