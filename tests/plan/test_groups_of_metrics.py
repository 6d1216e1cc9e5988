"""Groups of metrics: `all`, `default`, families, and what is left out of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from simbench.errors import SimbenchError, SuiteError, UnknownNameError
from simbench.metrics.resolve import resolve_metrics, without
from simbench.plan.suite_metrics import gather_metrics
from simbench.registry import METRICS
from simbench.run.session import prepare
from simbench.suite.load import load_suite

SUITE = """
suite: mine
version: 1
probe: {dataset: digits, inputs: 100}
models: {mlp: {architecture: mlp, train: {dataset: digits, epochs: 1}}}
METRICS
tests: [{id: identity, kind: identity, models: [mlp]}]
"""


def names(tmp_path: Path, metrics: str) -> list[str]:
    path = tmp_path / "mine.yaml"
    path.write_text(SUITE.replace("METRICS", metrics))
    return [metric.label for metric in gather_metrics(load_suite(str(path)))]


def of_family(*families: str) -> set[str]:
    return {name for name, metric in METRICS if metric.family in families}


@pytest.mark.parametrize("declared", ["metrics: all", "metrics: {name: all}", "metrics: [all]", "metrics: [all, cka]"])
def test_all_is_every_registered_metric(tmp_path: Path, declared: str) -> None:
    assert set(names(tmp_path, declared)) == set(METRICS.names())


def test_a_family_is_named_in_any_case_and_takes_parameters(tmp_path: Path) -> None:
    assert set(names(tmp_path, "metrics: family:cka")) == of_family("CKA")
    assert {metric.name for metric in resolve_metrics(["family:CKA"])} == of_family("CKA")
    labels = names(tmp_path, "metrics: [{name: 'family:RSA', bootstrap: inputs}]")
    assert labels
    assert all(label.endswith("bootstrap=inputs)") for label in labels)


def test_what_except_names_is_left_out(tmp_path: Path) -> None:
    left = set(names(tmp_path, "metrics: {name: all, except: [svcca, family:stitching]}"))
    assert left == set(METRICS.names()) - of_family("stitching") - {"svcca"}
    kept = names(tmp_path, "metrics: [{name: default, except: [cka]}, {name: svcca, variance: 0.9}]")
    assert "cka" not in kept
    assert [label for label in kept if label.startswith("svcca")] == ["svcca(variance=0.9)"]


@pytest.mark.parametrize(
    ("declared", "problem"),
    [
        ("metrics: family:CKB", r'mine.yaml:6:10: unknown family of metrics "CKB"; did you mean "CKA"'),
        ("metrics: [{name: all, except: [svca]}]", r'mine.yaml:6:32: unknown metric "svca"; did you mean "svcca"'),
        ("metrics: {name: all, except: [family:CKB]}", r'6:31: unknown family of metrics "CKB"; did you mean "CKA"'),
        ("metrics: {name: all, except: svcca}", r"6:30: except: a list of names of metrics, or of families"),
        ("metrics: {name: all, excpt: [svcca]}", r'6:22: .*unknown parameter "excpt"'),
        ("metrics: {name: cka, except: [svcca]}", r'6:22: .*unknown parameter "except"'),
    ],
)
def test_what_is_wrong_with_a_group_is_said_where_it_stands(tmp_path: Path, declared: str, problem: str) -> None:
    with pytest.raises(SuiteError, match=problem):
        names(tmp_path, declared)


def test_a_run_leaves_out_what_except_names(tmp_path: Path) -> None:
    names(tmp_path, "metrics: [cka, svcca]")
    plan = prepare(str(tmp_path / "mine.yaml"), ["family:RSA"], excluded=["svcca", "family:rsa"])
    assert [planned.metric.label for planned in plan.board] == ["cka"]
    with pytest.raises(UnknownNameError, match='unknown metric "svca"; did you mean "svcca"'):
        prepare(str(tmp_path / "mine.yaml"), excluded=["svca"])
    with pytest.raises(SimbenchError, match="without all no metric is left to score"):
        prepare(str(tmp_path / "mine.yaml"), excluded=["all"])


def test_a_label_leaves_out_that_choice_of_parameters_only() -> None:
    metrics = resolve_metrics(["svcca", "svcca(variance=0.9)"])
    assert [metric.label for metric in without(metrics, ["svcca(variance=0.9)"])] == ["svcca"]
    assert without(metrics, ["svcca"]) == []
