"""Derive every random seed from named axes, never from global state."""

from __future__ import annotations

import hashlib
import json


def seed_for(**axes: str | int | float) -> int:
    """Return a seed in [0, 2³¹) that depends on all the named axes and on nothing else.

    The order in which the axes are named does not matter:

    >>> seed_for(model="cnn", seed=1) == seed_for(seed=1, model="cnn")
    True
    >>> seed_for(model="cnn", seed=1) == seed_for(model="cnn", seed=2)
    False
    """
    if not axes:
        raise ValueError("a seed needs at least one named axis")
    text = json.dumps(axes, sort_keys=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
