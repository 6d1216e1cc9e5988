"""A metric as a bundle records it: everything that planning and grading need, and where its source stands."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from simbench.files import file_digest
from simbench.metrics.metric import Cost, Level, Metric
from simbench.registry import Origin


class SourcePointer(BaseModel):
    """Where the code of a metric stands. A pointer and a hash, never the code: nothing in a bundle is executed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    module: str
    file: str
    line: int
    sha256: str | None
    package: str | None = None
    """The installed distribution and its version, for a metric that a package brings."""


class MetricRecord(BaseModel):
    """One metric of a bundle."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str = Field(min_length=1, max_length=200)
    name: str = Field(min_length=1, max_length=200)
    identity: str = Field(min_length=1, max_length=300)
    version: int | None
    parameters: dict[str, Any]
    higher_is_more_similar: bool
    symmetric: bool
    value_range: tuple[float | None, float | None]
    """None stands for no bound."""
    triangle_inequality: bool = False
    invariant_to: list[str]
    needs: list[str]
    level: Level
    interface: str
    cost: Cost
    family: str
    summary: str
    formula: str
    reference: str
    source: SourcePointer
    scores: str
    """The file of its score records."""
    on_board: bool = True
    """False for a reference variable that tests need, which is not itself put to the test."""


@dataclass(frozen=True)
class RecordedMetric(Metric):
    """Stands in for a metric whose code is not at hand: it can be planned and graded, not called."""

    recorded: MetricRecord | None = None

    @cached_property
    def label(self) -> str:
        """As recorded: defaults are only known to the code."""
        assert self.recorded is not None
        return self.recorded.label

    @cached_property
    def identity(self) -> str:
        """As recorded."""
        assert self.recorded is not None
        return self.recorded.identity

    @property
    def interface(self) -> str:
        """As recorded."""
        assert self.recorded is not None
        return self.recorded.interface

    @property
    def summary(self) -> str:
        """As recorded."""
        assert self.recorded is not None
        return self.recorded.summary


DECLARED = (
    *("name", "version", "higher_is_more_similar", "symmetric", "triangle_inequality"),
    *("level", "cost", "family", "formula", "reference"),
)


def record_of(metric: Metric, *, on_board: bool = True) -> MetricRecord:
    """What a bundle says of a metric."""
    if isinstance(metric, RecordedMetric) and metric.recorded is not None:
        return metric.recorded
    low, high = metric.value_range
    return MetricRecord(
        **{name: getattr(metric, name) for name in DECLARED},
        label=metric.label,
        identity=metric.identity,
        parameters=dict(metric.parameters),
        value_range=(low if abs(low) < float("inf") else None, high if abs(high) < float("inf") else None),
        invariant_to=sorted(metric.invariant_to),
        needs=sorted(metric.needs),
        interface=metric.interface,
        summary=metric.summary,
        source=_pointer(metric.origin),
        scores=f"scores/{file_name(metric.label)}.jsonl",
        on_board=on_board,
    )


def recorded_metric(record: MetricRecord) -> Metric:
    """The stand-in for a recorded metric."""
    low, high = record.value_range
    return RecordedMetric(
        **{name: getattr(record, name) for name in DECLARED},
        function=_not_at_hand,
        value_range=(float("-inf") if low is None else low, float("inf") if high is None else high),
        invariant_to=frozenset(record.invariant_to),
        needs=frozenset(record.needs),
        parameters=record.parameters,
        # A file of the author's has no module that means anything to others.
        origin=Origin(record.source.module or record.source.file, record.source.file, record.source.line),
        recorded=record,
    )


def declared_otherwise(record: MetricRecord, known: Metric) -> list[str]:
    """What a record says of a metric and its code, of the same identity, does not."""
    own = record_of(known)
    # The source may have moved or been reformatted under one version; the rest decides keys, direction and grades.
    ignored = {"source", "scores", "label", "parameters", "on_board"}
    return [
        name
        for name in MetricRecord.model_fields
        if name not in ignored and getattr(own, name) != getattr(record, name)
    ]


def file_name(label: str) -> str:
    """A name that any file system takes, and that differs where labels do.

    >>> file_name("cka")
    'cka'
    >>> file_name("svcca(variance=0.9)")
    'svcca_variance_0.9_-00725634'
    """
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", label)[:60].lstrip(".") or "metric"
    return plain if plain == label else f"{plain}-{hashlib.sha256(label.encode()).hexdigest()[:8]}"


def _not_at_hand(x: Any, y: Any) -> float:
    raise NotImplementedError("the code of this metric is not at hand")


def _pointer(origin: Origin) -> SourcePointer:
    """The origin without the folders of whoever packed it."""
    path = Path(origin.file)
    digest = file_digest(path) if path.is_file() else None
    if origin.module.startswith("simbench_file_"):
        # The module's name is derived from a path of the author's.
        return SourcePointer(module="", file=PurePath(origin.file).name, line=origin.line, sha256=digest)
    file = "/".join([*origin.module.split(".")[:-1], path.name])
    return SourcePointer(
        module=origin.module, file=file, line=origin.line, sha256=digest, package=_package(origin.module)
    )


def _package(module: str) -> str | None:
    """The distribution that brings a module, with its version; None for one that no package brings."""
    import simbench

    top = module.partition(".")[0]
    if top == "simbench":
        return f"simbench-leaderboard {simbench.__version__}"
    found = sorted(set(_distributions().get(top, ())))
    return f"{found[0]} {importlib.metadata.version(found[0])}" if found else None


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    """Reads the file list of everything installed: seconds, so once, and only for a plugin."""
    return importlib.metadata.packages_distributions()
