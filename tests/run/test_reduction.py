"""Reduced and streamed extraction: the scores are those of whole maps, and no more is stored, held or loaded."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from simbench.models import model as model_module
from simbench.plan.explain import explain
from simbench.plan.pruning import Choice, carry_out, choose, needs_of
from simbench.plan.reduction import are_rows_enough, reads_rows_only
from simbench.references import ModelRef, Named, RepresentationRef
from simbench.registry import ARCHITECTURES, METRICS, TRANSFORMS
from simbench.representations import storage, writer
from simbench.representations.layouts import Layout
from simbench.representations.notes import read_notes, shards_beside
from simbench.representations.representation import Representation, SpatialRule, Summary
from simbench.representations.storage import load_activations
from simbench.results.store import Store
from simbench.run import extraction
from simbench.run.events import Warned
from simbench.run.materials import Materials
from simbench.run.session import RunResult, prepare, run
from simbench.suite.schema import Component, Probe

SUITE = """\
suite: maps
version: 1
probe: {{dataset: {{name: arrays, path: {data}}}, inputs: {inputs}, spatial: {spatial}, rows: 90, fit: {{inputs: 20}}}}
models:
  a:
    architecture: {{name: conv2d, width: 8, depth: 3}}
    train: {{dataset: {{name: arrays, path: {data}}}, epochs: 0}}
    seeds: [0, 1]
metrics: [{metrics}]
tests:
  - {{id: layers, kind: correspondence, models: [a], distance: 1}}
"""
INPUTS = 45
CHANNELS: Layout = "channels_first"
TOKENS: Layout = "tokens"


@pytest.fixture(autouse=True)
def fresh(trains: None) -> None:
    from simbench.run import materials

    materials.forget_all()


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "EXTRACTION_BATCH", 10)
    monkeypatch.setattr(extraction, "EXTRACTION_BATCH", 10)


def suite(folder: Path, metrics: str = "cka", spatial: str = "pool", inputs: int = INPUTS) -> Path:
    random = np.random.default_rng(0)
    data = folder / "data.npz"
    if not data.exists():
        np.savez(
            data,
            train_inputs=random.normal(size=(20, 3, 12, 12)).astype("f4"),
            train_targets=np.arange(20) % 4,
            test_inputs=random.normal(size=(INPUTS, 3, 12, 12)).astype("f4"),
            test_targets=np.arange(INPUTS) % 4,
        )
    path = folder / f"{spatial}-{metrics.replace(' ', '')}.yaml"
    path.write_text(SUITE.format(data=data, spatial=spatial, metrics=metrics, inputs=inputs))
    return path


def scored(path: Path, store: Path, **options: Any) -> tuple[RunResult, list[str]]:
    heard: list[str] = []
    result = run(
        str(path),
        store=store,
        device="cpu",
        engine="serial",
        listener=lambda event: heard.append(event.message) if isinstance(event, Warned) else None,
        **options,
    )
    return result, heard


def values(store: Path, metric: str = "cka@1") -> dict[str, tuple[float | None, str]]:
    metric = METRICS.get(metric.partition("@")[0]).identity
    return {key: (record.value, record.status) for key, record in Store(store).scores(metric).items()}


def files(store: Path) -> list[Path]:
    return sorted(path for path in (store / "activations").rglob("*.safetensors"))


@pytest.mark.trains
@pytest.mark.parametrize("spatial", ["pool", "positions", "flatten"])
def test_scores_of_rows_are_those_of_whole_maps(
    spatial: str, tmp_path: Path, small_batches: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    reduced, _ = scored(suite(tmp_path, spatial=spatial), tmp_path / "rows")
    monkeypatch.setattr(writer, "SHARD_BYTES", 3 * 8 * 12 * 12 * 4)
    monkeypatch.setattr("simbench.run.steps.are_rows_enough", lambda metric, ref, probe: False)
    monkeypatch.setattr("simbench.run.tasks.are_rows_enough", lambda metric, ref, probe: False)
    whole, _ = scored(suite(tmp_path, spatial=spatial), tmp_path / "maps")
    assert reduced.complete
    assert whole.complete
    assert values(tmp_path / "rows") == values(tmp_path / "maps")
    assert len(values(tmp_path / "rows")) > 6
    assert any(shards_beside(path).is_dir() for path in files(tmp_path / "maps"))
    sizes = [sum(path.stat().st_size for path in files(tmp_path / store)) for store in ("rows", "maps")]
    # the shuffled rows of a correspondence are read at positions that go by the place, so that they need the maps
    assert sizes[0] * {"pool": 20, "positions": 1.5, "flatten": 0.9}[spatial] < sizes[1]


@pytest.mark.trains
def test_stored_arrays_are_scored_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scored(suite(tmp_path), tmp_path / "store")
    scored(suite(tmp_path, "{name: stitch_task, epochs: 1}"), tmp_path / "store")  # stores whole maps
    before = values(tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "scores")

    def loaded(*_: Any, **__: Any) -> Any:
        raise AssertionError("a network was loaded")

    monkeypatch.setattr(Materials, "model", loaded)
    result, heard = scored(suite(tmp_path), tmp_path / "store")
    assert heard == []
    assert result.complete
    assert values(tmp_path / "store") == before
    for path in files(tmp_path / "store"):
        if "summary" in read_notes(path):
            path.unlink()
    shutil.rmtree(tmp_path / "store" / "scores")
    result, _ = scored(suite(tmp_path), tmp_path / "store")  # from the whole maps
    assert values(tmp_path / "store") == before


@pytest.mark.trains
def test_a_killed_extraction_goes_on(tmp_path: Path, small_batches: None, monkeypatch: pytest.MonkeyPatch) -> None:
    scored(suite(tmp_path), tmp_path / "whole")
    monkeypatch.setattr(writer, "SHARD_BYTES", 3 * 24 * 4)
    read: list[int] = []
    stream = model_module.Model.stream

    def ended(self: Any, inputs: Any, sinks: Any, first: int = 0) -> Any:
        read.append(first)
        if len(read) == 1:
            stream(self, inputs[:30], sinks, first)
            raise MemoryError("killed")
        return stream(self, inputs, sinks, first)

    monkeypatch.setattr(model_module.Model, "stream", ended)
    first, _ = scored(suite(tmp_path), tmp_path / "store")
    assert not first.complete
    second, heard = scored(suite(tmp_path), tmp_path / "store")
    assert second.complete
    assert heard == []
    assert read[0] == 0
    assert any(start in (10, 20, 30) for start in read[1:])
    for path in files(tmp_path / "whole"):
        other = tmp_path / "store" / path.relative_to(tmp_path / "whole")
        assert torch.equal(load_activations(path), load_activations(other))
    assert values(tmp_path / "store").keys() == values(tmp_path / "whole").keys()


@pytest.mark.trains
def test_a_damaged_shard_is_named_and_made_again(
    tmp_path: Path, small_batches: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "SHARD_BYTES", 10 * 24 * 4)
    scored(suite(tmp_path, spatial="flatten"), tmp_path / "store")
    before = values(tmp_path / "store")
    shards = sorted((tmp_path / "store" / "activations").rglob("*.shards/*"))
    assert len(shards) > 3
    content = bytearray(shards[2].read_bytes())
    content[-1] ^= 1
    shards[2].write_bytes(content)
    shutil.rmtree(tmp_path / "store" / "scores")
    result, heard = scored(suite(tmp_path, spatial="flatten"), tmp_path / "store")
    assert result.complete
    assert [str(shards[2]) in line for line in heard] == [True]
    assert values(tmp_path / "store") == before
    shutil.rmtree(tmp_path / "store" / "scores")
    assert scored(suite(tmp_path, spatial="flatten"), tmp_path / "store")[1] == []


@pytest.mark.trains
def test_files_are_held_against_their_checksums_once_in_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scored(suite(tmp_path), tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "scores")
    counted: list[str] = []
    checksum = storage.checksum

    def counting(tensor: torch.Tensor) -> str:
        counted.append("one")
        return checksum(tensor)

    monkeypatch.setattr(storage, "checksum", counting)
    scored(suite(tmp_path), tmp_path / "store")
    assert len(counted) == len(files(tmp_path / "store"))


@pytest.mark.trains
def test_one_input_or_an_odd_number_is_read(tmp_path: Path, small_batches: None) -> None:
    for inputs in (11, 21):
        store = tmp_path / str(inputs)
        assert scored(suite(tmp_path, inputs=inputs), store)[0].complete


def test_who_is_content_with_rows() -> None:
    plain = RepresentationRef(ModelRef("net", 0), "layer")
    cka = METRICS.get("cka")
    pool, positions = (Probe(dataset=Component(name="digits"), spatial=spatial) for spatial in ("pool", "positions"))
    enough = {"copy": (True, True), "orthogonal": (False, False), "row_shuffle": (True, False), "noise": (False, False)}
    for name, answers in enough.items():
        ref = plain.under(Named.of(name, seed=0))
        assert (are_rows_enough(cka, ref, pool), are_rows_enough(cka, ref, positions)) == answers
    assert are_rows_enough(cka, plain, positions)
    for name in ("stitch_task", "stitch_direct", "dsa", "probe_accuracy_difference", "accuracy_difference"):
        assert not reads_rows_only(METRICS.get(name))
    assert not reads_rows_only(cka.with_parameters({"calibrate": "permutation"}))


@pytest.mark.parametrize("name", sorted(name for name, transform in TRANSFORMS if transform.of_rows))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_a_transform_of_rows_gives_the_rows_of_what_it_makes_of_maps(name: str, dtype: torch.dtype) -> None:
    maps = torch.randn(30, 6, 5, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    transform = TRANSFORMS.get(name)
    for mode in transform.of_rows:
        rule = SpatialRule(mode, 60)
        given, layout = maps, CHANNELS
        if mode not in ("pool", "positions"):
            given, layout = maps[..., 0], TOKENS
        whole = Representation(given, layout, spatial=rule)
        rows = Representation(whole.matrix, "vector", spatial=rule, summary=Summary(tuple(given.shape), *whole.extent))
        made, of_rows = transform(whole, seed=3), transform(rows, seed=3)
        assert torch.equal(made.matrix, of_rows.matrix)
        assert made.shape[0] == of_rows.shape[0]
        if of_rows.summary is not None:
            assert (made.shape, made.extent) == (of_rows.shape, of_rows.extent)


@pytest.mark.trains
def test_without_a_training_split_or_labels_only_who_needs_them_is_skipped(tmp_path: Path) -> None:
    np.save(tmp_path / "bare.npy", np.random.default_rng(0).integers(0, 256, (20, 1, 8, 8), dtype=np.uint8))
    torch.manual_seed(0)
    torch.save(ARCHITECTURES.get("mlp").build((1, 8, 8), 5, width=8, depth=2).state_dict(), tmp_path / "mine.pt")
    path = tmp_path / "bare.yaml"
    path.write_text(
        "suite: bare\nversion: 1\n"
        f"probe: {{dataset: {{name: arrays, path: {tmp_path / 'bare.npy'}}}, inputs: 20}}\n"
        f"models:\n  a: {{architecture: {{name: mlp, width: 8, depth: 2}}, load: {tmp_path / 'mine.pt'}}}\n"
        "metrics: [cka, stitch_task, accuracy_difference, jensen_shannon]\n"
        "tests: [{id: identity, kind: identity, models: [a]}]\n"
    )
    result, heard = scored(path, tmp_path / "store")
    assert heard == []
    assert result.complete
    reasons: dict[str, set[str]] = {}
    for row in result.board.rows:
        records = Store(tmp_path / "store").scores(row.row.metric.identity).values()
        reasons[row.row.metric.label] = {record.reason or record.status for record in records}
    assert reasons["cka"] == reasons["jensen_shannon"] == {"ok"}
    assert all("has no training split" in reason for reason in reasons["stitch_task"])
    assert all("accuracy_difference needs a targets" in reason for reason in reasons["accuracy_difference"])


@pytest.mark.trains
def test_the_cache_shows_explains_and_removes_shards_with_their_file(
    tmp_path: Path, small_batches: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "SHARD_BYTES", 10 * 24 * 4)
    scored(suite(tmp_path, spatial="flatten"), tmp_path / "store")
    store = Store(tmp_path / "store")
    path = next(path for path in files(tmp_path / "store") if shards_beside(path).is_dir())
    explained = explain(path.stem, store)
    assert explained.depends_on["key"] == path.stem
    assert [entry["path"] for entry in explained.stored] == [str(path), str(shards_beside(path))]
    kept = needs_of([prepare(str(suite(tmp_path, spatial="flatten")))])
    assert not [item for item in choose(store, Choice(needs=kept, orphans=True)).items if item.kind == "activations"]
    carry_out(store, choose(store, Choice(kinds=["activations"])))
    assert not [path for path in (tmp_path / "store" / "activations").rglob("*") if path.is_file()]
