"""Two runs in one process, as in a notebook, with a file changed in between: the second is of the new content."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from simbench.errors import SimbenchError
from simbench.registry import METRICS, import_reference
from simbench.results.store import Store
from simbench.run import materials
from simbench.run.materials import Materials
from simbench.run.session import prepare, run

SUITE = """\
suite: mine
version: 1
probe: {{dataset: {{name: arrays, path: {data}}}, split: test, inputs: 40}}
models:
  net:
    architecture: {{name: mlp, width: 6, depth: 2}}
    {weights}
    seeds: [0]
metrics: [cka]
tests:
  - {{id: identity, kind: identity, models: [net]}}
"""
TRAINED = "train: {{dataset: {{name: arrays, path: {data}}}, epochs: 1}}"


def save_data(path: Path, seed: int) -> None:
    """Write arrays that have the same size, and the same time of modification, whatever the seed."""
    drawn = np.random.RandomState(seed)
    inputs: dict[str, Any] = {f"{split}_inputs": drawn.randn(40, 5).astype(np.float32) for split in ("train", "test")}
    np.savez(path, **inputs, train_targets=np.arange(40) % 3, test_targets=np.arange(40) % 3)
    os.utime(path, (1e9, 1e9))


def suite(folder: Path, weights: str | None = None) -> Path:
    path, data = folder / "mine.yaml", folder / "data.npz"
    path.write_text(SUITE.format(data=data, weights=weights or TRAINED.format(data=data)))
    return path


def scored(path: Path, store: Path) -> dict[str, float | None]:
    run(str(path), store=store, engine="serial", device="cpu")
    plan = prepare(str(path))
    stored = Store(store).scores("cka@1")
    return {str(comparison): stored[key].value for key, comparison in plan.metrics[0].scores.items()}


@pytest.mark.trains
def test_the_second_run_is_of_the_changed_data(tmp_path: Path) -> None:
    for folder in ("here", "elsewhere"):
        (tmp_path / folder).mkdir()
    here, elsewhere = suite(tmp_path / "here"), suite(tmp_path / "elsewhere")
    save_data(tmp_path / "here" / "data.npz", 0)
    before = scored(here, tmp_path / "store")
    save_data(tmp_path / "here" / "data.npz", 1)
    save_data(tmp_path / "elsewhere" / "data.npz", 1)
    after = scored(here, tmp_path / "store")
    assert after == scored(elsewhere, tmp_path / "other store")
    assert after != before


def save_weights(path: Path, seed: int) -> None:
    from simbench.registry import ARCHITECTURES

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ARCHITECTURES.get("mlp").build((5,), 3, width=6, depth=2)
    save_file(network.state_dict(), path)


def test_the_second_run_is_of_the_changed_weights(tmp_path: Path) -> None:
    save_data(tmp_path / "data.npz", 0)
    loading = suite(tmp_path, f"load: {tmp_path / 'first.safetensors'}")
    save_weights(tmp_path / "first.safetensors", 0)
    before = scored(loading, tmp_path / "store")
    save_weights(tmp_path / "first.safetensors", 1)
    save_weights(tmp_path / "second.safetensors", 1)
    after = scored(loading, tmp_path / "store")
    assert after == scored(suite(tmp_path, f"load: {tmp_path / 'second.safetensors'}"), tmp_path / "other store")
    assert after != before


@pytest.mark.parametrize("what", ["data.npz", "weights.safetensors"])
def test_a_file_that_changes_while_a_run_is_under_way_stops_it(what: str, tmp_path: Path) -> None:
    save_data(tmp_path / "data.npz", 0)
    save_weights(tmp_path / "weights.safetensors", 0)
    plan = prepare(str(suite(tmp_path, f"load: {tmp_path / 'weights.safetensors'}")))
    made = Materials.of(plan, Store(tmp_path / "store"), "cpu")
    (save_data if what == "data.npz" else save_weights)(tmp_path / what, 1)
    (ref,) = plan.models
    with pytest.raises(SimbenchError, match=rf"{what} has changed since this run was planned; start it again"):
        made.model(ref)


def test_a_metric_file_that_was_edited_is_imported_again(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    text = (
        "import simbench\n\n"
        '@simbench.metric("edited", higher_is_more_similar=True)\n'
        "def edited(x, y, *, factor: float = 1.0):\n    return VALUE * factor\n"
    )
    values: list[Any] = []
    with METRICS.isolated():
        for value in ("1.0", "2.0"):
            path.write_text(text.replace("VALUE", value))
            os.utime(path, (1e9, 1e9))
            module, _ = import_reference(str(path))
            assert import_reference(str(path))[0] is module
            metric = METRICS.get("edited").with_parameters({"factor": 1.0})
            values.append((module.edited(None, None), metric.identity))
        path.write_text(text.replace("VALUE", "3.0"))
        assert METRICS.get("edited").with_parameters({"factor": 2.0}).identity == values[1][1]
    assert [value for value, _ in values] == [1.0, 2.0]
    assert values[0][1] != values[1][1]


def test_what_is_kept_of_activations_goes_by_their_content(tmp_path: Path) -> None:
    from simbench.representations.storage import save_activations

    save_data(tmp_path / "data.npz", 0)
    save_weights(tmp_path / "weights.safetensors", 0)
    plan = prepare(str(suite(tmp_path, f"load: {tmp_path / 'weights.safetensors'}")))
    made = Materials.of(plan, Store(tmp_path / "store"), "cpu")
    key = next(iter(plan.activations))
    for value in (1.0, 2.0):
        save_activations(made.store.activations(key), torch.full((3, 2), value), {"key": key})
        assert made._activations(key)[0, 0] == value
    kept = [tensor for tensor in materials._tensors._kept.values() if tensor.shape == (3, 2)]
    assert len(kept) == 2
