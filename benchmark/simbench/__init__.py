"""Benchmark of representational similarity indices.

>>> import numpy as np, simbench
>>> x = np.random.default_rng(0).normal(size=(50, 4))
>>> round(simbench.score(x, x[:, ::-1], "cka"), 6)
1.0

Everything heavy is imported at first use: `import simbench` alone imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simbench.api import ScoreValue, ScoreWarning, score, score_layers
    from simbench.data.dataset import dataset
    from simbench.errors import ExitCode, NotApplicable, SimbenchError, SuiteError, UnknownNameError
    from simbench.metrics.layer_pairs import LayerScores
    from simbench.metrics.metric import Metric, Score, metric
    from simbench.metrics.wrappers.base import wrapper
    from simbench.models.architecture import architecture
    from simbench.models.loading import loader
    from simbench.models.reparametrise import reparametrisation
    from simbench.models.synthetic.base import generator
    from simbench.representations.representation import Representation
    from simbench.representations.transforms import transform
    from simbench.run.session import run
    from simbench.sanity.kind import sanity_test as test_kind

__version__ = "0.1.0"

__all__ = [
    "ExitCode",
    "LayerScores",
    "Metric",
    "NotApplicable",
    "Representation",
    "Score",
    "ScoreValue",
    "ScoreWarning",
    "SimbenchError",
    "SuiteError",
    "UnknownNameError",
    "__version__",
    "architecture",
    "dataset",
    "generator",
    "loader",
    "metric",
    "reparametrisation",
    "run",
    "score",
    "score_layers",
    "test_kind",
    "transform",
    "wrapper",
]

_HOMES = {
    "ExitCode": "simbench.errors",
    "LayerScores": "simbench.metrics.layer_pairs",
    "Metric": "simbench.metrics.metric",
    "NotApplicable": "simbench.errors",
    "Representation": "simbench.representations.representation",
    "Score": "simbench.metrics.metric",
    "ScoreValue": "simbench.api",
    "ScoreWarning": "simbench.api",
    "SimbenchError": "simbench.errors",
    "SuiteError": "simbench.errors",
    "UnknownNameError": "simbench.errors",
    "architecture": "simbench.models.architecture",
    "dataset": "simbench.data.dataset",
    "generator": "simbench.models.synthetic.base",
    "loader": "simbench.models.loading",
    "metric": "simbench.metrics.metric",
    "reparametrisation": "simbench.models.reparametrise",
    "score": "simbench.api",
    "score_layers": "simbench.api",
    "test_kind": "simbench.sanity.kind",
    "transform": "simbench.representations.transforms",
    "wrapper": "simbench.metrics.wrappers.base",
}
# Names of the package that are others where they are defined.
_DEFINED_AS = {"test_kind": "sanity_test"}


def __getattr__(name: str) -> Any:
    if name == "run":
        # The subpackage and the function share a name; the subpackage is callable (see its docstring), so that both
        # `simbench.run("quick")` and `import simbench.run.events` work in any order.
        return importlib.import_module("simbench.run")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), _DEFINED_AS.get(name, name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
