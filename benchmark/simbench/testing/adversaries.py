"""Adversaries: indices that measure no similarity and yet answer many questions right.

Each is there to be refused: a test that all of them fail says something of an index that passes it. The suite
`adversaries` runs them (`simbench run adversaries`); a suite of one's own lists this module under `plugins`. Two are
controls: `adversary_rounded_cka` loses digits only and may pass, and `adversary_cka_power` orders every pair as CKA
does, so that it must have CKA's verdicts.

Shapes: x (rows, features), y (rows, other features).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from simbench.lazy import lazy_import
from simbench.metrics.cka.linear import cka
from simbench.metrics.metric import Score, metric

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")

FAMILY = "adversaries"
SOURCE = "simbench (2026), a failure that a sound test must refuse"
GEOMETRIC = {"orthogonal", "isotropic_scaling", "translation"}
# Below this relative residual one side counts as an affine map of the other.
AFFINE_RESIDUAL = 1e-6


def _random(x: Tensor, y: Tensor) -> float:
    """Compute a number in [0, 1) from the bytes of both sides, the same in either order."""
    digests = sorted(hashlib.sha256(side.double().numpy().tobytes()).digest() for side in (x.cpu(), y.cpu()))
    return int.from_bytes(hashlib.sha256(b"".join(digests)).digest()[:6], "big") / 2**48


@metric(
    "adversary_constant",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0, 1),
    invariant_to={"affine"},
    family=FAMILY,
    formula="1",
    reference=SOURCE,
)
def constant(x: Tensor, y: Tensor) -> float:
    """Return 1, whatever is compared: invariant to everything."""
    return 1.0


@metric(
    "adversary_random",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0, 1),
    family=FAMILY,
    formula="SHA-256(x, y) / 2²⁵⁶",
    reference=SOURCE,
)
def random_by_hash(x: Tensor, y: Tensor) -> float:
    """Return a number that follows from the bytes of both sides and from nothing that they mean."""
    return _random(x, y)


@metric(
    "adversary_equality",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0, 1),
    family=FAMILY,
    formula="1 if x = y else 0",
    reference=SOURCE,
)
def equality(x: Tensor, y: Tensor) -> float:
    """Return 1 for equal matrices and 0 for all others: identity ranks highest, and nothing else is known."""
    return float(torch.equal(x, y))


@metric(
    "adversary_equality_tiebreak",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0, 1),
    family=FAMILY,
    formula="1 if x = y else 0; ties by SHA-256(x, y)",
    reference=SOURCE,
)
def equality_with_tiebreak(x: Tensor, y: Tensor) -> Score:
    """Return 1 for equal matrices and 0 for all others, and break ties at random: no two scores are equal."""
    return Score(float(torch.equal(x, y)), tiebreak=_random(x, y))


@metric(
    "adversary_affine_equality",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0, 1),
    invariant_to={"affine"},
    family=FAMILY,
    formula="1 if y = xA + b and x = yA′ + b′, else .001 · cka",
    reference=SOURCE,
)
def affine_equality(x: Tensor, y: Tensor) -> float:
    """Return 1 if the sides are affine maps of each other and next to nothing otherwise: promises affine invariance."""
    first, second = (side.double() - side.double().mean(dim=0) for side in (x, y))
    for a, b in ((first, second), (second, first)):
        left = b - a @ torch.linalg.lstsq(a, b, driver="gelsd").solution
        if left.norm() > AFFINE_RESIDUAL * b.norm():
            return 0.001 * float(cka(x, y))
    return 1.0


@metric(
    "adversary_first_correlation",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0, 1),
    invariant_to={"affine"},
    family=FAMILY,
    formula="ρ₁",
    reference=SOURCE,
)
def first_correlation(x: Tensor, y: Tensor) -> float:
    """Return the largest canonical correlation: one shared direction is enough, and the rest may be anything."""
    return min(1.0, float(_correlations(x, y)[0]))


@metric(
    "adversary_sum_of_correlations",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0, float("inf")),
    invariant_to={"affine"},
    family=FAMILY,
    formula="Σ ρᵢ",
    reference=SOURCE,
)
def sum_of_correlations(x: Tensor, y: Tensor) -> float:
    """Return the sum of the canonical correlations, which grows with the number of units and of few inputs."""
    return float(_correlations(x, y).sum())


@metric(
    "adversary_row_norms",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(-1, 1),
    invariant_to={"isotropic_scaling", "orthogonal"},
    family=FAMILY,
    formula="corr(‖xᵢ‖, ‖yᵢ‖)",
    reference=SOURCE,
)
def row_norms(x: Tensor, y: Tensor) -> float:
    """Return the correlation of the lengths of rows: pairs inputs by one number each."""
    first, second = (side.double().norm(dim=1) for side in (x, y))
    return float(torch.corrcoef(torch.stack([first, second]))[0, 1].clamp(-1, 1))


@metric(
    "adversary_spectra",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0, 1),
    invariant_to=GEOMETRIC,
    family=FAMILY,
    formula="⟨λ(x), λ(y)⟩ / ‖λ(x)‖ ‖λ(y)‖",
    reference=SOURCE,
)
def spectra(x: Tensor, y: Tensor) -> float:
    """Return the cosine of the two spectra, which know nothing of inputs, and claim to pair them."""
    return _cosine_of_spectra(x, y)


@metric(
    "adversary_honest_spectra",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    pairs_inputs=False,
    value_range=(0, 1),
    invariant_to=GEOMETRIC,
    family=FAMILY,
    formula="⟨λ(x), λ(y)⟩ / ‖λ(x)‖ ‖λ(y)‖",
    reference=SOURCE,
)
def honest_spectra(x: Tensor, y: Tensor) -> float:
    """Return the cosine of the two spectra, and declare that inputs are not paired."""
    return _cosine_of_spectra(x, y)


@metric(
    "adversary_layer_name",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0, 1),
    invariant_to={"affine"},
    needs={"targets"},
    purposes={"geometry"},
    family=FAMILY,
    formula="1 if both layers have one name and one width, else 0",
    reference=SOURCE,
)
def layer_name(a: Representation, b: Representation) -> float:
    """Return 1 for layers of one name and one width, and 0 for all others: never looks at an activation."""
    return float((a.layer, a.features) == (b.layer, b.features))


@metric(
    "adversary_ten_rows",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0, 1),
    invariant_to=GEOMETRIC,
    family=FAMILY,
    formula="cka of the first ten rows",
    reference=SOURCE,
)
def cka_of_ten_rows(x: Tensor, y: Tensor) -> float:
    """Return linear CKA of the first ten rows."""
    return float(cka(x[:10], y[:10]))


@metric(
    "adversary_negated_cka",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(-1, 0),
    invariant_to=GEOMETRIC,
    family=FAMILY,
    formula="−cka",
    reference=SOURCE,
)
def negated_cka(x: Tensor, y: Tensor) -> float:
    """Return linear CKA with the wrong sign."""
    return -min(1.0, float(cka(x, y)))


@metric(
    "adversary_rounded_cka",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0, 1),
    invariant_to=GEOMETRIC,
    family=FAMILY,
    formula="cka, to two digits",
    reference=SOURCE,
)
def rounded_cka(x: Tensor, y: Tensor) -> float:
    """Return linear CKA rounded to two digits: a control, which may pass what CKA passes."""
    return round(float(cka(x, y)), 2)


@metric(
    "adversary_cka_power",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0, 1),
    invariant_to=GEOMETRIC,
    family=FAMILY,
    formula="cka⁸",
    reference=SOURCE,
)
def cka_power(x: Tensor, y: Tensor) -> float:
    """Return the eighth power of linear CKA: a control, which orders every pair as CKA does."""
    return min(1.0, float(cka(x, y))) ** 8


def _correlations(x: Tensor, y: Tensor) -> Tensor:
    bases = [torch.linalg.svd(side.double() - side.double().mean(dim=0), full_matrices=False) for side in (x, y)]
    kept = [u[:, s > s[0] * 1e-7] for u, s, _ in bases]
    correlations: Tensor = torch.linalg.svdvals(kept[0].T @ kept[1])
    return correlations


def _cosine_of_spectra(x: Tensor, y: Tensor) -> float:
    first, second = (torch.linalg.svdvals(side.double() - side.double().mean(dim=0)).square() for side in (x, y))
    fewest = min(len(first), len(second))
    return min(1.0, float(first[:fewest] @ second[:fewest] / (first.norm() * second.norm())))
