"""The kinds of things that can be listed and described."""

from __future__ import annotations

from enum import StrEnum


class ListedKind(StrEnum):
    """What can be listed."""

    metrics = "metrics"
    tests = "tests"
    transforms = "transforms"
    datasets = "datasets"
    architectures = "architectures"
    generators = "generators"
    reparametrisations = "reparametrisations"
    loaders = "loaders"
    engines = "engines"
    suites = "suites"
