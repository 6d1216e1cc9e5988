"""Content-addressed keys: hashes of everything a result depends on, and of nothing else.

| artifact | depends on | left out |
| --- | --- | --- |
| model | canonical spec, trainer version, data, seed | device, workers, paths |
| activations | model key, layer, reparametrisation, probe inputs | batch size |
| rows of activations | key of the activations, spatial rule, declared layout | |
| representation | all that its activations depend on, spatial rule, transform | |
| score | metric identity and parameters, both representation keys (sorted for symmetric metrics) | everything else |

Keys hold no absolute path, so a store can be shared. The scheme has a version; a test pins golden values.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from simbench.models.reparametrise import REPARAMETRISATION_VERSION as REPARAMETRISATION_VERSION
from simbench.models.synthetic.base import GENERATOR_VERSION as GENERATOR_VERSION

KEY_SCHEME = 1
# Part of the keys of what is trained or read under `data.conditions`: raise it when that gives other data.
CONDITIONS_VERSION = 1
KEY_LENGTH = 24


def digest(kind: str, content: Mapping[str, Any]) -> str:
    """Return the key of `content`, which does not depend on the order of the mapping.

    >>> digest("model", {"seed": 1, "width": 24}) == digest("model", {"width": 24, "seed": 1})
    True
    """
    text = json.dumps({"scheme": KEY_SCHEME, "kind": kind, **content}, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def score_key(metric: str, parameters: Mapping[str, Any], a: str, b: str, *, symmetric: bool) -> str:
    """Return the key of one score; for a symmetric metric it does not depend on the order of `a` and `b`."""
    first, second = sorted((a, b)) if symmetric else (a, b)
    return digest("score", {"metric": metric, "parameters": dict(parameters), "a": first, "b": second})
