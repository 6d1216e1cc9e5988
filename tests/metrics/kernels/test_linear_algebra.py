"""What the matrix metrics share: centring, rank, nuclear norms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from simbench.errors import NotApplicable
from simbench.metrics.kernels.linear_algebra import (
    centred,
    cross_products,
    nuclear_cross_norms,
    nuclear_norms,
    same_gram,
    spectrum,
    unordered,
)
from simbench.metrics.kernels.memory import limited_memory


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e-300, 1e6 / 7])
def test_a_constant_matrix_is_recognised_whatever_its_mean_rounds_to(value: float) -> None:
    for rows in range(3, 60):
        with pytest.raises(NotApplicable, match="no variance"):
            centred(torch.full((rows, 2), value, dtype=torch.float64))


def test_centring_is_done_in_double_precision() -> None:
    x = torch.tensor([[1e4 + 1], [1e4 + 2], [1e4 + 4]], dtype=torch.float32)
    assert centred(x).flatten().tolist() == pytest.approx([-4 / 3, -1 / 3, 5 / 3], rel=1e-12)


def test_a_spectrum_restores_the_centred_matrix() -> None:
    x = torch.randn(20, 6, dtype=torch.float64) + 5
    parts = spectrum(x)
    assert torch.allclose(parts.left * parts.values @ parts.right, centred(x))


def test_unordered_pairs_keep_their_way_back() -> None:
    pairs = [(3, 1), (1, 3), (2, 2), (1, 3)]
    unique, back = unordered(pairs)
    assert [tuple(sorted(pair)) for pair in pairs] == [unique[k] for k in back]


@pytest.mark.parametrize("limit", [1, 4_000, 2**20])
def test_cross_products_come_in_bounded_batches(limit: int) -> None:
    sides = [torch.randn(30, width, dtype=torch.float64) for width in (4, 5, 4)]
    pairs = [(a, b) for a in range(3) for b in range(3)]
    seen = []
    with limited_memory(limit):
        for positions, products in cross_products(sides, pairs):
            assert products.numel() * 8 <= max(limit, 8 * 25)
            for position, product in zip(positions, products, strict=True):
                a, b = pairs[position]
                assert torch.allclose(product, sides[a].T @ sides[b])
                seen.append(position)
    assert sorted(seen) == list(range(9))


def test_a_wide_matrix_is_replaced_by_one_with_the_same_gram_matrix() -> None:
    x = torch.randn(10, 200, dtype=torch.float64)
    narrow = same_gram(x)
    assert narrow.shape == (10, 10)
    assert torch.allclose(narrow @ narrow.T, x @ x.T)


SPECTRA = {
    "gaussian": lambda size: None,
    "one direction": lambda size: np.r_[1.0, np.zeros(size - 1)],
    "geometric": lambda size: np.geomspace(1, 1e-14, size),
    "slowly geometric": lambda size: np.geomspace(1, 1e-6, size),
    "power law": lambda size: np.arange(1.0, size + 1) ** -3,
    "half below the root of rounding": lambda size: np.r_[np.ones(size // 2), np.full(size - size // 2, 1e-9)],
    "most below the root of rounding": lambda size: np.r_[np.ones(size // 8), np.full(size - size // 8, 1e-8)],
    "just above the root of rounding": lambda size: np.r_[1.0, np.full(size - 1, 1e-7)],
    "zero": lambda size: np.zeros(size),
}


@pytest.mark.parametrize("size", [8, 128, 384])
@pytest.mark.parametrize("name", SPECTRA)
def test_nuclear_norms_are_right_whatever_the_spectrum(name: str, size: int) -> None:
    rng = np.random.default_rng(0)
    matrix, values = rng.normal(size=(size, size)), SPECTRA[name](size)
    if values is not None:
        matrix = np.linalg.qr(matrix)[0] * values @ np.linalg.qr(rng.normal(size=(size, size)))[0]
    batch = torch.tensor(np.stack([matrix, 2 * matrix]))
    assert nuclear_norms(batch).tolist() == pytest.approx(torch.linalg.svdvals(batch).sum(dim=1).tolist(), rel=1e-7)


def test_nuclear_norms_of_all_pairs_are_sums_of_singular_values() -> None:
    """Those of a matrix with itself, whose product has a trace, as those of any two."""
    sides = [torch.randn(30, width, dtype=torch.float64) for width in (4, 7, 40)]
    pairs = [(a, b) for a in range(3) for b in range(3)]
    expected = [float(torch.linalg.svdvals(sides[a].T @ sides[b]).sum()) for a, b in pairs]
    assert nuclear_cross_norms(sides, pairs).tolist() == pytest.approx(expected, rel=1e-7)
