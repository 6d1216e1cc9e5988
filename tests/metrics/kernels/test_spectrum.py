"""The singular value decomposition of a centred matrix."""

from __future__ import annotations

import torch

from simbench.metrics.kernels.centring import centred
from simbench.metrics.kernels.spectrum import spectrum


def test_a_spectrum_restores_the_centred_matrix() -> None:
    x = torch.randn(20, 6, dtype=torch.float64) + 5
    parts = spectrum(x)
    assert torch.allclose(parts.left * parts.values @ parts.right, centred(x))
