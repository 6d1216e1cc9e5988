"""A zoo that is not installed is one line that says what installs it."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from simbench.errors import SimbenchError
from simbench.models.loading import check_source
from simbench.registry import ARCHITECTURES


@pytest.mark.parametrize(
    ("name", "package", "parameters"),
    [
        ("transformers", "transformers", {"type": "bert"}),
        ("timm", "timm", {"model": "test_vit"}),
        ("open_clip", "open_clip", {"model": "ViT-B-32"}),
    ],
)
def test_check_and_run_say_what_installs_it(monkeypatch, name, package, parameters):
    if name == "timm":
        from simbench.models.architectures.timm_models import layers_of

        layers_of.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    present = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda asked: None if asked == package else present(asked))
    line = rf'architecture {name} needs the package \w+: pip install "simbench-leaderboard\[{name}\]"'
    architecture = ARCHITECTURES.get(name)
    with pytest.raises(SimbenchError, match=line):
        check_source("random_0", architecture, None)
    with pytest.raises(SimbenchError, match=line):
        architecture.build((), 0, **parameters)
