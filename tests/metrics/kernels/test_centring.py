"""Centring in double precision, and a narrow matrix with the same Gram matrix."""

from __future__ import annotations

import pytest
import torch

from simbench.errors import NotApplicable
from simbench.metrics.kernels.centring import centred, same_gram


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e-300, 1e6 / 7])
def test_a_constant_matrix_is_recognised_whatever_its_mean_rounds_to(value: float) -> None:
    for rows in range(3, 60):
        with pytest.raises(NotApplicable, match="no variance"):
            centred(torch.full((rows, 2), value, dtype=torch.float64))


def test_centring_is_done_in_double_precision() -> None:
    x = torch.tensor([[1e4 + 1], [1e4 + 2], [1e4 + 4]], dtype=torch.float32)
    assert centred(x).flatten().tolist() == pytest.approx([-4 / 3, -1 / 3, 5 / 3], rel=1e-12)


def test_a_wide_matrix_is_replaced_by_one_with_the_same_gram_matrix() -> None:
    x = torch.randn(10, 200, dtype=torch.float64)
    narrow = same_gram(x)
    assert narrow.shape == (10, 10)
    assert torch.allclose(narrow @ narrow.T, x @ x.T)
