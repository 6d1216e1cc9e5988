"""Kinds of components that can be listed and described."""

from __future__ import annotations

from enum import StrEnum


class ListedKind(StrEnum):
    """Kinds that `simbench list` takes."""

    metrics = "metrics"
    tests = "tests"
    transforms = "transforms"
    datasets = "datasets"
    architectures = "architectures"
    generators = "generators"
    reparametrisations = "reparametrisations"
    loaders = "loaders"
    engines = "engines"
    wrappers = "wrappers"
    suites = "suites"
