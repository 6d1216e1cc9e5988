"""Errors that reach the user say what is wrong and what would be right."""

from __future__ import annotations

import pytest

from simbench.errors import ExitCode, NotApplicable, SimbenchError, SuiteError, UnknownNameError, suggestion


def test_exit_codes_are_what_the_documentation_says():
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0, "VERDICT_FAILED": 1, "USAGE": 2, "INCOMPLETE": 3, "INTERRUPTED": 130,
    }  # fmt: skip


def test_an_error_of_the_user_is_a_usage_error_unless_it_says_otherwise():
    assert SimbenchError("x").exit_code == ExitCode.USAGE


def test_an_unknown_name_keeps_what_was_asked_and_what_there_is():
    error = UnknownNameError("metric", "ckaa", ["cka", "cca"])
    assert (error.kind, error.name, error.valid) == ("metric", "ckaa", ("cka", "cca"))
    assert str(error) == 'unknown metric "ckaa"; did you mean "cka"?'


def test_a_suite_error_has_all_problems_a_line_each():
    error = SuiteError(["a:1:1: one", "a:2:2: two"])
    assert error.problems == ("a:1:1: one", "a:2:2: two")
    assert str(error).splitlines() == list(error.problems)


def test_what_is_not_applicable_is_no_error_of_the_user():
    assert not issubclass(NotApplicable, SimbenchError)


@pytest.mark.parametrize(
    ("name", "valid", "said"),
    [
        ("distanse", ["distance", "kind"], '; did you mean "distance"?'),
        ("zzz", ["b", "a"], "; valid: a, b"),
        ("zzz", [], ""),
        ("zzz", [f"name{number:02}" for number in range(20)], "name11, …"),
    ],
)
def test_a_suggestion_is_the_nearest_name_or_all_of_a_few(name, valid, said):
    assert suggestion(name, valid).endswith(said)
