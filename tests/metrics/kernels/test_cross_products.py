"""Products of many pairs of matrices, their inner products and nuclear norms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from simbench.metrics.kernels import cross_products as cross_products_module
from simbench.metrics.kernels.centring import centred
from simbench.metrics.kernels.cross_products import (
    cross_products,
    gram_distance,
    nuclear_cross_norms,
    nuclear_norms,
    unordered,
)
from simbench.metrics.kernels.memory import limited_memory


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


@pytest.mark.parametrize(("rows", "width"), [(60, 7), (9, 40)])
def test_feature_space_equals_gram_space(rows: int, width: int) -> None:
    sides = [centred(torch.randn(rows, width + k, dtype=torch.float64)) for k in range(4)]
    pairs = [(a, b) for a in range(4) for b in range(4)]
    features = cross_products_module._feature_inner_products(sides, pairs)
    gram = cross_products_module._gram_inner_products(sides)
    assert torch.allclose(features.view(4, 4), gram, rtol=1e-12)


@pytest.mark.parametrize("limit", [1, 5_000, 2**28])
@pytest.mark.parametrize("kernel", ["_feature_inner_products", "_gram_inner_products"])
def test_block_size_does_not_matter(kernel: str, limit: int) -> None:
    generator = torch.Generator().manual_seed(0)
    sides = [torch.randn(50, 8, generator=generator, dtype=torch.float64) for _ in range(3)]
    pairs = [(a, b) for a in range(3) for b in range(3)]
    arguments = (sides, pairs) if kernel == "_feature_inner_products" else (sides,)
    expected = torch.stack([(sides[a].T @ sides[b]).square().sum() for a, b in pairs])
    with limited_memory(limit):
        assert torch.allclose(getattr(cross_products_module, kernel)(*arguments).flatten(), expected, rtol=1e-12)


def test_the_distance_of_gram_matrices_needs_no_gram_matrix() -> None:
    rng = np.random.default_rng(0)
    for rows, width, other in [(30, 4, 7), (6, 10, 3), (5, 9, 9)]:
        x, y = rng.normal(size=(rows, width)), rng.normal(size=(rows, other))
        expected = np.linalg.norm(x @ x.T - y @ y.T)
        assert float(gram_distance(torch.tensor(x), torch.tensor(y))) == pytest.approx(expected, rel=1e-12)
