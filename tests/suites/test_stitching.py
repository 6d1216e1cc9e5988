"""What the suite `stitching` is there to show, on two smaller networks that are really trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.shared_runs import run_shared
from tests.suites.reduced import grade

from simbench.run.session import RunResult, prepare
from simbench.suite.load import load_suite

REDUCED = """\
suite: reduced
extends: stitching
probe: {inputs: 500, rows: 2000, fit: {inputs: 2000}}
models:
  cnn: {architecture: {depth: 5}, train: {epochs: 10}, seeds: [0, 1], layers: [block1, block3, block5]}
metrics: [cka, stitch_direct, stitch_direct_r2, {name: stitch_task, epochs: 8}]
"""
TASK = "stitch_task(epochs=8)"


@pytest.fixture(scope="module")
def reduced(tmp_path_factory: pytest.TempPathFactory, shared_store: Path) -> RunResult:
    path = tmp_path_factory.mktemp("stitching") / "reduced.yaml"
    path.write_text(REDUCED)
    return run_shared(str(path), shared_store, ["identity", "far_pair", "noise"])


@pytest.mark.parametrize("metric", ["cka", "stitch_direct_r2"])
def test_a_layer_is_known_from_the_others_but_not_by_the_task_loss(reduced: RunResult, metric: str) -> None:
    assert grade(reduced, metric, "identity") == 1.0
    assert grade(reduced, TASK, "identity") <= 0.6


@pytest.mark.parametrize(
    ("metric", "column"),
    [("cka", "far_pair"), ("stitch_direct_r2", "far_pair/as sender"), ("stitch_direct", "far_pair/as sender")],
)
def test_the_last_layer_replaces_the_first_by_the_task_loss_only(reduced: RunResult, metric: str, column: str) -> None:
    assert grade(reduced, metric, column) >= 0.5
    assert grade(reduced, TASK, "far_pair/as sender") <= 0.1


def test_the_first_layer_replaces_the_last_by_accuracy_however_it_is_matched(reduced: RunResult) -> None:
    """With the last layer as receiver direct matching reaches the accuracy, too, but not the R²."""
    assert grade(reduced, "stitch_direct_r2", "far_pair/as receiver") >= 0.5
    assert grade(reduced, "stitch_direct", "far_pair/as receiver") < 0.5
    assert grade(reduced, TASK, "far_pair/as receiver") < 0.5


def test_labels_without_content_are_stitched_and_only_the_structural_index_sees_it(reduced: RunResult) -> None:
    assert grade(reduced, "cka", "noise/class_noise") >= 0.7
    assert grade(reduced, "stitch_direct_r2", "noise/class_noise") >= 0.7
    assert grade(reduced, "stitch_direct_r2", "noise/class_noise as receiver") >= 0.7
    assert grade(reduced, "stitch_direct", "noise/class_noise") < 0.7
    assert grade(reduced, TASK, "noise/class_noise") <= 0.1


def test_its_models_are_those_of_the_sanity_suite() -> None:
    ours, theirs = ({ref: model.key for ref, model in prepare(name).models.items()} for name in ("stitching", "sanity"))
    assert {ref: key for ref, key in ours.items() if ref.group == "cnn"}.items() <= theirs.items()


def test_the_twin_asks_the_same_of_larger_networks() -> None:
    small, large = load_suite("stitching"), load_suite("stitching-cifar10")
    assert [test.kind for test in large.tests] == [test.kind for test in small.tests]
    assert {choice.name for choice in small.metrics} <= {choice.name for choice in large.metrics} | {"cca"}
    assert all(planned.scores for planned in prepare("stitching-cifar10").metrics)
