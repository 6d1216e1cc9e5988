"""A bundle names no folder of a model: what nobody else has, nobody else can check."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from simbench.bundles.archive import BadBundleError
from simbench.bundles.portable_models import check_portable, portable_group
from simbench.errors import SimbenchError
from simbench.suite.schema import ModelSpec

COMMIT = "a" * 40


def _spec(**architecture) -> ModelSpec:
    return ModelSpec.model_validate({"architecture": {"name": "transformers", **architecture}, "load": "pretrained"})


def _suite(spec: ModelSpec) -> Any:
    return SimpleNamespace(models={"m": spec})


@pytest.mark.parametrize("name", ["/etc", "../x", "~/models", "a/b/c", "."])
def test_what_may_be_a_folder_is_refused_on_both_sides(name):
    spec = _spec(model=name, revision=COMMIT)
    with pytest.raises(SimbenchError, match="is a folder of yours"):
        portable_group("m", spec)
    with pytest.raises(BadBundleError, match="the architecture names a folder"):
        check_portable(_suite(spec))


def test_a_folder_that_is_there_is_refused(tmp_path, monkeypatch):
    (tmp_path / "minilm").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SimbenchError, match="minilm is a folder of yours"):
        portable_group("m", _spec(model="minilm"))


def test_a_name_on_the_hub_and_random_weights_travel():
    for spec in (_spec(model="org/name", revision=COMMIT), _spec(type="bert")):
        assert portable_group("m", spec).architecture == spec.architecture
        check_portable(_suite(spec))
    seeded = ModelSpec.model_validate(
        {"architecture": {"name": "transformers", "type": "bert"}, "load": "random_{seed}", "seeds": [0, 3]}
    )
    assert portable_group("m", seeded).load == {"0": "random_0", "3": "random_3"}
