"""A metric that changes what it is given is an error of its own, and nobody else can tell."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import simbench
from simbench.metrics.isolation import Inputs, PrivateInputs, inputs_of, is_builtin, private_copy
from simbench.metrics.kernels.centring import centred
from simbench.metrics.kernels.memoisation import memoised, memoising
from simbench.metrics.kernels.memory import limited_memory
from simbench.metrics.metric import Metric, Pairs, Score
from simbench.metrics.scoring import score_pairs
from simbench.metrics.snapshot import Snapshot
from simbench.models.model import Model
from simbench.registry import METRICS
from simbench.representations.representation import Representation
from simbench.testing.inputs import cases, in_sequences

ALL = [(0, 1), (1, 0), (1, 2), (2, 2)]


def sides(count: int = 3) -> list[Representation]:
    generator = torch.Generator().manual_seed(0)
    return [Representation(1 + torch.randn(12, 3, generator=generator), layer=f"layer {k}") for k in range(count)]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))


def with_model(model: Model | None = None) -> Representation:
    model = model or Model(network(), layers=["0"])
    inputs = torch.randn(12, 5, generator=torch.Generator().manual_seed(1))
    activations = model.activations(inputs, "0")
    common: dict[str, Any] = {"layer": "0", "model": model, "targets": torch.arange(12) % 3, "classes": 3}
    fit = Representation(
        activations[:8].clone(), inputs=inputs[:8].clone(), **common | {"targets": torch.arange(8) % 3}
    )
    return Representation(activations, inputs=inputs, fit=fit, **common)


def metric(function: Callable[..., Any] = lambda x, y: 0.0, **changes: Any) -> Metric:
    return Metric("mine", function, higher_is_more_similar=True, **changes)


def in_place(x: Tensor) -> None:
    x -= x.mean(dim=0)


def rectified(x: Tensor) -> None:
    x.relu_()


def through_a_view_of_numpy(x: Tensor) -> None:
    x.numpy()[:] = 0


def one_number_of_a_view(x: Tensor) -> None:
    x.numpy().reshape(-1)[7] += 1e-3


def through_data(x: Tensor) -> None:
    x.data.mul_(2)


def rows_in_another_order(x: Tensor) -> None:
    x.numpy()[:] = x.numpy()[::-1].copy()


WAYS = [in_place, rectified, through_a_view_of_numpy, one_number_of_a_view, through_data, rows_in_another_order]
ways = pytest.mark.parametrize("change", WAYS, ids=lambda way: way.__name__)


def plain(change: Callable[[Tensor], None]) -> Metric:
    def function(x: Tensor, y: Tensor) -> float:
        change(x)
        return float((x * y).sum())

    return metric(function)


def in_prepare(change: Callable[[Tensor], None]) -> Metric:
    def prepare(x: Tensor) -> Tensor:
        change(x)
        return x

    return metric(prepare=prepare, compare_many=lambda prepared, pairs: [0.0] * len(pairs))


def in_batches(change: Callable[[Tensor], None], **changes: Any) -> Metric:
    def compare_many(prepared: list[Tensor], pairs: Pairs) -> list[float]:
        for a, _ in pairs:
            change(prepared[a])
        return [0.0] * len(pairs)

    return metric(compare_many=compare_many, **changes)


INTERFACES: dict[str, Callable[[Callable[[Tensor], None]], Metric]] = {
    "plain": plain,
    "prepare": in_prepare,
    "batch": in_batches,
    "batch of what was prepared": lambda change: in_batches(change, prepare=lambda x: {"x": x}["x"]),
    "batch of what a kernel prepared": lambda change: in_batches(change, prepare=centred),
}


@ways
@pytest.mark.parametrize("interface", INTERFACES)
def test_a_change_in_place_is_an_error_of_this_metric_and_reaches_nobody(
    interface: str, change: Callable[[Tensor], None]
) -> None:
    given = sides()
    before, expected = Snapshot(given), score_pairs(METRICS.get("cka"), sides(), ALL)
    with memoising():
        score_pairs(METRICS.get("cka"), given, ALL)
        scores = score_pairs(INTERFACES[interface](change), given, ALL)
        after = score_pairs(METRICS.get("cka"), given, ALL)
    assert {score.status for score in scores} == {"error"}
    assert all("in place" in str(score.reason) and "mine changed" in str(score.reason) for score in scores)
    assert before.changed() is None
    assert after == expected


PARTS: dict[str, Callable[[Any], Any]] = {
    "the activations": lambda side: side.activations,
    "the inputs": lambda side: side.inputs,
    "the targets": lambda side: side.targets,
    "the activations of the fit": lambda side: side.fit.activations,
    "the weights": lambda side: side.model.network[2].weight,
    "running statistics": lambda side: side.model.network[1].running_mean,
    "the logits": lambda side: side.logits,
    "the log-probabilities": lambda side: side.log_probabilities,
    "the matrix": lambda side: side.matrix,
}
OF_THE_NETWORK = ("the inputs", "the weights", "running statistics", "the logits", "the log-probabilities")


@pytest.mark.parametrize("by", ["torch", "numpy"])
@pytest.mark.parametrize("part", PARTS)
def test_no_part_of_a_representation_can_be_changed(part: str, by: str) -> None:
    def function(a: Any, b: Any) -> float:
        tensor = PARTS[part](a)
        if by == "torch":
            with torch.no_grad():
                tensor.add_(1)
        else:
            tensor.detach().numpy()[0] += 1
        return 0.0

    model = Model(network(), layers=["0"])
    given = [with_model(model), with_model(model)]
    before, logits = Snapshot(given), [side.logits.clone() for side in given]
    of_the_network = part in OF_THE_NETWORK
    for needs in ({"model"}, *([] if of_the_network else [{"targets"}, {"fit"}])):
        for score in score_pairs(metric(function, needs=frozenset(needs)), given, [(0, 1), (1, 0), (0, 0)]):
            assert (score.status, "in place" in str(score.reason)) == ("error", True), score
    assert before.changed() is None
    assert all(torch.equal(side.logits, kept) for side, kept in zip(given, logits, strict=True))


@pytest.mark.parametrize("needs", [{"targets"}, {"fit"}, {"sequence"}])
def test_who_declares_no_need_of_the_network_is_not_told_which_layer_it_is(needs: set[str]) -> None:
    def function(a: Any, b: Any) -> float:
        sides = (a, b, a.fit, b.fit)
        return float(any(side.layer or side.model is not None or side.inputs is not None for side in sides))

    given = [replace(with_model(), layout="tokens", activations=torch.randn(8, 3, 4)) for _ in range(2)]
    (score,) = score_pairs(metric(function, needs=frozenset(needs)), given, [(0, 1)])
    assert score.value == 0.0


def test_what_was_changed_is_named() -> None:
    def function(a: Any, b: Any) -> float:
        a.model.network[2].weight.data.zero_()
        return 0.0

    (score,) = score_pairs(metric(function, needs=frozenset({"model"})), [with_model()] * 2, [(0, 1)])
    assert score.reason == (
        "mine changed the model (network.2.weight) that it was given in place: "
        "compute on a copy, as x = x - x.mean(0) does"
    )


def test_a_layer_that_is_replaced_is_a_change_too() -> None:
    def function(a: Any, b: Any) -> float:
        a.model.network[2] = nn.Linear(4, 3)
        return 0.0

    given: list[Any] = [with_model(), with_model()]
    logits = given[0].logits.clone()
    (score,) = score_pairs(metric(function, needs=frozenset({"model"})), given, [(0, 1)])
    assert score.status == "error"
    assert torch.equal(given[0].model.continue_from("0", given[0].activations), logits)


def test_modes_and_gradients_do_not_outlive_a_call() -> None:
    seen: list[tuple[bool, bool]] = []

    def function(a: Any, b: Any) -> float:
        inside = a.model.network
        seen.append((inside.training, a.activations.requires_grad))
        inside.train()
        a.activations.requires_grad_()
        return 0.0

    scores = score_pairs(metric(function, needs=frozenset({"model"})), [with_model(), with_model()], [(0, 1), (0, 1)])
    assert [score.status for score in scores] == ["ok", "ok"]
    assert seen == [(False, False)] * 2


def test_layers_of_one_network_are_given_one_copy_of_it() -> None:
    def function(a: Any, b: Any) -> float:
        return float(a.model is b.model and a.model is not model and a.inputs is not given[0].inputs)

    model = Model(network(), layers=["0"])
    given = [with_model(model), with_model(model)]
    (score,) = score_pairs(metric(function, needs=frozenset({"model"})), given, [(0, 1)])
    assert score.value == 1.0


def test_only_the_pairs_in_which_an_input_was_changed_are_errors() -> None:
    def function(x: Tensor, y: Tensor) -> float:
        if float(x[0, 0]) == first:
            x.zero_()
        return float(x.sum())

    given = sides()
    first = float(given[0].activations[0, 0])
    scores = score_pairs(metric(function), given, [*ALL, (2, 0)])
    assert [score.status for score in scores] == ["error", "ok", "ok", "ok", "ok"]
    assert scores[1].value == float(given[1].activations.sum())


def test_a_metric_that_changes_its_input_and_then_raises_is_told_of_both_ends() -> None:
    def function(x: Tensor, y: Tensor) -> float:
        x.zero_()
        raise ValueError("no")

    scores = score_pairs(metric(function), sides(), ALL)
    assert all("in place" in str(score.reason) for score in scores)


def test_values_that_are_not_finite_are_no_change() -> None:
    side = with_model()
    assert side.fit is not None
    spoiled = replace(side, fit=side.fit.with_activations(torch.full((8, 4), float("nan"))))
    (score,) = score_pairs(metric(lambda a, b: 1.0, needs=frozenset({"fit"})), [spoiled, side], [(0, 1)])
    assert score.value == 1.0


@pytest.mark.parametrize("limit", [1, 2**30])
def test_copies_keep_within_the_memory_limit_and_change_no_score(limit: int) -> None:
    given = sides()
    expected = [float((given[a].matrix * given[b].matrix).sum()) for a, b in ALL]
    with limited_memory(limit):
        scores = score_pairs(metric(lambda x, y: float((x * y).sum())), given, ALL)
    assert [score.value for score in scores] == expected


def test_parameters_cannot_be_changed() -> None:
    def function(x: Tensor, y: Tensor, *, factors: list[int]) -> float:
        factors.append(1)
        return float(len(factors))

    made = replace(metric(function), parameters={"factors": [1]})
    assert [score.value for score in score_pairs(made, sides(), ALL)] == [2.0] * 4
    assert made.parameters == {"factors": [1]}


@pytest.mark.parametrize("wrapper", ["calibrate", "bootstrap"])
@pytest.mark.parametrize("interface", INTERFACES)
def test_a_wrapped_metric_is_held_to_the_same(interface: str, wrapper: str) -> None:
    setting = {"calibrate": {"permutations": 20}, "bootstrap": {"draws": 20}}[wrapper]
    wrapped = INTERFACES[interface](in_place).with_parameters({wrapper: setting})
    given = sides()
    before = Snapshot(given)
    scores = score_pairs(wrapped, given, [(0, 1)])
    assert (scores[0].status, "in place" in str(scores[0].reason)) == ("error", True)
    assert before.changed() is None


@pytest.mark.parametrize("prepare", [None, centred, lambda x: x - x.mean(dim=0)], ids=["none", "kernel", "own"])
def test_a_wrapped_metric_from_elsewhere_scores_as_a_built_in_one(prepare: Callable[..., Any] | None) -> None:
    def function(x: Tensor, y: Tensor) -> Any:
        return METRICS.get("cka").function(x, y)

    def compare_many(prepared: list[Tensor], pairs: Pairs) -> list[Any]:
        return [function(prepared[a], prepared[b]) for a, b in pairs]

    setting = {"calibrate": {"permutations": 20}}
    mine = metric(function, prepare=prepare, compare_many=compare_many, value_range=(0, 1)).with_parameters(setting)
    found = score_pairs(mine, sides(), ALL)
    expected = score_pairs(METRICS.get("cka").with_parameters(setting), sides(), ALL)
    assert [score.value for score in found] == pytest.approx([score.value for score in expected])


@pytest.mark.parametrize("name", METRICS.names())
def test_no_built_in_metric_changes_anything(name: str) -> None:
    made = METRICS.get(name)
    case = in_sequences(cases(0)[0]) if "sequence" in made.needs else cases(0)[0]
    given = [case.a, case.b]
    inputs = PrivateInputs(made, given)
    assert type(inputs_of(made, given)) is Inputs
    if made.compare_many is None:
        inputs.compare(0, 1)
    else:
        prepared = [inputs.side(k) if made.prepare is None else inputs.prepared(k) for k in (0, 1)]
        inputs.compare_many(prepared, [(0, 1)])


def test_whatever_is_not_defined_in_the_package_is_no_built_in() -> None:
    cka = METRICS.get("cka")
    assert is_builtin(cka.function)
    assert is_builtin(functools.partial(cka.function))
    assert is_builtin(cka.with_parameters({"calibrate": "permutation"}).function)
    assert not is_builtin(functools.wraps(cka.function)(lambda x, y: 0.0))
    assert not is_builtin(len)
    assert not is_builtin(functools.partial(in_place))


def test_a_package_beside_this_one_is_none_of_it_though_its_name_begins_alike() -> None:
    code = "def neighbour(x, y):\n    x.zero_()\n    return 0.0\n"
    names: dict[str, Any] = {}
    exec(compile(code, f"{Path(simbench.__file__).parent}_lab/metrics.py", "exec"), names)
    assert not is_builtin(names["neighbour"])


def test_a_function_of_the_package_that_calls_one_from_elsewhere_is_no_built_in() -> None:
    cka = METRICS.get("cka").function
    assert not is_builtin(memoised(in_place))
    assert not is_builtin(functools.partial(cka, kernel=in_place))
    assert not is_builtin(functools.partial(cka, functools.partial(in_place)))
    assert is_builtin(functools.partial(cka, kernel=centred))
    given = sides()
    before = Snapshot(given)
    score_pairs(metric(lambda *_: 0.0, prepare=memoised(in_place), compare_many=lambda *_: [0.0]), given, [(0, 1)])
    assert before.changed() is None


def test_what_is_set_in_a_network_does_not_outlive_a_call() -> None:
    def function(a: Any, b: Any) -> float:
        network = a.model.network
        seen = float(a.model.continue_from("0", a.activations).sum())
        network[3].p = 1.0
        network[0].forward = lambda x: x * 0
        network[1].register_forward_pre_hook(lambda module, given: tuple(each * 0 for each in given))
        return seen

    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3), nn.Dropout(0.5)).eval()
    given = [with_model(Model(layers, layers=["0"]))] * 2
    scores = score_pairs(metric(function, needs=frozenset({"model"})), given, [(0, 1), (0, 1), (1, 0)])
    assert len({score.value for score in scores}) == 1
    assert scores[0].value != 0


def test_a_private_copy_is_one_of_everything() -> None:
    original: Any = with_model()
    before = Snapshot(original)
    copied: Any = private_copy(original)
    assert torch.equal(copied.logits, original.logits)
    for tensor in (copied.activations, copied.targets, copied.inputs, copied.logits, copied.fit.activations):
        tensor.zero_()
    copied.model.network[2].weight.zero_()
    assert before.changed() is None


def test_a_score_object_travels_through() -> None:
    scores = score_pairs(metric(lambda x, y: Score(0.5, tiebreak=1.0)), sides(), ALL)
    assert scores == [Score(0.5, tiebreak=1.0)] * 4
