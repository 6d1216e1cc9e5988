"""A reader of a report sees what was asked: a test, a threshold or a competitor that was removed is in the open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from tests.verify.forging import consistent, part, reseal

from simbench.bundles.contents import parse
from simbench.bundles.portable_suite import suite_digest
from simbench.verify.report import Report, lines

Files = dict[str, bytes]
Check = Callable[..., Report]


@pytest.fixture(autouse=True)
def shipped(monkeypatch: pytest.MonkeyPatch, made: Any) -> None:
    """The tiny suite is the only one that ships."""
    monkeypatch.setattr("simbench.verify.suite_facts.bundled_suites", lambda: {"tiny": made.suite})
    monkeypatch.setattr("simbench.verify.regrade.bundled_suites", lambda: {"tiny": made.suite})


def with_suite(files: Files, **changes: Any) -> Files:
    suite = yaml.safe_load(files["suite.yaml"])
    suite.update(changes)
    return consistent(reseal({**files, "suite.yaml": yaml.safe_dump(suite, sort_keys=False).encode()}))


def suite_tests(files: Files) -> list[dict[str, Any]]:
    tests: list[dict[str, Any]] = yaml.safe_load(files["suite.yaml"])["tests"]
    return tests


def test_tests_thresholds_and_digest_are_printed(files: Files, check: Check) -> None:
    text = "\n".join(lines(check(files)))
    digest = suite_digest(parse(files).suite)[:16]
    assert f"suite: digest {digest}: the tiny@1 that ships with this simbench" in text
    assert "test correspondence (correspondence): passes if >= 0.95" in text
    assert "metrics on the board: 4: cka, procrustes, stitch_task(epochs=2), own" in text


def test_what_no_level_proves_is_said(files: Files, check: Check) -> None:
    report = check(files)
    (line,) = [line for line in lines(report) if line.startswith("no level proves: ")]
    assert all(word in line for word in ("seconds", "machine", "text about the suite"))
    assert report.to_dict()["never_proved"][0].startswith("seconds")


def test_a_competitor_that_was_left_out_is_named(files: Files, check: Check, made: Any) -> None:
    report = check(part(files, "procrustes", "own"), metrics=[str(made.own)])
    assert report.suite is not None
    assert report.suite.absent == ("cka", "stitch_task(epochs=2)")
    assert "  metrics of the suite that are not on the board: cka, stitch_task(epochs=2)" in lines(report)


@pytest.mark.parametrize("name", ["tiny", "mine"])
def test_a_test_that_was_left_out_is_named(files: Files, check: Check, name: str) -> None:
    report = check(with_suite(part(files, "cka"), suite=name, version=2, tests=suite_tests(files)[:2]))
    assert report.suite is not None
    assert report.suite.standing == "not the tiny@1 that ships with this simbench: without its test correspondence"
    assert [test[0] for test in report.suite.tests] == ["identity", "invariance"]


def test_another_threshold_is_named(files: Files, check: Check) -> None:
    tests = suite_tests(files)
    tests[2]["pass_if"] = ">= 0.1"
    report = check(with_suite(part(files, "cka"), suite="mine", tests=tests))
    assert report.suite is not None
    assert report.suite.standing.endswith(": correspondence passes if >= 0.1, not >= 0.95")
    assert ("correspondence", "correspondence", ">= 0.1") in report.suite.tests
    assert report.suite.digest != suite_digest(parse(files).suite)


def test_another_setting_of_a_test_is_named(files: Files, check: Check) -> None:
    tests = suite_tests(files)
    tests[2]["distance"] = 2
    report = check(with_suite(part(files, "cka"), suite="mine", tests=tests))
    assert report.suite is not None
    assert report.suite.standing.endswith(": other settings of correspondence")


def test_another_text_has_the_same_digest_and_is_said(files: Files, check: Check) -> None:
    report = check(with_suite(part(files, "cka"), about="Proves everything."))
    assert report.suite is not None
    assert report.suite.digest == suite_digest(parse(files).suite)
    assert report.suite.standing.endswith("that ships with this simbench, with another text")


def test_a_suite_like_none_that_ships_is_said_to_be_so(files: Files, check: Check) -> None:
    tests = [{**test, "id": f"my_{test['id']}"} for test in suite_tests(files)]
    report = check(with_suite(part(files, "cka"), suite="mine", tests=tests))
    assert report.suite is not None
    assert report.suite.standing == "none that ships with this simbench"
