"""Stitching: how well one network works when a layer of another one, mapped affinely, replaces a layer of its own.

The stitched network is h = g_{>j} ∘ T ∘ R ∘ f_i, everything frozen but T: f_i is the sender's layer, g_{>j} the rest
of the receiver, R resizes space where sizes differ (bilinear), T is an affine map of the features (a 1 × 1 convolution
with bias). *Direct matching* takes T = argmin ‖T R f_i − g_j‖² in closed form; *task loss matching* trains T.

Balogh & Jelasity (2025), arXiv 2412.11299, section 3; Bansal et al. (2021); Csiszárik et al. (2021). The first argument
is the sender, the second the receiver.

This is the table of the family: each entry names a way to find maps and a score, and is documented by an empty
function, which `stitching` replaces by the metric.
"""

from __future__ import annotations

from math import inf

from simbench.metrics.stitching.family import SolvedMaps, TrainedMaps, stitching
from simbench.metrics.stitching.map_forms import LowRank, Orthogonal
from simbench.metrics.stitching.scores import agreement, functional_score, held_out_r2, relative_error

ACCURACY = "clip((acc(h) − c) / (acc(g) − c), 0, 1), h stitched by "
SAME_LABELS = "share of inputs with argmax h(x) = argmax g(x), h stitched by "
LEAST_SQUARES = "argmin ‖T f_i − g_j‖²"
TRAINED_ON_LABELS = "argmin E[CE(h(x), y)]"
BALOGH = "Balogh & Jelasity (2025), arXiv 2412.11299"
CSISZARIK = "Csiszárik et al. (2021), Similarity and Matching of Neural Network Representations"


@stitching(
    SolvedMaps(),
    functional_score,
    invariant_to={"affine"},
    formula=f"{ACCURACY}T = {LEAST_SQUARES}, c = chance",
    reference=f"{BALOGH}, direct matching, functional; normalisation ours",
    default=True,
)
def stitch_direct() -> None:
    """Accuracy of the receiver when the sender's layer, mapped by least squares, replaces its own.

    Range [0, 1]; 1 is the receiver's own accuracy, 0 chance. Ties are broken by the held-out cross entropy.
    Skipped where the receiver is not better than chance or the fit has fewer than 5 (d + 1) rows.
    """


@stitching(
    SolvedMaps(),
    held_out_r2,
    value_range=(-inf, 1),
    invariant_to={"orthogonal", "isotropic_scaling", "translation"},
    needs={"fit"},
    version=2,
    runs_network=False,
    formula="1 − ‖T f_i − g_j‖² / ‖g_j − mean g_j‖² on held-out inputs, T = argmin on the fit inputs",
    reference=f"{BALOGH}, direct matching, structural; centred and held-out: ours",
    default=True,
)
def stitch_direct_r2() -> None:
    """Share of the receiver's held-out variance that the sender explains through an affine map.

    Range (−∞, 1]; 1 for a layer with itself, about −d / rows for an independent sender. Every position is a row;
    under the spatial rules pool and flatten every input is, in the fit as in the evaluation.
    """


@stitching(
    SolvedMaps(),
    relative_error,
    higher_is_more_similar=False,
    value_range=(0, inf),
    invariant_to={"orthogonal", "isotropic_scaling"},
    needs={"fit"},
    version=2,
    runs_network=False,
    formula="‖T f_i − g_j‖² / ‖g_j‖² on held-out inputs, T = argmin on the fit inputs",
    reference=f"{BALOGH}, direct matching, structural",
)
def stitch_direct_relerr() -> None:
    """Relative error of the receiver's held-out activations, predicted from the sender through an affine map.

    Range [0, ∞); 0 for a layer with itself. Uncentred, so that it has a ceiling well below what its range suggests: a
    receiver with a large mean is predicted well from anything. Prefer `stitch_direct_r2`, whose rows it has.
    """


@stitching(
    SolvedMaps(),
    agreement,
    invariant_to={"affine"},
    formula=f"{SAME_LABELS}T = {LEAST_SQUARES}",
    reference=f"{BALOGH}, direct matching; agreement with the receiver ours",
)
def stitch_direct_agreement() -> None:
    """Share of inputs on which the receiver predicts the same with the sender's layer, mapped by least squares.

    Range [0, 1]; 1 for a layer with itself. What the receiver gets wrong counts as much as what it gets right. Ties
    are broken by the cross entropy against the receiver's own outputs.
    """


@stitching(
    TrainedMaps(),
    functional_score,
    formula=f"{ACCURACY}T = {TRAINED_ON_LABELS}, c = chance",
    reference=f"Bansal et al. (2021); {BALOGH}, task loss matching; scale ours",
    default=True,
)
def stitch_task() -> None:
    """Accuracy of the receiver when the sender's layer, mapped by training on the task, replaces its own.

    Range [0, 1]; 1 is the receiver's own accuracy, 0 chance. T starts from PyTorch's default initialisation of a linear
    layer and learns with Adam (the paper: 30 epochs, batch 256, rate 1e-3, decay 1e-5); seeded by its shapes.
    """


@stitching(
    TrainedMaps(),
    agreement,
    formula=f"{SAME_LABELS}T = {TRAINED_ON_LABELS}",
    reference=f"{BALOGH}, task loss matching; agreement with the receiver ours",
)
def stitch_task_agreement() -> None:
    """Share of inputs on which the receiver predicts the same with the sender's layer, mapped by training on the task.

    Range [0, 1]. The map is that of `stitch_task`; a layer stitched to itself need not reach 1.
    """


# Variants: other starts, other aims and other forms of the map, each a metric of its own with the parameters of the one
# that it varies, so that none changes the scores of another.


@stitching(
    SolvedMaps(LowRank),
    functional_score,
    invariant_to={"orthogonal", "isotropic_scaling", "translation"},
    formula=f"{ACCURACY}T = {LEAST_SQUARES} over maps of at most this rank",
    reference=f"{CSISZARIK}; Izenman (1975), Reduced-rank regression for the multivariate linear model",
)
def stitch_direct_low_rank() -> None:
    """`stitch_direct` by a map of at most this rank: reduced-rank regression, in closed form.

    Range [0, 1]. From the smaller of both widths on, the rank restricts nothing.
    """


@stitching(
    SolvedMaps(Orthogonal),
    functional_score,
    invariant_to={"orthogonal", "translation"},
    formula=f"{ACCURACY}T z = Qz + b = {LEAST_SQUARES} over orthogonal Q, narrower side padded with zeros",
    reference=f"{CSISZARIK}; Schönemann (1966), A generalized solution of the orthogonal Procrustes problem",
)
def stitch_direct_orthogonal() -> None:
    """`stitch_direct` by an orthogonal map and a bias, without scale: orthogonal Procrustes, in closed form.

    Range [0, 1]. Between different widths the map is a block of an orthogonal one.
    """


@stitching(
    TrainedMaps(start="direct"),
    functional_score,
    invariant_to={"permutation"},
    formula=f"{ACCURACY}T = {TRAINED_ON_LABELS}, T from {LEAST_SQUARES}",
    reference=f"{CSISZARIK}; {BALOGH}, task loss matching",
)
def stitch_task_direct_init() -> None:
    """`stitch_task`, trained from the directly matched map rather than from a random one.

    Range [0, 1]. Without training (`epochs: 0`) it is `stitch_direct`. Skipped where direct matching is.
    """


@stitching(
    TrainedMaps(aim="outputs"),
    functional_score,
    formula=f"{ACCURACY}T = argmin E[CE(h(x), softmax g(x))]",
    reference=f"{BALOGH}; Csiszárik et al. (2021), soft labels",
)
def stitch_task_soft() -> None:
    """`stitch_task`, trained on the receiver's softmax outputs rather than on the labels.

    Range [0, 1]. T learns to make the receiver do what it did, right or wrong.
    """


@stitching(
    TrainedMaps(LowRank),
    functional_score,
    formula=f"{ACCURACY}T z = UVᵀz + b, {TRAINED_ON_LABELS}",
    reference=f"{CSISZARIK}; factorisation ours",
)
def stitch_task_low_rank() -> None:
    """`stitch_task` by a map of at most this rank, trained as a product of two factors.

    Range [0, 1]. The factors start as those of the best approximation to the map from which `stitch_task` starts.
    """


@stitching(
    TrainedMaps(Orthogonal),
    functional_score,
    formula=f"{ACCURACY}T z = Qz + b, {TRAINED_ON_LABELS} over orthogonal Q",
    reference=f"{CSISZARIK}; Cayley parametrisation ours",
)
def stitch_task_orthogonal() -> None:
    """`stitch_task` by an orthogonal map and a bias.

    Range [0, 1]. Q starts next to the map from which `stitch_task` starts and turns from there: between equal widths it
    is a rotation or a rotoreflection by the shape alone. Weight decay acts on the bias only.
    """
