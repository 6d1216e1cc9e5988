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
    from simbench.errors import ExitCode, NotApplicable, SimbenchError, SuiteError, UnknownNameError
    from simbench.metrics.layer_pairs import LayerScores
    from simbench.metrics.metric import Metric, Score, metric
    from simbench.representations.representation import Representation
    from simbench.run.session import run

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
    "metric",
    "run",
    "score",
    "score_layers",
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
    "metric": "simbench.metrics.metric",
    "score": "simbench.api",
    "score_layers": "simbench.api",
}


def __getattr__(name: str) -> Any:
    if name == "run":
        # The subpackage and the function share a name; the subpackage is callable (see its docstring), so that both
        # `simbench.run("quick")` and `import simbench.run.events` work in any order.
        return importlib.import_module("simbench.run")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
