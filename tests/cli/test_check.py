"""`check` validates suites and measures metrics."""

from __future__ import annotations

import json

import numpy as np
import pytest

from simbench.errors import ExitCode


@pytest.mark.parametrize("suite", ["quick", "sanity"])
def test_bundled_suites_are_valid(invoke, suite):
    done = invoke("check", suite)
    assert done.exit_code == 0, done.stderr
    assert "is valid" in done.stdout


def test_every_problem_of_a_suite_is_reported_with_its_place(invoke, tmp_path):
    invoke("new", "suite", "mine")
    path = tmp_path / "mine.yaml"
    path.write_text(path.read_text().replace("inputs: 300", "imputs: 300").replace("kind: identity", "kind: identty"))
    done = invoke("check", path)
    assert done.exit_code == ExitCode.USAGE
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert all("mine.yaml:" in line and "did you mean" in line for line in lines)


def test_a_test_that_asks_nothing_of_any_metric_is_a_mistake(invoke, tmp_path):
    invoke("new", "suite", "mine")
    path = tmp_path / "mine.yaml"
    text = path.read_text()
    path.write_text(text + "  - {id: groups, kind: group_separation, models: [mlp]}\n")
    done = invoke("check", path)
    assert done.exit_code == ExitCode.VERDICT_FAILED, done.stdout + done.stderr
    assert "asks nothing of any metric of this suite: group_separation needs two groups of models" in done.stdout
    problems = {test["id"]: test["problem"] for test in json.loads(invoke("check", path, "--json").stdout)["tests"]}
    assert [name for name, problem in problems.items() if problem] == ["groups"]


def test_a_metric_that_keeps_its_declarations_passes(invoke, metric_file):
    body = "x, y = x.double() - x.double().mean(0), y.double() - y.double().mean(0); return float("
    body += "(y.T @ x).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm()))"
    done = invoke("check", metric_file("sound", body, ', invariant_to={"orthogonal"}'))
    assert done.exit_code == 0, done.stdout + done.stderr


def test_a_declaration_that_does_not_hold_exits_with_1(invoke, metric_file):
    path = metric_file("biased", "return float(x.double().mean() / (1 + x.double().abs().mean()))")
    done = invoke("check", path)
    assert done.exit_code == ExitCode.VERDICT_FAILED
    assert "✗" in done.stdout


@pytest.mark.parametrize("body", ["raise ValueError(0)", "return float('nan')", "raise SystemExit(0)"])
def test_of_a_metric_without_values_only_that_is_said(invoke, metric_file, body):
    path = metric_file("silent", body)
    done = invoke("check", path)
    assert done.exit_code == ExitCode.VERDICT_FAILED
    assert "✓" not in done.stdout
    assert "7 of 24 properties do not hold, 17 could not be measured" in done.stdout
    (checked,) = json.loads(invoke("check", path, "--json").stdout)
    assert [one["ok"] for one in checked["findings"]] == [False] * 7 + [None] * 17
    assert all(one["detail"] for one in checked["findings"] if one["ok"] is None)


def test_a_file_that_exits_when_it_is_imported_is_answered_with_its_line(invoke, tmp_path):
    (tmp_path / "script.py").write_text("import sys\n\nsys.exit(0)\n")
    done = invoke("check", "script.py")
    assert (done.exit_code, done.stderr) == (2, "error: script.py:3: cannot be imported: SystemExit: 0\n")


def test_a_json_check_of_a_metric_is_one_document(shell, metric_file):
    path = metric_file("loud", 'print("hello"); return float(x.double().mean())')
    (checked,) = json.loads(shell("check", path, "--json").stdout)
    assert (checked["metric"], checked["ok"]) == ("loud", False)
    assert {"property", "declared", "measured", "ok", "detail"} == checked["findings"][0].keys()


def test_a_file_without_a_metric_is_answered_with_what_to_do(invoke, tmp_path):
    (tmp_path / "empty.py").write_text("def cka2(x, y):\n    return 1.0\n")
    assert "defines no metric; decorate" in invoke("check", "empty.py").stderr
    assert "empty.py:cka2 is not a metric; decorate" in invoke("check", "empty.py:cka2").stderr


def test_a_file_that_cannot_be_imported_is_answered_with_its_line(invoke, tmp_path):
    (tmp_path / "bad.py").write_text("import simbench\n\nraise ValueError('boom')\n")
    done = invoke("check", "bad.py")
    assert (done.exit_code, done.stderr) == (2, "error: bad.py:3: cannot be imported: ValueError: boom\n")


def test_a_name_that_is_neither_suite_nor_metric_is_answered_with_the_nearest(invoke):
    assert 'did you mean "sanity"?' in invoke("check", "santy").stderr


def test_layers_that_are_on_disk_are_shown_in_their_order(invoke, tmp_path):
    for member in "ab":
        (tmp_path / member).mkdir()
        for number, layer in enumerate(("block2", "block10")):
            np.save(
                tmp_path / member / f"{layer}.npy", np.random.default_rng([ord(member), number]).normal(size=(9, 3))
            )
    (tmp_path / "given.yaml").write_text(
        'suite: given\nversion: 1\nmodels: {mine: {activations: "{member}/{layer}.npy", members: [a, b]}}\n'
        "metrics: [cka]\ntests: [{id: same, kind: identity, models: [mine]}]\n"
    )
    done = invoke("check", "given.yaml")
    assert done.exit_code == 0, done.stderr
    lines = ("probe    none: activations are given", "models   mine (2)", "layers   mine: block2, block10")
    assert all(f"\n  {line}\n" in done.stdout for line in lines)
    assert json.loads(invoke("check", "given.yaml", "--json").stdout)["layers"] == {"mine": ["block2", "block10"]}
    np.save(tmp_path / "a" / "conv.npy", np.zeros((9, 3, 3, 3)))
    np.save(tmp_path / "b" / "conv.npy", np.ones((9, 3, 3, 3)))
    for verb in ("check", "plan"):
        done = invoke(verb, "given.yaml")
        assert done.exit_code == ExitCode.USAGE
        assert "models.mine.layout: conv: which axis of (9, 3, 3, 3) holds the features cannot be told" in done.stderr
