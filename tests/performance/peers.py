"""What public packages offer for the same comparisons. None is required: one that is missing is named and left out.

    pip install rsatoolbox repsim torch-cka ckatorch POT

A peer's function is given the matrices, as they are, and pairs of them, and returns one number per pair. Peers that
take all representations at once are given all that occur in the pairs.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import partial
from io import StringIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Pairs = Sequence[tuple[int, int]]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Peer:
    """A function of a package (a module's name) that computes one of our metrics, or something near to it."""

    package: str
    metric: str
    compare: Callable[[Sequence[Tensor], Pairs], Sequence[float]]
    remark: str = ""


def available() -> tuple[list[Peer], list[str]]:
    """The peers whose package can be imported, and a line for each package that cannot."""
    missing = {}
    for package in dict.fromkeys(peer.package for peer in PEERS):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                importlib.import_module(package)
        except ImportError as error:
            missing[package] = f"{package} is not installed ({error}): left out"
    return [peer for peer in PEERS if peer.package not in missing], list(missing.values())


def _loop(one: Callable[[Array, Array], float], matrices: Sequence[Tensor], pairs: Pairs) -> list[float]:
    """A function of two float64 arrays, pair by pair."""
    arrays = {k: matrices[k].double().numpy() for pair in pairs for k in pair}
    return [float(one(arrays[a], arrays[b])) for a, b in pairs]


def _table(
    all_pairs: Callable[[list[Array]], Array], matrices: Sequence[Tensor], pairs: Pairs, *, transposed: bool = False
) -> list[float]:
    """A function of a list of arrays that returns the table of all pairs."""
    used = sorted({index for pair in pairs for index in pair})
    slot = {index: k for k, index in enumerate(used)}
    table = all_pairs([matrices[index].double().numpy() for index in used])
    return [float(table[slot[b], slot[a]] if transposed else table[slot[a], slot[b]]) for a, b in pairs]


# --- repsim -----------------------------------------------------------------------------------------------------------


def _repsim(name: str, *arguments: str) -> Callable[[list[Array]], Array]:
    def all_pairs(arrays: list[Array]) -> Array:
        import repsim

        found: Array = getattr(repsim, name)(arrays, *arguments)
        return found

    return all_pairs


# --- ckatorch, torch-cka ----------------------------------------------------------------------------------------------


def _ckatorch(matrices: Sequence[Tensor], pairs: Pairs) -> list[float]:
    from ckatorch import cka_base

    return [float(cka_base(matrices[a], matrices[b])) for a, b in pairs]


def _ckatorch_batch(matrices: Sequence[Tensor], pairs: Pairs) -> list[float]:
    from ckatorch import cka_batch

    return [float(cka_batch(matrices[a][None], matrices[b][None])) for a, b in pairs]


class _Layers(torch.nn.Module):
    """A network whose layers put out given matrices."""

    def __init__(self, matrices: Sequence[Tensor]) -> None:
        super().__init__()
        self.matrices = matrices
        self.layers = torch.nn.ModuleList(torch.nn.Identity() for _ in matrices)

    def forward(self, rows: Tensor) -> Tensor:
        for layer, matrix in zip(self.layers, self.matrices, strict=True):
            layer(matrix[rows])
        return rows


def _torch_cka(matrices: Sequence[Tensor], pairs: Pairs) -> list[float]:
    from torch_cka import CKA

    used = sorted({index for pair in pairs for index in pair})
    names = [f"layers.{k}" for k in range(len(used))]
    rows = torch.utils.data.TensorDataset(torch.arange(len(matrices[0])))
    loader = torch.utils.data.DataLoader(rows, batch_size=len(matrices[0]))
    networks = [_Layers([matrices[index] for index in used]) for _ in range(2)]
    with warnings.catch_warnings(), redirect_stderr(StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        comparison = CKA(*networks, "first", "second", names, names)
        comparison.compare(loader)
        table = comparison.export()["CKA"]
    return [float(table[used.index(a), used.index(b)]) for a, b in pairs]


# --- rsatoolbox -------------------------------------------------------------------------------------------------------


def _rsatoolbox(distance: str, comparator: str) -> Callable[[list[Array]], Array]:
    def all_pairs(arrays: list[Array]) -> Array:
        from rsatoolbox.data import Dataset
        from rsatoolbox.rdm import calc_rdm, compare, concat

        rdms = concat([calc_rdm(Dataset(array), method=distance) for array in arrays])
        found: Array = compare(rdms, rdms, method=comparator)
        return found

    return all_pairs


# --- POT, scipy, scikit-learn: what one would write with them ---------------------------------------------------------


def _correlations(x: Array, y: Array) -> Array:
    x, y = (side[:, side.std(axis=0) > 0] for side in (x, y))
    x, y = ((side - side.mean(axis=0)) / (side.std(axis=0) * np.sqrt(len(side))) for side in (x, y))
    found: Array = x.T @ y
    return found


def _pot_soft_matching(x: Array, y: Array, *, mass: float = 1.0) -> float:
    import ot

    correlations = _correlations(x, y)
    weights = [np.full(count, 1 / count) for count in correlations.shape]
    if mass < 1:
        plan = ot.partial.partial_wasserstein(*weights, 1 - correlations, m=mass, numItermax=10**7)
    else:
        plan = ot.emd(*weights, 1 - correlations, numItermax=10**7)
    return float((plan * correlations).sum() / mass)


def _centred(x: Array, *, unit: bool = False) -> Array:
    x = x - x.mean(axis=0)
    return x / np.linalg.norm(x) if unit else x


def _scipy_nuclear(x: Array, y: Array) -> float:
    from scipy.linalg import svdvals

    return min(1.0, float(svdvals(_centred(x, unit=True).T @ _centred(y, unit=True)).sum()))


def _scipy_alignment(x: Array, y: Array) -> float:
    from scipy.linalg import orthogonal_procrustes

    return min(1.0, float(orthogonal_procrustes(_centred(x, unit=True), _centred(y, unit=True))[1]))


def _scipy_cca(x: Array, y: Array) -> float:
    from scipy.linalg import subspace_angles

    return float(np.cos(subspace_angles(_centred(x), _centred(y))).mean())


def _scipy_rsa(comparator: str, metric: str, x: Array, y: Array) -> float:
    from scipy.spatial.distance import pdist
    from scipy.stats import pearsonr, spearmanr

    compare = {"spearman": spearmanr, "pearson": pearsonr}[comparator]
    return float(compare(pdist(x, metric), pdist(y, metric)).statistic)


def _sklearn_mutual_knn(x: Array, y: Array) -> float:
    from sklearn.neighbors import NearestNeighbors

    first, second = (
        NearestNeighbors(n_neighbors=10, metric="cosine", algorithm="brute").fit(side).kneighbors(return_distance=False)
        for side in (x, y)
    )
    return float(np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(first, second, strict=True)]))


def _chord(similarity: float) -> float:
    return float(np.sqrt(max(0.0, 2 - 2 * similarity)))


PEERS = [
    Peer("repsim", "cka", partial(_table, _repsim("cka", "linear", "gretton"))),
    Peer("ckatorch", "cka", _ckatorch),
    Peer("repsim", "cka_debiased", partial(_table, _repsim("cka", "linear", "song"))),
    Peer("ckatorch", "cka_debiased", _ckatorch_batch),
    Peer("torch_cka", "cka_debiased", _torch_cka),
    Peer("repsim", "cka_rbf", partial(_table, _repsim("cka", "rbf", "gretton")), "width by another rule"),
    Peer("repsim", "cca_squared", partial(_table, _repsim("cca", "yanai"))),
    Peer("repsim", "svcca", partial(_table, _repsim("svcca", "yanai")), "squared correlations"),
    Peer("repsim", "pwcca", partial(_table, _repsim("pwcca"))),
    Peer("scipy", "cca", partial(_loop, _scipy_cca)),
    Peer("scipy", "nbs", partial(_loop, _scipy_nuclear), "svdvals"),
    Peer("scipy", "nbs", partial(_loop, _scipy_alignment), "orthogonal_procrustes"),
    Peer("scipy", "procrustes", partial(_loop, lambda x, y: _chord(_scipy_nuclear(x, y))), "svdvals"),
    Peer("scipy", "procrustes", partial(_loop, lambda x, y: _chord(_scipy_alignment(x, y))), "orthogonal_procrustes"),
    Peer("scipy", "procrustes_angular", partial(_loop, lambda x, y: float(np.arccos(_scipy_nuclear(x, y)))), "svdvals"),
    Peer("rsatoolbox", "rsa", partial(_table, _rsatoolbox("correlation", "spearman"))),
    Peer("scipy", "rsa", partial(_loop, partial(_scipy_rsa, "spearman", "correlation"))),
    Peer("rsatoolbox", "rsa_pearson", partial(_table, _rsatoolbox("correlation", "corr"))),
    Peer("scipy", "rsa_pearson", partial(_loop, partial(_scipy_rsa, "pearson", "correlation"))),
    Peer("scipy", "rsa_cosine", partial(_loop, partial(_scipy_rsa, "spearman", "cosine"))),
    Peer("scipy", "rsa_euclidean", partial(_loop, partial(_scipy_rsa, "spearman", "euclidean"))),
    Peer("ot", "soft_matching", partial(_loop, _pot_soft_matching)),
    Peer("ot", "partial_soft_matching", partial(_loop, partial(_pot_soft_matching, mass=0.9))),
    Peer("sklearn", "mutual_knn", partial(_loop, _sklearn_mutual_knn)),
]
