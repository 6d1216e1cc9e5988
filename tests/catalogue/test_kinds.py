"""Kinds of components that are listed."""

from __future__ import annotations

from simbench.catalogue.kinds import ListedKind
from simbench.registry import REGISTRIES


def test_every_registry_is_listed_and_suites_besides() -> None:
    assert sorted(ListedKind) == sorted([*(registry.plural for registry in REGISTRIES), "suites"])
