"""DSA: linear systems with known operators, references from the definitions, and properties."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from simbench.errors import NotApplicable
from simbench.metrics.geometry.dsa import conjugation_distance, dsa, dynamics, linear_operator, spectral_distance
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation
from simbench.testing.inputs import cases

Array = NDArray[np.float64]
COMPARISONS = ["wasserstein", "procrustes"]


def haar(size: int, rng: np.random.Generator, columns: int | None = None) -> Array:
    q, r = np.linalg.qr(rng.normal(size=(size, size)))
    return (q * np.sign(np.diag(r)))[:, :columns]


def turning(*angles: float, damping: float = 1.0) -> Array:
    """Rotates each of some planes by its own angle."""
    operator = np.zeros((2 * len(angles), 2 * len(angles)))
    for k, angle in enumerate(angles):
        plane = slice(2 * k, 2 * k + 2)
        operator[plane, plane] = damping * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return operator


def run(operator: Array, sequences: int = 12, tokens: int = 20, seed: int = 0) -> Array:
    """x_{t+1} = A x_t from random starts, (sequences, tokens, size)."""
    states = [np.random.default_rng(seed).normal(size=(sequences, len(operator)))]
    for _ in range(tokens - 1):
        states.append(states[-1] @ operator.T)
    return np.stack(states, axis=1)


def seen(states: Array, width: int, seed: int, noise: float = 0.0) -> Array:
    """The states through an orthonormal map into `width` dimensions."""
    rng = np.random.default_rng(seed)
    return states @ haar(width, rng, states.shape[2]).T + noise * rng.normal(size=(*states.shape[:2], width))


def sequence(x: Array, layer: str = "") -> Representation:
    return Representation(torch.as_tensor(x), "tokens", layer=layer)


def value(x: Array, y: Array, **parameters: object) -> float:
    return dsa(sequence(x), sequence(y), **parameters)


def slow_operator(x: Array, delays: int, rank: int) -> Array:
    """Stretch by stretch; principal components of variance 1; least squares with a constant."""
    stretches = [[np.ravel(s[t : t + delays]) for t in range(len(s) - delays + 1)] for s in x]
    flat = np.concatenate([np.stack(s) for s in stretches])
    mean = flat.mean(axis=0)
    _, values, axes = np.linalg.svd(flat - mean, full_matrices=False)
    kept = min(rank, int((values > 1e-10 * values[0]).sum()))
    before, after = [], []
    for s in stretches:
        states = (np.stack(s) - mean) @ axes[:kept].T / values[:kept]
        before += [np.append(state, 1.0) for state in states[:-1]]
        after += list(states[1:])
    solution = np.linalg.lstsq(np.stack(before), np.stack(after), rcond=None)[0]
    return solution[:-1].T


@pytest.mark.parametrize(("delays", "rank"), [(1, 10), (3, 10), (4, 5)])
def test_the_operator_is_that_of_the_definition_up_to_signs(delays: int, rank: int) -> None:
    x = np.random.default_rng(0).normal(size=(9, 15, 4)).cumsum(axis=1)
    found, expected = linear_operator(torch.as_tensor(x), delays, rank).numpy(), slow_operator(x, delays, rank)
    assert found.shape == expected.shape
    assert np.abs(found) == pytest.approx(np.abs(expected), rel=1e-7, abs=1e-10)
    assert spectral_distance(np.linalg.eigvals(found), np.linalg.eigvals(expected)) < 1e-9


@pytest.mark.parametrize("delays", [1, 4])
def test_the_eigenvalues_of_a_linear_system_are_recovered(delays: int) -> None:
    operator = turning(0.3, 1.1, damping=0.95)
    found = dynamics(sequence(seen(run(operator), 9, seed=1)), delays=delays, rank=10).eigenvalues
    assert spectral_distance(found, np.linalg.eigvals(operator)) < 1e-9


@pytest.mark.parametrize("compare", COMPARISONS)
@pytest.mark.parametrize("delays", [1, 4])
def test_one_system_through_two_orthogonal_maps_is_one_system(compare: str, delays: int) -> None:
    states = run(turning(0.3, 1.1, damping=0.97))
    x, y = seen(states, 9, seed=1), 7 * seen(states, 6, seed=2) - 3
    assert value(x, y, compare=compare, delays=delays) < 1e-5
    assert value(x, y, compare=compare, delays=delays) < 1e-4 * value(x, seen(run(turning(0.5, 1.4)), 6, seed=2))


@pytest.mark.parametrize("compare", COMPARISONS)
def test_the_distance_of_two_rotations_is_that_of_their_speeds(compare: str) -> None:
    x = seen(run(turning(0.2)), 5, seed=0)
    speeds = [0.2, 0.3, 0.5, 0.9, 2.0]
    found = [value(x, seen(run(turning(speed)), 7, seed=3), compare=compare, delays=2) for speed in speeds]
    expected = [np.sqrt(2) * abs(np.exp(0.2j) - np.exp(1j * speed)) for speed in speeds]
    # Whitened by a finite sample, a rotation is one only nearly; its eigenvalues are exact.
    assert found == pytest.approx(expected, rel=0.01 if compare == "procrustes" else 1e-9, abs=1e-9)


def test_the_same_cloud_of_states_with_other_dynamics_is_told_apart() -> None:
    states = run(turning(0.3, 1.1))
    backwards_in_one_plane = run(turning(0.3, 1.1)[:, [0, 1, 3, 2]][[0, 1, 3, 2]])
    assert value(seen(states, 6, 1), seen(backwards_in_one_plane, 6, 2)) < 1e-5  # a reflection undoes it
    shuffled = states[:, np.random.default_rng(0).permutation(states.shape[1])]
    assert value(seen(states, 6, 1), seen(shuffled, 6, 2)) > 1


def test_noise_adds_to_the_distance() -> None:
    states = run(turning(0.3, 1.1), sequences=40)
    clean = seen(states, 6, 1)
    values = [value(clean, seen(states, 6, 2, noise), rank=4) for noise in (0.0, 0.1, 0.3, 1.0)]
    assert values == sorted(values)
    assert values[-1] > 10 * values[1] > 0


@pytest.mark.parametrize("compare", COMPARISONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_distance_from_oneself_is_exactly_zero(compare: str, dtype: type[np.floating]) -> None:
    x = np.random.default_rng(0).normal(size=(10, 12, 5)).astype(dtype)
    assert value(x, x.copy(), compare=compare, starts=1) == 0


@pytest.mark.parametrize("sizes", [(4, 4), (5, 3), (1, 4)])
def test_the_spectral_distance_is_the_least_over_all_pairings(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=size) + 1j * rng.normal(size=size) for size in sizes)
    longer, shorter = sorted((a, b), key=len, reverse=True)
    padded = np.append(shorter, np.zeros(len(longer) - len(shorter)))
    expected = min(np.linalg.norm(longer - padded[list(order)]) for order in permutations(range(len(longer))))
    assert spectral_distance(a, b) == pytest.approx(expected, rel=1e-12)
    assert spectral_distance(b, a) == pytest.approx(expected, rel=1e-12)


def found_distance(a: Array, b: Array) -> float:
    return conjugation_distance(torch.as_tensor(a), torch.as_tensor(b), starts=8, seed=0)


@pytest.mark.parametrize("seed", range(3))
def test_the_conjugation_distance_in_the_plane_is_the_least_over_all_angles_and_reflections(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 2)), rng.normal(size=(2, 2))
    turned = [turning(angle) for angle in np.linspace(0, 2 * np.pi, 20001)]
    expected = min(np.linalg.norm(a - c @ s @ b @ s @ c.T) for c in turned for s in (np.eye(2), np.diag([1, -1])))
    assert found_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert found_distance(b, a) == pytest.approx(found_distance(a, b), rel=1e-9)


@pytest.mark.parametrize("size", [3, 5, 6])
@pytest.mark.parametrize("determinant", [1, -1])
def test_a_conjugate_operator_is_found_in_both_components_of_the_orthogonal_group(size: int, determinant: int) -> None:
    rng = np.random.default_rng(size)
    a, c = rng.normal(size=(size, size)), haar(size, rng)
    c[0] *= determinant * np.sign(np.linalg.det(c))
    assert found_distance(a, c @ a @ c.T) < 1e-5 * np.linalg.norm(a)


def test_symmetric_operators_are_as_far_apart_as_their_sorted_eigenvalues() -> None:
    rng = np.random.default_rng(0)
    a, b = (side + side.T for side in rng.normal(size=(2, 5, 5)))
    expected = np.linalg.norm(np.linalg.eigvalsh(a) - np.linalg.eigvalsh(b))
    assert found_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert spectral_distance(np.linalg.eigvals(a), np.linalg.eigvals(b)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("compare", COMPARISONS)
def test_the_batched_interface_gives_the_same_for_many_pairs(compare: str) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(10, 12, 5)), rng.normal(size=(10, 12, 3))
    metric = METRICS.get("dsa").with_parameters({"compare": compare, "rank": 4})
    scores = score_pairs(metric, [sequence(x), sequence(y)], [(0, 1), (1, 0), (1, 1)])
    plain = value(x, y, compare=compare, rank=4)
    assert [score.value for score in scores] == pytest.approx([plain, plain, 0], rel=1e-12, abs=0)
    assert value(y, x, compare=compare, rank=4) == pytest.approx(plain, rel=1e-9)


@pytest.mark.parametrize("shape", [(20, 5), (20, 3, 6)])
def test_without_a_token_axis_it_is_skipped(shape: tuple[int, ...]) -> None:
    other = Representation(torch.randn(shape), "vector" if len(shape) == 2 else "channels_first", layer="conv1")
    (score,) = score_pairs(
        METRICS.get("dsa"), [sequence(np.random.default_rng(0).normal(size=(20, 6, 2))), other], [(0, 1)]
    )
    assert (score.status, score.reason) == ("skip", "dsa needs a sequence; conv1 has none")
    with pytest.raises(NotApplicable, match="dsa needs a sequence; conv1 has none"):
        dsa(other, other)


def test_too_little_data_does_not_apply() -> None:
    short, few = sequence(np.random.default_rng(0).normal(size=(9, 4, 3))), torch.randn(2, 9, 4)
    with pytest.raises(NotApplicable, match="4 delays need sequences of at least 5 tokens; there are 4"):
        dsa(short, short)
    with pytest.raises(NotApplicable, match="10 transitions do not determine dynamics in 10 dimensions"):
        linear_operator(few, 4, 10)
    with pytest.raises(NotApplicable, match="no variance"):
        linear_operator(torch.ones(5, 9, 4), 4, 10)


def test_the_kit_measures_it_on_sequences() -> None:
    made = cases(0, sequences=True)
    assert all(side.layout == "tokens" and side.offers("sequence") for case in made for side in (case.a, case.b))
    assert made[0].a.activations.shape == (10, 8, 6)
    assert torch.equal(made[0].a.activations.reshape(80, 6), cases(0)[0].a.activations)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("compare", COMPARISONS)
def test_the_device_makes_no_difference(compare: str) -> None:
    x, y = torch.randn(10, 12, 5), torch.randn(10, 12, 3)
    here, there = ([Representation(side, "tokens") for side in sides] for sides in ((x, y), (x.cuda(), y.cuda())))
    assert dsa(*there, compare=compare, rank=4) == pytest.approx(dsa(*here, compare=compare, rank=4), rel=1e-4)
