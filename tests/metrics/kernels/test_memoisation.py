"""What metrics have in common is made once, and no metric can tell."""

from __future__ import annotations

import weakref
from dataclasses import replace
from itertools import cycle

import pytest
import torch
from torch import Tensor

from simbench.metrics.kernels.centring import centred
from simbench.metrics.kernels.memoisation import Memo, memoised, memoised_over_pairs, memoising
from simbench.metrics.kernels.memory import limited_memory
from simbench.metrics.kernels.spectrum import spectrum
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation

FAMILIES = sorted({metric.family for _, metric in METRICS if not metric.needs})


def matrices(count: int = 3, rows: int = 30) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(rows, 4 + k, generator=generator) for k in range(count)]


class Counted:
    """A shared step that knows how often it was taken."""

    def __init__(self) -> None:
        self.calls = 0

        @memoised
        def step(x: Tensor, factor: int = 1) -> Tensor:
            self.calls += 1
            return factor * x.double()

        self.step = step


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_scores_the_same_whether_it_shares_or_not(family: str) -> None:
    sides = [Representation(matrix) for matrix in matrices()]
    pairs = [(0, 1), (1, 0), (2, 2), (1, 2), (0, 2)]
    metrics = [metric for _, metric in METRICS if metric.family == family and not metric.needs]
    alone = [score_pairs(metric, sides, pairs) for metric in metrics]
    with memoising():
        for metric, some in zip(metrics, cycle([1, 3, 2])):
            score_pairs(metric, sides, pairs[:some])  # so that of the values of pairs a part is known
        together = [score_pairs(metric, sides, pairs) for metric in metrics]
    for apart, joint in zip(alone, together, strict=True):
        assert [replace(score, value=None) for score in joint] == [replace(score, value=None) for score in apart]
        values = [[score.value for score in scores if score.value is not None] for scores in (joint, apart)]
        assert values[0] == pytest.approx(values[1], rel=1e-12, abs=1e-14)


def test_a_step_is_taken_once_for_each_matrix_and_argument() -> None:
    counted, (x, y, _) = Counted(), matrices()
    with memoising():
        assert counted.step(x) is counted.step(x)
        assert torch.equal(counted.step(x, 2), 2 * counted.step(x))
        assert not torch.equal(counted.step(y)[:, :4], counted.step(x))
    assert counted.calls == 3


def test_a_step_of_two_matrices_is_taken_once_for_these_two() -> None:
    calls = []

    @memoised
    def product(x: Tensor, y: Tensor) -> Tensor:
        calls.append((x, y))
        return x.T @ y

    x, y, _ = matrices()
    with memoising():
        assert product(x, y) is product(x, y)
        assert product(y, x).shape == product(x, y).T.shape
        assert product(x, x).shape == (4, 4)
    assert len(calls) == 3


def test_nothing_is_remembered_outside_or_afterwards() -> None:
    counted, (x, *_) = Counted(), matrices()
    for _ in range(2):
        counted.step(x)
        with memoising():
            counted.step(x)
    assert counted.calls == 4


def test_a_matrix_that_was_changed_in_place_is_another_one() -> None:
    counted, (x, *_) = Counted(), matrices()
    with memoising():
        before = counted.step(x)
        x.mul_(2)
        assert torch.equal(counted.step(x), 2 * before)


def test_an_error_is_raised_each_time() -> None:
    constant = torch.ones(5, 2)
    with memoising():
        for _ in range(2):
            with pytest.raises(Exception, match="no variance"):
                centred(constant)


def test_values_of_pairs_are_found_once_for_both_orders() -> None:
    asked: list[tuple[int, int]] = []

    @memoised_over_pairs
    def products(sides: list[Tensor], pairs: list[tuple[int, int]]) -> Tensor:
        asked.extend(pairs)
        return torch.stack([(sides[a].sum() * sides[b].sum()).double() for a, b in pairs])

    sides = matrices()
    with memoising():
        first = products(sides, [(0, 1), (2, 2)])
        again = products(sides[::-1], [(1, 2), (2, 1), (0, 0), (0, 1)])
    assert asked == [(0, 1), (2, 2), (0, 1)]
    assert again[:3].tolist() == [first[0], first[0], first[1]]


def test_metrics_of_a_family_decompose_and_multiply_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"svd": 0, "eigvalsh": 0}
    for name in counts:
        original = getattr(torch.linalg, name)

        def counting(*given: object, name: str = name, original: object = original, **options: object) -> object:
            counts[name] += 1
            return original(*given, **options)  # type: ignore[operator]

        monkeypatch.setattr(torch.linalg, name, counting)
    sides, pairs = [Representation(matrix) for matrix in matrices()], [(0, 1), (0, 2), (1, 2)]
    with memoising():
        for name in ("cca", "cca_squared", "svcca", "linear_regression", "gulp", "shape_linear"):
            score_pairs(METRICS.get(name), sides, pairs)
        decompositions = counts["svd"]
        counts["eigvalsh"] = 0
        for name in ("nbs", "procrustes", "procrustes_squared", "procrustes_angular", "procrustes_size_shape"):
            score_pairs(METRICS.get(name), sides, pairs)
    assert decompositions == len(sides)
    assert counts["eigvalsh"] == len(pairs)  # one batch for each shape of product


def test_what_was_used_longest_ago_is_forgotten_first_and_what_is_too_large_is_never_kept() -> None:
    memo = Memo(limit=3 * 1500)
    owners = [torch.zeros(1) for _ in range(4)]
    for owner in owners[:3]:
        memo.keep("step", [owner], torch.zeros(100, dtype=torch.float64))
    assert memo.find("step", [owners[0]]) is not None
    memo.keep("step", [owners[3]], torch.zeros(100, dtype=torch.float64))
    assert [memo.find("step", [owner]) is not None for owner in owners] == [True, False, True, True]
    memo.keep("step", [owners[1]], torch.zeros(1000, dtype=torch.float64))
    assert [memo.find("step", [owner]) is not None for owner in owners] == [True, False, True, True]


def test_results_are_freed_with_what_they_were_made_of() -> None:
    x = torch.randn(50, 4)
    with memoising():
        result = weakref.ref(spectrum(x))
        assert result() is not None
        del x
        assert result() is None


@pytest.mark.parametrize("limit", [1, 10_000, 2**30])
def test_the_memory_limit_does_not_change_a_value(limit: int) -> None:
    sides, pairs = [Representation(matrix) for matrix in matrices()], [(0, 1), (1, 2)]
    names = ("cka", "cca", "nbs", "rsa", "mutual_knn", "match_bipartite")
    expected = [score.value for name in names for score in score_pairs(METRICS.get(name), sides, pairs)]
    with limited_memory(limit), memoising():
        found = [score.value for name in names for score in score_pairs(METRICS.get(name), sides, pairs)]
    assert found == pytest.approx(expected, rel=1e-12)
