"""A run from a YAML file to verdicts: what it computes, what it does not, and what failures leave whole."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.board.infos import metric_info

import simbench
from simbench.board.board import BoardColumn, Row
from simbench.board.standing import board_of
from simbench.errors import ExitCode, SimbenchError
from simbench.metrics.metric import metric
from simbench.registry import METRICS
from simbench.run.events import Event, StageStarted, Warned
from simbench.run.session import RunResult, Work, prepare, run, stored_results
from simbench.verdicts.verdict import Verdict


@pytest.fixture(autouse=True)
def registered_metrics_are_forgotten() -> Iterator[None]:
    with METRICS.isolated():
        yield


def serially(suite: Path, store: Path, **options: Any) -> RunResult:
    return run(str(suite), store=store, engine="serial", device="cpu", **options)


def verdict(result: RunResult, label: str, test: str) -> Verdict:
    return next(ranked.row.verdicts[test] for ranked in result.board.rows if ranked.row.metric.label == label)


def mean_of_products(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x * y).mean()


def register(function: Callable[..., Any], name: str = "mine", **declared: Any) -> Callable[..., Any]:
    return metric(name, higher_is_more_similar=True, **declared)(function)


def test_a_cold_run_trains_scores_and_grades(tiny: Path, store: Path) -> None:
    result = serially(tiny, store)
    assert (result.work.trained, result.work.models_cached) == (2, 0)
    assert result.work.scored > 0
    assert result.complete
    assert verdict(result, "cka", "identity").grade == 1.0
    assert verdict(result, "cka", "invariance/orthogonal").grade == 1.0


def test_groups_that_share_their_models_share_models_activations_and_scores(tiny: Path, store: Path) -> None:
    text = tiny.read_text()
    text = text.replace("metrics: [cka, {name: stitch_task, epochs: 2}]", "  same: {like: mlp}\nmetrics: [cka]")
    tiny.write_text(text.replace("kind: identity, models: [mlp]", "kind: identity, models: [mlp, same]"))
    result = serially(tiny, store)
    assert result.complete
    assert result.work.trained == 2
    assert result.work.scored == serially(tiny, store, force=True).work.scored
    assert verdict(result, "cka", "identity").grade == 1.0


def test_a_test_of_the_second_of_two_groups_that_share_models_runs_alone(tiny: Path, store: Path) -> None:
    text = tiny.read_text().replace("metrics:", "  same: {like: mlp, seeds: [1, 2]}\nmetrics:")
    tiny.write_text(text.replace("kind: identity, models: [mlp]", "kind: identity, models: [same]"))
    result = serially(tiny, store, only=["identity"])
    assert result.complete
    assert result.work.trained == 2


def test_a_second_run_computes_nothing_and_concludes_the_same(tiny: Path, store: Path) -> None:
    first = serially(tiny, store).to_dict()
    again = serially(tiny, store)
    assert (again.work.trained, again.work.scored) == (0, 0)
    assert again.to_dict()["rows"] == first["rows"]


@pytest.mark.process
def test_worker_processes_and_one_process_give_the_same_scores(tiny: Path, tmp_path: Path) -> None:
    serial = run(str(tiny), store=tmp_path / "a", engine="serial").to_dict()["rows"]
    parallel = run(str(tiny), store=tmp_path / "b", engine="processes", jobs=2).to_dict()["rows"]
    grades = [[row["tests"]["identity"]["grade"] for row in rows] for rows in (serial, parallel)]
    assert grades[0] == grades[1]


def test_force_scores_again_and_keeps_the_models(tiny: Path, store: Path) -> None:
    first = serially(tiny, store)
    forced = serially(tiny, store, force=True)
    assert forced.work.trained == 0
    assert forced.work.scored == first.work.scored


def test_only_runs_the_tests_that_were_named(tiny: Path, store: Path) -> None:
    result = serially(tiny, store, only=["identity"])
    assert [test.id for test in result.board.tests] == ["identity"]


def test_a_suite_may_be_given_as_a_path(tiny: Path) -> None:
    assert prepare(tiny).metrics == prepare(str(tiny)).metrics


def test_another_test_in_the_suite_keeps_the_scores_it_shares(tiny: Path, store: Path) -> None:
    serially(tiny, store, only=["identity"])
    result = serially(tiny, store)
    assert result.work.scores_cached > 0
    assert result.work.trained == 0


def test_a_new_metric_is_all_that_is_computed(tiny: Path, store: Path) -> None:
    before = serially(tiny, store)
    result = serially(tiny, store, metrics=[register(mean_of_products)])
    assert result.work.scores_cached == before.work.scored
    assert verdict(result, "mine", "identity").status == "ok"


def test_a_constant_metric_passes_nothing(tiny: Path, store: Path) -> None:
    result = serially(tiny, store, metrics=[register(lambda x, y: 0.5)])
    assert verdict(result, "mine", "identity").grade == 0.0
    assert verdict(result, "mine", "invariance").passed is False


def raises(x: torch.Tensor, y: torch.Tensor) -> float:
    raise RuntimeError("the index is confused")


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (raises, f"RuntimeError: the index is confused (test_session.py:{raises.__code__.co_firstlineno + 1})"),
        (lambda x, y: float("nan"), "mine returned nan"),
        (lambda x, y: x.mean(dim=0), "mine returned an array of shape (8,), not a number"),
        (lambda x, y: "high", "mine returned str, not a number"),
        (lambda x, y: sys.exit(0), "SystemExit: 0"),
    ],
)
def test_a_broken_metric_is_an_error_with_its_reason_and_hurts_nobody_else(
    tiny: Path, store: Path, broken: Callable[..., Any], reason: str
) -> None:
    result = serially(tiny, store, metrics=[register(broken)])
    own = verdict(result, "mine", "identity")
    assert own.status == "error"
    assert reason in str(own.reason)
    assert own.passed is None
    assert verdict(result, "cka", "identity").grade == 1.0
    assert result.exit_code() == ExitCode.INCOMPLETE


def test_failures_are_tried_again(tiny: Path, store: Path, tmp_path: Path) -> None:
    marker = tmp_path / "mended"

    def moody(x: torch.Tensor, y: torch.Tensor) -> float:
        if not marker.exists():
            raise RuntimeError("not today")
        return float((x * y).mean())

    mine = register(moody, version=1)
    assert verdict(serially(tiny, store, metrics=[mine]), "mine", "identity").status == "error"
    marker.touch()
    assert verdict(serially(tiny, store, metrics=[mine]), "mine", "identity").status == "ok"


def test_a_metric_is_given_the_matrices_of_the_suites_probe(tiny: Path, store: Path) -> None:
    shapes: set[tuple[int, ...]] = set()

    def watching(x: torch.Tensor, y: torch.Tensor) -> float:
        shapes.update((tuple(x.shape), tuple(y.shape)))
        return float((x * y).mean())

    serially(tiny, store, metrics=[register(watching)], only=["identity"])
    assert shapes == {(60, 8)}


def test_damaged_activations_are_made_again_with_a_warning(tiny: Path, store: Path) -> None:
    serially(tiny, store)
    damaged = sorted((store / "activations").rglob("*.safetensors"))[0]
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 0xFF
    damaged.write_bytes(content)
    heard: list[Event] = []
    result = serially(tiny, store, force=True, listener=heard.append)
    assert any(isinstance(event, Warned) and "checksum" in event.message for event in heard)
    assert result.complete


def test_a_damaged_checkpoint_is_trained_again_with_a_warning(tiny: Path, store: Path) -> None:
    serially(tiny, store)
    weights = sorted((store / "models").rglob("*.safetensors"))[0]
    weights.write_bytes(weights.read_bytes()[:-8])
    heard: list[Event] = []
    result = serially(tiny, store, force=True, listener=heard.append)
    assert any(isinstance(event, Warned) and "trained again" in event.message for event in heard)
    assert result.work.trained == 1
    assert result.complete


def test_a_model_that_cannot_be_trained_is_an_error_in_its_cells_only(tiny: Path, store: Path) -> None:
    tiny.write_text(
        tiny.read_text().replace(
            "metrics:",
            "  broken:\n    architecture: {name: conv1d}\n    train: {dataset: digits, epochs: 1}\nmetrics:",
        )
        + "  - {id: other, kind: identity, models: [broken]}\n"
    )
    result = serially(tiny, store)
    assert verdict(result, "cka", "identity").grade == 1.0
    other = verdict(result, "cka", "other")
    assert other.status == "error"
    assert "broken/0" in str(other.reason)
    assert result.exit_code() == ExitCode.INCOMPLETE


def test_more_probe_inputs_than_there_are_is_said_in_one_line(tiny: Path, store: Path) -> None:
    tiny.write_text(tiny.read_text().replace("inputs: 60", "inputs: 6000"))
    with pytest.raises(SimbenchError, match="probe asks for 6000 inputs; digits has 500 in its test split"):
        serially(tiny, store)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_without_a_device_is_said_in_one_line(tiny: Path, store: Path) -> None:
    with pytest.raises(SimbenchError, match="there is no CUDA device here"):
        run(str(tiny), store=store, device="cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_scores_on_a_gpu_are_those_of_the_cpu(tiny: Path, tmp_path: Path) -> None:
    cpu = run(str(tiny), store=tmp_path / "cpu", device="cpu", engine="serial")
    gpu = run(str(tiny), store=tmp_path / "gpu", device="cuda", engine="serial")
    assert verdict(cpu, "cka", "identity").grade == verdict(gpu, "cka", "identity").grade


def test_a_test_that_grades_no_metric_is_a_failure(tiny: Path, store: Path) -> None:
    tiny.write_text(tiny.read_text() + "  - {id: groups, kind: group_separation, models: [mlp]}\n")
    result = run(str(tiny), store=store, engine="serial", only=["groups"])
    assert result.failures("fail") == ["groups: no metric could be graded on it"]
    assert (result.exit_code("never"), result.exit_code("fail")) == (ExitCode.OK, ExitCode.VERDICT_FAILED)


def test_the_exit_code_follows_fail_on(tiny: Path, store: Path) -> None:
    result = serially(tiny, store)
    assert verdict(result, "stitch_task(epochs=2)", "identity").passed is False
    assert result.exit_code("never") == ExitCode.OK
    assert result.exit_code("fail") == ExitCode.VERDICT_FAILED


@pytest.mark.parametrize(
    ("changes", "trips"),
    [
        ({"passed": True}, []),
        ({"passed": None}, ["undecided"]),
        ({"passed": None, "reason": "1 of 9 skip"}, ["undecided"]),
        ({"passed": False}, ["fail", "undecided"]),
        ({"passed": False, "owed": "not promised"}, []),
    ],
)
def test_fail_trips_on_fail_only_and_undecided_on_what_is_no_pass(changes: dict[str, Any], trips: list[str]) -> None:
    test = BoardColumn("identity", "identity", ">= 0.95", "")
    row = Row(metric_info("m"), {"identity": Verdict("ok", 0.95, (0.9, 1.0), **changes)}, 1, 1.0)
    board = board_of("s", 1, "", [test], [row], {})
    result = RunResult(board, Work(0, 0, 0, 0), None, Path(), 0.0)
    tripping = [value for value in ("never", "fail", "undecided") if result.exit_code(value) != ExitCode.OK]
    assert tripping == trips


def test_the_leaderboard_can_be_had_from_the_store_alone(tiny: Path, store: Path) -> None:
    result = serially(tiny, store)
    board, _ = stored_results(str(tiny), store=store)
    assert board.rows == result.board.rows


def test_what_was_never_run_is_missing_and_no_pass(tiny: Path, store: Path) -> None:
    board, _ = stored_results(str(tiny), store=store)
    verdicts = [ranked.row.verdicts["identity"] for ranked in board.rows]
    assert {(one.status, one.passed) for one in verdicts} == {("missing", None)}


def test_every_score_says_in_which_run_it_was_taken(tiny: Path, store: Path) -> None:
    result = serially(tiny, store)
    runs = result.board.provenance["runs"]
    assert len(runs) == 1
    facts = next(iter(runs.values()))
    assert torch.__version__.startswith(facts["versions"]["torch"])
    assert facts["device"] == "cpu"


def test_a_run_leaves_its_document_in_the_store(tiny: Path, store: Path) -> None:
    result = serially(tiny, store)
    assert json.loads(result.path.read_text())["rows"] == json.loads(json.dumps(result.to_dict()["rows"]))


def test_the_same_from_python(tiny: Path, store: Path) -> None:
    result = simbench.run(str(tiny), metrics=[register(mean_of_products)], store=store, engine="serial")
    assert {row["metric"] for row in result.to_dict()["rows"]} == {"cka", "stitch_task(epochs=2)", "mine"}
    assert "mine" in result._repr_html_()


def test_a_result_prints_as_a_line_and_not_as_all_its_verdicts(tiny: Path, store: Path) -> None:
    result = serially(tiny, store)
    assert str(result) == repr(result) == f"<RunResult tiny@1: 2 tests of 2 metrics, complete; {result.path}>"
    broken = serially(tiny, store, metrics=[register(lambda x, y: float("nan"))], only=["identity"])
    assert repr(broken) == f"<RunResult tiny@1: 1 test of 3 metrics, incomplete; {broken.path}>"


def test_stages_say_how_much_is_there_already(tiny: Path, store: Path) -> None:
    serially(tiny, store)
    heard: list[Event] = []
    serially(tiny, store, listener=heard.append)
    started = {event.stage: event for event in heard if isinstance(event, StageStarted)}
    assert started["models"].cached == started["models"].total == 4
    assert started["scores"].cached == started["scores"].total > 0


def test_plugins_named_in_the_suite_are_imported(tiny: Path, store: Path, tmp_path: Path) -> None:
    (tmp_path / "lab.py").write_text(
        "import simbench\n\n"
        '@simbench.metric("lab_metric", higher_is_more_similar=True)\n'
        "def lab_metric(x, y):\n    return (x * y).mean()\n"
    )
    text = tiny.read_text().replace("metrics: [cka,", "plugins: [lab.py]\nmetrics: [lab_metric, cka,")
    tiny.write_text(text)
    result = serially(tiny, store, only=["identity"])
    assert verdict(result, "lab_metric", "identity").status == "ok"


@pytest.mark.process
def test_plugins_of_the_suite_reach_the_worker_processes(tiny: Path, store: Path, tmp_path: Path) -> None:
    (tmp_path / "lab.py").write_text(
        "from simbench.models.architecture import architecture\n\n"
        '@architecture("lab_net", version=1, layers=lambda **_: ["0", "2"], embedding_layer="2")\n'
        "def lab_net(input_shape, classes):\n"
        "    from torch import nn\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, classes))\n"
    )
    text = tiny.read_text().replace("architecture: {name: mlp, width: 8, depth: 3}", "architecture: lab_net")
    tiny.write_text(text.replace("metrics: [cka,", "plugins: [lab.py]\nmetrics: [cka,").replace("[block2]", '["2"]'))
    result = run(str(tiny), store=store, jobs=1, only=["identity"])
    assert result.work.trained == 2
    assert verdict(result, "cka", "identity").status == "ok"


def test_a_reparametrisation_that_does_not_apply_is_a_skip_and_no_failure(
    tiny: Path, store: Path, tmp_path: Path
) -> None:
    tiny.write_text(
        tiny.read_text()
        .replace("architecture: {name: mlp, width: 8, depth: 3}", "architecture: {name: vit, width: 8, depth: 2}")
        .replace("[block2]", "[encoder.layers.encoder_layer_1]")
        + "  - {id: weights, kind: distribution_invariance, models: [mlp], reparametrisations: [relu_rescaling]}\n"
    )
    result = serially(tiny, store, only=["weights"])
    own = verdict(result, "cka", "weights")
    assert own.status == "skip"
    assert own.passed is None
    assert result.complete
