"""Describe the suite of a bundle, so that a reader sees what was asked: tests, thresholds, competitors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from simbench.bundles.contents import Contents
from simbench.bundles.portable_suite import suite_differences, suite_digest
from simbench.errors import SuiteError
from simbench.plan.suite_metrics import gather_metrics
from simbench.suite.load import bundled_suites, load_suite
from simbench.suite.schema import Suite

# Largest number of differences from a shipped suite that are listed.
LISTED = 5


@dataclass(frozen=True)
class SuiteFacts:
    """Questions of a bundle's suite, and how it stands to the suites that ship with this simbench."""

    digest: str
    """Checksum of all that decides a verdict: equal suites have equal digests, whatever their text says."""
    standing: str
    """Whether it is one that ships, and how it differs from the one most like it."""
    tests: tuple[tuple[str, str, str], ...]
    """Id, kind and threshold of every test."""
    metrics: tuple[str, ...]
    """Metrics on the board."""
    absent: tuple[str, ...] = field(default=())
    """Metrics of the shipped suite that are not on the board."""


def suite_facts(contents: Contents) -> SuiteFacts:
    """Return the facts of a bundle's suite."""
    suite = contents.suite
    on_board = tuple(metric.label for metric in contents.metrics if metric.on_board)
    same_name = bundled_suites().get(suite.suite)
    shipped = load_suite(str(same_name)) if same_name is not None else None
    absent: tuple[str, ...] = ()
    if shipped is not None and not suite_differences(suite, shipped):
        text = "" if suite.about == shipped.about else ", with another text"
        standing = f"the {shipped.title} that ships with this simbench{text}"
        absent = tuple(metric.label for metric in gather_metrics(shipped) if metric.label not in on_board)
    else:
        other = shipped or _most_like(suite)
        standing = "none that ships with this simbench" if other is None else _against(suite, other)
    tests = tuple((test.id, test.kind, test.pass_if) for test in suite.tests)
    return SuiteFacts(suite_digest(suite), standing, tests, on_board, absent)


def _most_like(suite: Suite) -> Suite | None:
    """Return the shipped suite that shares most tests by id, if it is half of its own or more."""
    ids = {test.id for test in suite.tests}
    shipped = list(_loadable(bundled_suites().values()))
    shared = {other.title: len(ids & {test.id for test in other.tests}) for other in shipped}
    best = max(shipped, key=lambda other: shared[other.title], default=None)
    return best if best is not None and 2 * shared[best.title] >= len(best.tests) else None


def _loadable(paths: Iterable[Path]) -> Iterator[Suite]:
    """Yield suites, without those whose plugins are not there: what they ask cannot be known."""
    for path in paths:
        with suppress(SuiteError):
            yield load_suite(str(path))


def _against(suite: Suite, shipped: Suite) -> str:
    """Return in words what a suite has otherwise than a shipped one."""
    ours = {test.id: test for test in suite.tests}
    theirs = {test.id: test for test in shipped.tests}
    differences = [f"without its test {name}" for name in theirs if name not in ours]
    differences += [
        f"{name} passes if {ours[name].pass_if}, not {theirs[name].pass_if}"
        for name in theirs
        if name in ours and ours[name].pass_if != theirs[name].pass_if
    ]
    differences += [
        f"other settings of {name}"
        for name in theirs
        if name in ours and _settings(ours[name]) != _settings(theirs[name])
    ]
    differences += [f"another test {name}" for name in ours if name not in theirs]
    differences += [f"other {part}" for part in ("models", "probe") if getattr(suite, part) != getattr(shipped, part)]
    return f"not the {shipped.title} that ships with this simbench: {_listed(differences)}"


def _settings(test: object) -> dict[str, object]:
    return {name: value for name, value in vars(test).items() if name != "pass_if"}


def _listed(differences: Sequence[str]) -> str:
    more = f" and {len(differences) - LISTED} more" if len(differences) > LISTED else ""
    return "; ".join(differences[:LISTED]) + more if differences else "another version"
