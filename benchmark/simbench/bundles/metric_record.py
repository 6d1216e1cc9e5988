"""Record a metric in a bundle: everything that planning and grading need, and where its source stands."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from simbench.declaration import MetricInfo
from simbench.files import file_digest
from simbench.metrics.metric import Metric
from simbench.origins import Origin


class SourcePointer(BaseModel):
    """A pointer to the code of a metric, and its hash; never the code, as nothing in a bundle is executed.

    Attributes:
        file: its path inside the package, or its name alone.
        line: where the metric is defined.
        sha256: of the file; None where it was not at hand.
        package: the installed distribution and its version, for a metric that a package brings.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    line: int
    sha256: str | None
    package: str | None = None


class MetricRecord(MetricInfo):
    """One metric of a bundle.

    Attributes:
        source: where its code stands.
        scores: the file of its score records.
        on_board: False for a reference variable that tests need, which is not itself put to the test.
    """

    source: SourcePointer
    scores: str
    on_board: bool = True


@dataclass(frozen=True)
class RecordedMetric(Metric):
    """A stand-in for a metric whose code is not at hand: it can be planned and graded, not called."""

    record: MetricRecord = field(kw_only=True)

    @cached_property
    def label(self) -> str:
        """The recorded label: the code alone knows which parameters are defaults."""
        return self.record.label

    @cached_property
    def identity(self) -> str:
        """The recorded identity."""
        return self.record.identity

    @property
    def interface(self) -> str:
        """The recorded interface."""
        return self.record.interface

    @property
    def summary(self) -> str:
        """The recorded summary."""
        return self.record.summary


def record_of(metric: Metric, *, on_board: bool = True) -> MetricRecord:
    """Return what a bundle says of a metric."""
    if isinstance(metric, RecordedMetric):
        return metric.record
    # In the order in which JSON with sorted keys is read back.
    parameters = _with_sorted_keys(metric.parameters)
    return MetricRecord(
        **{**dict(metric.info), "parameters": parameters},
        source=_pointer(metric.origin),
        scores=f"scores/{file_name(metric.label)}.jsonl",
        on_board=on_board,
    )


def recorded_metric(record: MetricRecord) -> Metric:
    """Return the stand-in for a recorded metric."""
    return RecordedMetric(
        **vars(record.declaration),
        function=_not_at_hand,
        parameters=record.parameters,
        origin=Origin(record.origin, record.source.file, record.source.line),
        record=record,
    )


def declared_otherwise(record: MetricRecord, metric: Metric) -> Iterator[tuple[str, Any]]:
    """Yield what a record says of a metric and its code, of the same identity, does not: names and recorded values."""
    recorded, own = _statements(record), _statements(record_of(metric))
    yield from ((name, recorded[name]) for name in recorded if recorded[name] != own[name])


def _statements(record: MetricRecord) -> dict[str, Any]:
    # Under one version the source may have moved and its summary been reworded; the rest decides keys and grades.
    stated = record.model_dump(include={"identity", "interface", "declaration"})
    # Whether it is a default metric decides nothing about a suite that is resolved.
    return {**stated, **stated.pop("declaration"), "default": None}


def file_name(label: str) -> str:
    """Return a name that any file system takes, and that differs where labels do.

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
    """Return the origin without the folders of whoever packed it."""
    path = Path(origin.file)
    digest = file_digest(path) if path.is_file() else None
    if origin.of_file:
        return SourcePointer(file=path.name, line=origin.line, sha256=digest)
    file = "/".join([*origin.module.split(".")[:-1], path.name])
    return SourcePointer(file=file, line=origin.line, sha256=digest, package=_package(origin.module))


def _with_sorted_keys(value: Any) -> Any:
    """Sort the keys of a mapping, and of the mappings in it: options of a wrapper are one."""
    if isinstance(value, Mapping):
        return {name: _with_sorted_keys(inner) for name, inner in sorted(value.items())}
    return value


def _package(module: str) -> str | None:
    """Return the distribution that brings a module, with its version; None for one that no package brings."""
    import simbench

    top = module.partition(".")[0]
    if top == "simbench":
        return f"simbench-leaderboard {simbench.__version__}"
    distributions = sorted(set(_distributions().get(top, ())))
    return f"{distributions[0]} {importlib.metadata.version(distributions[0])}" if distributions else None


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    """Read the file list of everything installed: this takes seconds, so once, and only for a plugin."""
    return importlib.metadata.packages_distributions()
