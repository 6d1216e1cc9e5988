"""Scoring a batch of pairs: what fails says why and spoils nothing else."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from simbench.errors import NotApplicable, SimbenchError
from simbench.metrics.metric import Metric, Pairs, Score, of_representation
from simbench.metrics.scoring import refuse_asymmetry, score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation, SpatialRule
from simbench.testing.inputs import cases

ALL = [(0, 1), (1, 0), (1, 2), (2, 2)]


def difference(x: Tensor, y: Tensor) -> Tensor:
    """A metric that any shapes will do for."""
    return (x.mean() - y.mean()).abs()


def simple(function: Callable[..., Any] = difference, **changes: Any) -> Metric:
    return Metric("simple", function, higher_is_more_similar=False, **changes)


def sides(*tensors: Tensor) -> list[Representation]:
    return [Representation(tensor, layer=f"layer {position}") for position, tensor in enumerate(tensors)]


def ordinary(count: int = 3, rows: int = 10) -> list[Representation]:
    generator = torch.Generator().manual_seed(0)
    return sides(*(torch.randn(rows, 3, generator=generator) for _ in range(count)))


def statuses(scores: list[Score]) -> list[str]:
    return [score.status for score in scores]


def test_scores_come_in_the_order_of_the_pairs() -> None:
    given = ordinary()
    expected = [float(difference(given[a].matrix, given[b].matrix)) for a, b in ALL]
    assert [score.value for score in score_pairs(simple(), given, ALL)] == pytest.approx(expected)


def leaves(*arguments: object) -> float:
    sys.exit(0)


def interrupted(*arguments: object) -> float:
    raise KeyboardInterrupt


def at_a_line(score: Score) -> str:
    """Return the reason with N for the number of the line that raised."""
    return re.sub(r"\.py:\d+\)$", ".py:N)", score.reason or "")


@pytest.mark.parametrize("interface", ["plain", "batch", "prepare"])
def test_a_metric_that_exits_is_an_error_and_ctrl_c_is_none(interface: str) -> None:
    def with_interface(function: Callable[..., Any]) -> Metric:
        if interface == "plain":
            return simple(function)
        prepare = function if interface == "prepare" else lambda matrix: matrix
        return simple(prepare=prepare, compare_many=function)

    scores = score_pairs(with_interface(leaves), ordinary(), ALL)
    assert {(score.status, at_a_line(score)) for score in scores} == {("error", "SystemExit: 0 (test_scoring.py:N)")}
    with pytest.raises(KeyboardInterrupt):
        score_pairs(with_interface(interrupted), ordinary(), ALL)


def test_no_pairs_give_no_scores() -> None:
    assert score_pairs(simple(), ordinary(), []) == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_non_finite_activations_are_an_error_that_names_the_layer(bad: float) -> None:
    given = ordinary()
    given[0].activations[4, 1] = bad
    scores = score_pairs(simple(), given, ALL)
    assert statuses(scores) == ["error", "error", "ok", "ok"]
    assert scores[0].reason == "non-finite activations in layer 0"


def test_a_constant_representation_is_a_skip_that_names_the_layer() -> None:
    given = sides(torch.full((10, 3), 0.1), torch.randn(10, 3), torch.randn(10, 3))
    scores = score_pairs(simple(), given, ALL)
    assert statuses(scores) == ["skip", "skip", "ok", "ok"]
    assert scores[0].reason == "no variance in layer 0"


@pytest.mark.parametrize("name", [name for name, metric in METRICS if not metric.needs])
def test_no_matrix_metric_invents_a_number_for_a_matrix_without_variance(name: str) -> None:
    activations = torch.tensor([1.0, -1.0]) * torch.randn(40, 3, 1)  # varies, but its mean over positions does not
    pooled = Representation(activations, "channels_first", spatial=SpatialRule("pool"))
    (score,) = score_pairs(METRICS.get(name), [pooled, *ordinary(1, rows=40)], [(0, 1)])
    assert score.status == "skip"
    assert "no variance" in (score.reason or "")


def test_a_constant_representation_of_large_numbers_says_what_they_cannot_hold() -> None:
    given = sides(1e30 + torch.randn(10, 3, dtype=torch.float64), torch.randn(10, 3))
    (score,) = score_pairs(simple(), given, [(0, 1)])
    assert (score.status, score.reason) == (
        "skip",
        "no variance in layer 0 as it is stored: next to numbers as large as 1.0e+30, float64 loses differences "
        "below 2.2e+14",
    )


def test_inputs_whose_squares_overflow_are_no_lack_of_variance() -> None:
    inputs = 1e30 * ordinary(1)[0].activations
    layer = torch.nn.BatchNorm1d(3)
    layer(inputs)
    normalised = layer.eval()(inputs).detach()
    assert bool((normalised == 0).all())  # divided by the root of an infinite variance
    given = [Representation(normalised, layer="norm", inputs=inputs), *ordinary(1)]
    (score,) = score_pairs(simple(), given, [(0, 1)])
    assert (score.status, score.reason) == (
        "error",
        f"overflow: norm is constant, and squares of inputs as large as {float(inputs.abs().max()):.1e} leave the "
        "range of float32; rescale the inputs",
    )


def test_complex_activations_are_an_error_that_says_so() -> None:
    given = sides(torch.randn(10, 3, dtype=torch.complex64), torch.randn(10, 3))
    (score,) = score_pairs(simple(), given, [(0, 1)])
    assert score.status == "error"
    assert str(score.reason).startswith("complex activations in layer 0")


@pytest.mark.parametrize("rows", [1, 2])
def test_fewer_than_three_rows_are_an_error(rows: int) -> None:
    (score,) = score_pairs(simple(), ordinary(2, rows), [(0, 1)])
    assert (score.status, score.reason) == ("error", f"layer 0 has {rows} rows; at least 3 are needed")


def test_different_numbers_of_inputs_are_an_error() -> None:
    (score,) = score_pairs(simple(), sides(torch.randn(10, 3), torch.randn(9, 3)), [(0, 1)])
    assert (score.status, score.reason) == ("error", "10 inputs against 9")


def test_a_side_that_is_not_used_cannot_spoil_anything() -> None:
    given = [*ordinary(), *sides(torch.full((10, 3), float("nan")))]
    assert statuses(score_pairs(simple(), given, ALL)) == ["ok"] * 4


def test_a_need_that_is_not_met_is_a_skip_with_the_reason() -> None:
    scores = score_pairs(simple(needs=frozenset({"model"})), ordinary(), ALL)
    assert statuses(scores) == ["skip"] * 4
    assert "model" in (scores[0].reason or "")


def test_a_metric_with_needs_is_given_representations() -> None:
    case = cases(0)[0]
    seen: list[type] = []

    def spy(a: Representation, b: Representation) -> float:
        seen.extend([type(a), type(b)])
        return 0.0

    score_pairs(simple(spy, needs=frozenset({"head"})), [case.a, case.b], [(0, 1)])
    assert seen == [Representation, Representation]


def fails_for_first(x: Tensor, y: Tensor, outcome: Callable[[], Any], first: Tensor) -> Any:
    return outcome() if torch.equal(x, first) else 1.0


class TextWithNumber(str):
    def __float__(self) -> float:
        return 0.97


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def raises(error: BaseException) -> Callable[[], Any]:
    def outcome() -> Any:
        raise error

    return outcome


@pytest.mark.parametrize(
    ("outcome", "status", "reason"),
    [
        (raises(ValueError("too\nbad")), "error", "ValueError: too (test_scoring.py:N)"),
        (raises(SimbenchError("the network has no logits")), "error", "the network has no logits"),
        (raises(NotApplicable("not here")), "skip", "not here"),
        (lambda: float("nan"), "error", "simple returned nan"),
        (lambda: torch.tensor(float("inf")), "error", "simple returned inf"),
        (lambda: torch.zeros(2), "error", "simple returned an array of shape (2,), not a number"),
        (lambda: None, "error", "simple returned NoneType, not a number"),
        (lambda: "0.97", "error", "simple returned str, not a number"),
        (lambda: b"0.97", "error", "simple returned bytes, not a number"),
        (lambda: np.str_("0.97"), "error", "simple returned <U4, not a number"),
        (lambda: np.array("0.97"), "error", "simple returned <U4, not a number"),
        (lambda: True, "error", "simple returned bool, not a number"),
        (lambda: np.bool_(True), "error", "simple returned bool, not a number"),
        (lambda: torch.tensor(True), "error", "simple returned bool, not a number"),
        (lambda: torch.tensor([True]), "error", "simple returned bool, not a number"),
        (lambda: np.array("0.97", dtype=object), "error", "simple returned str, not a number"),
        (lambda: np.array(["0.97"], dtype=object), "error", "simple returned str, not a number"),
        (lambda: np.array(True, dtype=object), "error", "simple returned bool, not a number"),
        (lambda: TextWithNumber("0.97"), "error", "simple returned TextWithNumber, not a number"),
        (lambda: float, "error", "simple returned type, not a number"),
        (lambda: 1j, "error", "simple returned complex, not a number"),
        (lambda: np.complex128(1), "error", "simple returned complex128, not a number"),
        (lambda: torch.tensor(1 + 0j), "error", "simple returned complex64, not a number"),
        (lambda: np.timedelta64(3, "s"), "error", "simple returned timedelta64[s], not a number"),
        (lambda: [0.5], "error", "simple returned list, not a number"),
        (lambda: {"cka": 0.5}, "error", "simple returned dict, not a number"),
        (lambda: 10**400, "error", "simple returned int, not a number"),
        (lambda: Score("0.97"), "error", "simple returned str, not a number"),
        (lambda: Score(True), "error", "simple returned bool, not a number"),
        (lambda: Score(None), "error", "simple returned NoneType, not a number"),
        (
            lambda: Score(0.5, standard_error="0"),
            "error",
            "simple returned a standard error of str, not a number",
        ),
        (lambda: Score(0.5, tiebreak=True), "error", "simple returned a tie-break of bool, not a number"),
        (
            lambda: Score(0.5, auxiliary=dict.fromkeys("p", "0.1")),
            "error",
            "simple returned a p of str, not a number",
        ),
        (lambda: Score(0.5, auxiliary={"p": float("inf")}), "error", "simple returned a p of inf"),
        (
            lambda: Score(0.5, "good"),
            "error",
            'simple returned a Score with the status "good"',
        ),
        (
            lambda: Score(0.5, warnings="ties"),
            "error",
            "simple returned a Score whose warnings are no tuple of texts",
        ),
        (lambda: Score(0.5, standard_error=-0.1), "error", "simple returned a standard error of -0.1"),
        (
            lambda: Score(0.5, auxiliary=cast(Any, {1: 0.1})),
            "error",
            "simple returned a Score with an auxiliary value whose name is no text",
        ),
        (raises(asyncio.CancelledError("late")), "error", "CancelledError: late (test_scoring.py:N)"),
        (raises(BaseException("base")), "error", "BaseException: base (test_scoring.py:N)"),
        (raises(UnspeakableError()), "error", "UnspeakableError: its message raises RuntimeError (test_scoring.py:N)"),
        (raises(ValueError("half \ud800")), "error", "ValueError: half \\ud800 (test_scoring.py:N)"),
        (raises(NotApplicable("half \ud800")), "skip", "half \\ud800"),
        (lambda: Score.skip("half \ud800"), "skip", "half \\ud800"),
        (raises(ValueError("x" * 10**6)), "error", "ValueError: " + "x" * 987 + "…"),
        (lambda: Score(float("nan")), "error", "simple returned nan"),
        (lambda: Score.skip("no"), "skip", "no"),
    ],
)
def test_what_fails_for_one_pair_leaves_the_others(outcome: Callable[[], Any], status: str, reason: str) -> None:
    given = ordinary()
    metric = simple(lambda x, y: fails_for_first(x, y, outcome, given[0].matrix))
    scores = score_pairs(metric, given, ALL)
    assert statuses(scores) == [status, "ok", "ok", "ok"]
    assert at_a_line(scores[0]) == reason


@pytest.mark.parametrize(
    "number",
    [
        *(2, 2.0, torch.tensor(2.0), torch.tensor([2]), torch.tensor(2, dtype=torch.bfloat16), np.float16(2)),
        *(np.int64(2), np.array([2.0]), Decimal(2), Fraction(4, 2), Score(np.float32(2)), Score(torch.tensor(2.0))),
    ],
    ids=repr,
)
def test_any_single_number_will_do(number: object) -> None:
    (score,) = score_pairs(simple(lambda x, y: number), ordinary(), [(0, 1)])
    assert (score.status, score.value) == ("ok", 2.0)


def test_names_and_remarks_of_a_score_can_be_stored_and_none_takes_the_place_of_another() -> None:
    given = Score(0.5, warnings=("half \ud800",), auxiliary={"value": 0.25, "half \ud800": 0.125})
    (score,) = score_pairs(simple(lambda x, y: given), ordinary(), [(0, 1)])
    assert score == Score(0.5, warnings=("half \\ud800",), auxiliary={"value": 0.25, "half \\ud800": 0.125})


def test_a_value_outside_the_declared_range_carries_a_warning() -> None:
    (score,) = score_pairs(simple(lambda x, y: 1.5, value_range=(0, 1)), ordinary(), [(0, 1)])
    assert (score.status, score.value, score.warnings) == ("ok", 1.5, ("outside the declared range [0, 1]",))


def test_rounding_at_the_edge_of_the_range_is_no_warning() -> None:
    (score,) = score_pairs(simple(lambda x, y: 1 + 1e-9, value_range=(0, 1)), ordinary(), [(0, 1)])
    assert score.warnings == ()


def test_parameters_reach_both_interfaces() -> None:
    def scaled(x: Tensor, y: Tensor, *, factor: float = 1.0) -> float:
        return factor

    def prepare(representation: Representation, *, factor: float) -> float:
        return 10 * factor

    def compare_many(prepared: list[float], pairs: Pairs, *, factor: float) -> list[float]:
        return [prepared[a] + factor for a, _ in pairs]

    plain = simple(scaled, parameters={"factor": 1.0}).with_parameters({"factor": 3.0})
    fast = simple(scaled, prepare=prepare, compare_many=compare_many).with_parameters({"factor": 3.0})
    assert score_pairs(plain, ordinary(), [(0, 1)])[0].value == 3.0
    assert score_pairs(fast, ordinary(), [(0, 1)])[0].value == 33.0


def test_each_representation_is_prepared_once() -> None:
    count = []

    def prepare(representation: Representation) -> float:
        count.append(float(representation.activations.sum()))
        return 0.0

    score_pairs(
        simple(prepare=of_representation(prepare), compare_many=lambda prepared, pairs: [0.0] * len(pairs)),
        ordinary(),
        ALL,
    )
    assert count == [float(each.activations.sum()) for each in ordinary()]


def test_a_preparation_that_fails_spoils_only_its_own_pairs() -> None:
    def prepare(representation: Representation) -> float:
        if torch.equal(representation.activations, ordinary()[0].activations):
            raise ValueError("no")
        return 1.0

    metric = simple(
        prepare=of_representation(prepare), compare_many=lambda prepared, pairs: [prepared[a] for a, _ in pairs]
    )
    assert statuses(score_pairs(metric, ordinary(), ALL)) == ["error", "error", "ok", "ok"]


def test_a_batch_that_fails_is_scored_pair_by_pair() -> None:
    def compare_many(prepared: list[Tensor], pairs: Pairs) -> list[float]:
        if any(a == 0 for a, _ in pairs):
            raise RuntimeError("one of them is bad")
        return [7.0] * len(pairs)

    scores = score_pairs(simple(compare_many=compare_many), ordinary(), ALL)
    assert statuses(scores) == ["error", "ok", "ok", "ok"]
    assert at_a_line(scores[0]) == "RuntimeError: one of them is bad (test_scoring.py:N)"
    assert [score.value for score in scores[1:]] == [7.0] * 3


def test_a_batch_of_the_wrong_length_is_an_error() -> None:
    scores = score_pairs(simple(compare_many=lambda prepared, pairs: [1.0]), ordinary(), ALL)
    assert statuses(scores) == ["error"] * 4
    assert scores[0].reason == "compare_many returned 1 scores for 4 pairs"


def test_a_batch_may_mix_values_and_scores() -> None:
    values = [1.0, float("nan"), Score.skip("no"), torch.tensor(2.0)]
    scores = score_pairs(simple(compare_many=lambda prepared, pairs: values), ordinary(), ALL)
    assert statuses(scores) == ["ok", "error", "skip", "ok"]


def directed(x: Tensor, y: Tensor) -> float:
    """A metric that gives another value in the other order."""
    return float((x - 2 * y).square().mean())


@pytest.mark.parametrize("batch", [False, True])
def test_a_metric_that_is_not_as_symmetric_as_it_declares_is_an_error(batch: bool) -> None:
    given, pairs = ordinary(4), [(0, 0), (0, 1), (1, 2), (2, 3)]
    many = (lambda sides, asked: [directed(sides[a], sides[b]) for a, b in asked]) if batch else None
    false = simple(directed, symmetric=True, compare_many=many)
    refused = refuse_asymmetry(false, given, pairs, score_pairs(false, given, pairs))
    assert statuses(refused) == ["error"] * 4
    assert str(refused[0].reason).startswith("simple declares that it is symmetric, and gives ")
    assert str(refused[0].reason).endswith("; declare symmetric=False")


@pytest.mark.parametrize(
    ("function", "declared"),
    [
        pytest.param(directed, False, id="not declared"),
        pytest.param(difference, True, id="symmetric"),
        pytest.param(lambda x, y: directed(x, y) * 1e-9 + float(difference(x, y)), True, id="up to rounding"),
    ],
)
def test_scores_stay_as_they_are_where_the_declaration_holds(function: Callable[..., Any], declared: bool) -> None:
    given, pairs = ordinary(4), [(0, 0), (0, 1), (1, 2), (2, 3)]
    metric = simple(function, symmetric=declared)
    scores = score_pairs(metric, given, pairs)
    assert refuse_asymmetry(metric, given, pairs, scores) == scores


def test_pairs_without_a_value_keep_their_reason_where_a_metric_is_refused() -> None:
    given = [*ordinary(3), *sides(torch.ones(10, 3))]
    false, pairs = simple(directed, symmetric=True), [(0, 3), (0, 1)]
    refused = refuse_asymmetry(false, given, pairs, score_pairs(false, given, pairs))
    assert statuses(refused) == ["skip", "error"]
