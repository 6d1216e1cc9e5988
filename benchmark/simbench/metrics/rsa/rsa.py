"""Representational similarity analysis: compare the dissimilarities between the inputs, not the activations.

A representational dissimilarity matrix (RDM) holds a distance between every two rows of X. RSA is the correlation of
the upper triangles of the RDMs of X and Y. The ids name the distance, `comparator` says which correlation:

* `rsa`: 1 − Pearson correlation of two rows over the units, compared by ranks;
* `rsa_pearson`: the same RDM, compared linearly;
* `rsa_cosine`: 1 − cosine of two rows; `rsa_euclidean`: ‖xᵢ − xⱼ‖;
* `rsa_whitened_cosine`: the cosine of squared distances, whitened by their sampling covariance.

A Pearson RDM removes each row's mean over the units, which neither a rotation of the units nor a translation leaves
alone. A row without direction (constant over the units; for the cosine, all zero) correlates with none: its distance
from every other row is 1, and the score carries a warning that counts such rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from simbench.lazy import lazy_import
from simbench.metrics.kernels.centring import unit_norm
from simbench.metrics.kernels.cross_products import grouped, squared_cross_norms, unordered
from simbench.metrics.kernels.distance_matrices import cosines_of_vectors
from simbench.metrics.kernels.rdm import Comparator, Distance, Patterns, compared, patterns
from simbench.metrics.metric import Pairs, Score, metric

if TYPE_CHECKING:
    import torch
    from torch import Tensor

else:
    torch = lazy_import("torch")


def rsa_of_pairs(prepared: Sequence[Patterns], pairs: Pairs, *, comparator: Comparator) -> list[float | Score]:
    """RSA of many pairs: every RDM is formed and ranked once, and all correlations come from one product."""
    unique, back = unordered(pairs)
    values = torch.empty(len(unique), dtype=torch.float64)
    for positions in grouped(range(len(unique)), lambda k: prepared[unique[k][0]].entries):
        group = [unique[k] for k in positions]
        values[positions] = cosines_of_vectors(lambda k: compared(prepared[k], comparator), group)
    return _scores(values[back].tolist(), prepared, pairs)


def _scores(values: Sequence[float], prepared: Sequence[Patterns], pairs: Pairs) -> list[float | Score]:
    """Return the values, each with a warning where rows have no direction."""
    scores: list[float | Score] = []
    for value, (a, b) in zip(values, pairs, strict=True):
        empty = prepared[a].without_direction, prepared[b].without_direction
        warning = f"{empty[0]} and {empty[1]} rows without direction"
        scores.append(Score(value, warnings=(warning,)) if any(empty) else value)
    return scores


def pearson_patterns(x: Tensor, **_: object) -> Patterns:
    """Return the rows with mean 0 over the units and norm 1."""
    return patterns(x, "pearson")


def spearman_of_pairs(prepared: Sequence[Patterns], pairs: Pairs) -> list[float | Score]:
    """Spearman correlation of the RDMs of many pairs."""
    return rsa_of_pairs(prepared, pairs, comparator="spearman")


@metric(
    "rsa",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(-1.0, 1.0),
    invariant_to={"permutation", "isotropic_scaling"},
    purposes={"geometry"},
    family="RSA",
    formula="Spearman of the upper triangles of D_X and D_Y, Dᵢⱼ = 1 − corr(xᵢ, xⱼ)",
    reference="Kriegeskorte, Mur, Bandettini (2008), Representational Similarity Analysis, Section 'Step 2' and "
    "'Step 4'; Nili et al. (2014), A Toolbox for Representational Similarity Analysis",
    prepare=pearson_patterns,
    compare_many=spearman_of_pairs,
)
def rsa(x: Tensor, y: Tensor) -> float | Score:
    """Representational similarity analysis: rank correlation of two correlation-distance matrices.

    x: (rows, features), y: (rows, other features) → a number in [−1, 1]. Ties share their mean rank. Not invariant to
    rotation or translation. Raises `NotApplicable` without variance, or when all dissimilarities are equal.

    >>> x = torch.tensor([[1.0, 2.0, 4.0], [2.0, 1.0, 0.0], [1.0, 3.0, 2.0], [0.0, 5.0, 1.0]])
    >>> rsa(x, 3 * x[:, [2, 0, 1]])
    1.0
    """
    return rsa_of_pairs([patterns(x, "pearson"), patterns(y, "pearson")], [(0, 1)], comparator="spearman")[0]


def pearson_of_pairs(prepared: Sequence[Patterns], pairs: Pairs) -> list[float | Score]:
    """Pearson correlation of the RDMs of many pairs."""
    return rsa_of_pairs(prepared, pairs, comparator="pearson")


@metric(
    "rsa_pearson",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(-1.0, 1.0),
    invariant_to={"permutation", "isotropic_scaling"},
    purposes={"geometry"},
    family="RSA",
    formula="Pearson of the upper triangles of D_X and D_Y, Dᵢⱼ = 1 − corr(xᵢ, xⱼ)",
    reference="Kriegeskorte, Mur, Bandettini (2008), Representational Similarity Analysis, Section 'Step 4'",
    prepare=pearson_patterns,
    compare_many=pearson_of_pairs,
)
def rsa_pearson(x: Tensor, y: Tensor) -> float | Score:
    """Representational similarity analysis with a linear correlation of two correlation-distance matrices.

    x: (rows, features), y: (rows, other features) → a number in [−1, 1]. Raises `NotApplicable` without variance, or
    when all dissimilarities are equal.

    >>> x = torch.tensor([[1.0, 2.0, 4.0], [2.0, 1.0, 0.0], [1.0, 3.0, 2.0], [0.0, 5.0, 1.0]])
    >>> round(float(rsa_pearson(x, 3 * x[:, [2, 0, 1]])), 12)
    1.0
    """
    return rsa_of_pairs([patterns(x, "pearson"), patterns(y, "pearson")], [(0, 1)], comparator="pearson")[0]


def cosine_patterns(x: Tensor, **_: object) -> Patterns:
    """Return the rows with norm 1."""
    return patterns(x, "cosine")


@metric(
    "rsa_cosine",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(-1.0, 1.0),
    invariant_to={"orthogonal", "isotropic_scaling"},
    family="RSA",
    formula="correlation of the upper triangles of D_X and D_Y, Dᵢⱼ = 1 − cos(xᵢ, xⱼ)",
    reference="Nili et al. (2014), A Toolbox for Representational Similarity Analysis",
    prepare=cosine_patterns,
    compare_many=rsa_of_pairs,
)
def rsa_cosine(x: Tensor, y: Tensor, *, comparator: Comparator = "spearman") -> float | Score:
    """Representational similarity analysis with cosine distances between the (uncentred) rows.

    x: (rows, features), y: (rows, other features) → a number in [−1, 1]. Raises `NotApplicable` without variance, or
    when all dissimilarities are equal.

    >>> x = torch.tensor([[1.0, 2.0], [2.0, 1.0], [1.0, 3.0], [0.0, 5.0]])
    >>> rsa_cosine(x, x @ torch.tensor([[0.6, 0.8], [-0.8, 0.6]]))
    1.0
    """
    return rsa_of_pairs([patterns(x, "cosine"), patterns(y, "cosine")], [(0, 1)], comparator=comparator)[0]


def euclidean_patterns(x: Tensor, **_: object) -> Patterns:
    """Return the centred matrix."""
    return patterns(x, "euclidean")


@metric(
    "rsa_euclidean",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(-1.0, 1.0),
    invariant_to={"orthogonal", "isotropic_scaling", "translation"},
    family="RSA",
    formula="correlation of the upper triangles of D_X and D_Y, Dᵢⱼ = ‖xᵢ − xⱼ‖",
    reference="Nili et al. (2014), A Toolbox for Representational Similarity Analysis",
    prepare=euclidean_patterns,
    compare_many=rsa_of_pairs,
)
def rsa_euclidean(x: Tensor, y: Tensor, *, comparator: Comparator = "spearman") -> float | Score:
    """Representational similarity analysis with (not squared) Euclidean distances between the rows.

    x: (rows, features), y: (rows, other features) → a number in [−1, 1]. Raises `NotApplicable` without variance, or
    when all dissimilarities are equal.

    >>> x = torch.tensor([[1.0, 2.0], [2.0, 1.0], [1.0, 4.0], [0.0, 8.0]])
    >>> rsa_euclidean(x, 2 * x @ torch.tensor([[0.6, 0.8], [-0.8, 0.6]]) + 1)
    1.0
    """
    return rsa_of_pairs([patterns(x, "euclidean"), patterns(y, "euclidean")], [(0, 1)], comparator=comparator)[0]


def whitened_patterns(x: Tensor, *, distance: Distance) -> Tensor:
    """Return the rows as their distance sees them, columns centred, of norm 1."""
    return unit_norm(patterns(x, distance).rows)


def whitened_cosine_of_pairs(prepared: Sequence[Tensor], pairs: Pairs, **_: object) -> Tensor:
    """Whitened cosine of the RDMs of many pairs, shape (pairs,).

    The covariance V of squared distances between independent, equally noisy rows is (C Cᵀ)∘², C the matrix of all
    contrasts eᵢ − eⱼ. Then dᵀV⁻¹d′ is, up to a factor, the inner product of the doubly centred Gram matrices.
    """
    selves = [(k, k) for k in range(len(prepared))]
    products = squared_cross_norms(prepared, [*pairs, *selves])
    own = products[len(pairs) :]
    a, b = torch.tensor(pairs).T
    return products[: len(pairs)] / (own[a] * own[b]).sqrt()


@metric(
    "rsa_whitened_cosine",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0.0, 1.0),
    invariant_to={"orthogonal", "isotropic_scaling", "translation"},
    family="RSA",
    formula="dᵀV⁻¹d′ / √(dᵀV⁻¹d · d′ᵀV⁻¹d′), d the squared distances between rows, V = (CCᵀ)∘²",
    reference="Diedrichsen, Berlot, Mur, Schütt, Shahbazi, Kriegeskorte (2020), Comparing Representational Geometries "
    "Using Whitened Unbiased-Distance-Matrix Similarity",
    prepare=whitened_patterns,
    compare_many=whitened_cosine_of_pairs,
)
def rsa_whitened_cosine(x: Tensor, y: Tensor, *, distance: Distance = "euclidean") -> Tensor:
    """Cosine of two RDMs of squared distances, whitened by the covariance of such distances under equal noise.

    x: (rows, features), y: (rows, other features) → a scalar in [0, 1]. With one pattern per input and the Euclidean
    distance it equals linear CKA; `distance` "pearson" or "cosine" normalises the rows first, which makes it another
    index (and the first not invariant to rotation or translation, the second not to translation).
    Raises `NotApplicable` without variance.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    >>> float(rsa_whitened_cosine(x, 3 * x[:, [1]]))
    0.79...
    """
    prepared = [unit_norm(patterns(side, distance).rows) for side in (x, y)]
    return whitened_cosine_of_pairs(prepared, [(0, 1)])[0]
