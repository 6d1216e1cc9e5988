"""Runs on images with captions: networks of images and of texts are compared on the same pairs, each on its part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from simbench.errors import SimbenchError
from simbench.metrics.scoring import score_pairs
from simbench.models.loading import load_pretrained
from simbench.registry import ARCHITECTURES, METRICS
from simbench.representations.padding import real_tokens
from simbench.representations.representation import Representation, SpatialRule
from simbench.results.store import Store
from simbench.run import materials
from simbench.run.materials import Materials
from simbench.run.session import prepare, run

PAIRS = 12
SUITE = """\
suite: pairs
version: 1
probe: {{dataset: {{name: captioned_images, path: pairs.csv}}, inputs: 12, spatial: {spatial}, rows: 36}}
models:
  image: {{architecture: {{name: open_clip, model: tiny, tower: image}}, load: "random_{{seed}}", seeds: [0, 1]}}
  text: {{architecture: {{name: open_clip, model: tiny, tower: text}}, load: "random_{{seed}}", seeds: [0, 1]}}
metrics: [cka]
tests:
  - {{id: layers, kind: identity, models: [image, text]}}
  - {{id: towers, kind: group_separation, models: [image, text]}}
"""
WORDS = ["a", "dog", "runs", "over", "the", "wet", "grass", "and", "the", "old", "cat", "sleeps", "by", "the", "fire"]
LAST = {"image": "visual.transformer.resblocks.1", "text": "transformer.resblocks.1"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, trains: None, tiny_clip: None) -> Path:
    """Write pairs into a folder."""
    materials.forget_all()
    random = np.random.default_rng(0)
    lines = ["image,caption"]
    for number in range(PAIRS):
        pixels = random.integers(0, 256, (20 + number, 30, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{' '.join(random.choice(WORDS, 2 + number % 5))}")
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    return tmp_path


def suite(folder: Path, spatial: str = "pool") -> str:
    path = folder / "pairs.yaml"
    path.write_text(SUITE.format(spatial=spatial))
    return str(path)


def scores(folder: Path, spatial: str, store: str = "store") -> dict[tuple[str, str], float]:
    assert run(suite(folder, spatial), store=folder / store, engine="serial", device="cpu").complete
    return {(each.a, each.b): each.value for each in Store(folder / store).scores(METRICS.get("cka").identity).values()}


@pytest.mark.parametrize("spatial", ["pool", "last"])
def test_towers_are_compared_on_the_same_pairs(spatial: Any, folder: Path) -> None:
    values = scores(folder, spatial)
    pairs = Materials.of(prepare(suite(folder, spatial)), Store(folder / "store"), "cpu").inputs("probe").inputs
    sides = {}
    for tower, layer in LAST.items():
        parameters = {"model": "tiny", "tower": tower}
        model = load_pretrained("random_0", ARCHITECTURES.get("open_clip"), parameters, (), 0)
        read = pairs.files if tower == "image" else pairs.captions
        inputs = read if tower == "image" else model.ids_of(read)
        sides[tower] = Representation(
            model.activations(read, layer),
            "tokens",
            inputs=inputs,
            spatial=SpatialRule(spatial, 36),
            mask=real_tokens(inputs),
        )
    (score,) = score_pairs(METRICS.get("cka"), [sides["image"], sides["text"]], [(0, 1)])
    value = values.get((f"image/0 {LAST['image']}", f"text/0 {LAST['text']}"))
    assert value is not None
    assert value == pytest.approx(score.value, rel=1e-6)


@pytest.mark.parametrize("spatial", ["pool", "positions"])
def test_rows_are_those_of_whole_activations(spatial: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = scores(folder, spatial, "rows")
    for module in ("steps", "tasks"):
        monkeypatch.setattr(f"simbench.run.{module}.are_rows_enough", lambda metric, ref, probe: False)
    assert scores(folder, spatial, "whole") == rows


def test_an_image_that_changes_after_the_plan_ends_the_run(folder: Path) -> None:
    plan = prepare(suite(folder))
    PIL.Image.new("RGB", (5, 5)).save(folder / "3.png")
    made = Materials.of(plan, Store(folder / "store"), "cpu")
    with pytest.raises(SimbenchError, match=r"pairs.csv, or a file that it names, has changed since this run was plan"):
        made.inputs("probe")


def test_a_changed_image_is_scored_anew(folder: Path) -> None:
    before = scores(folder, "pool")
    PIL.Image.new("RGB", (5, 5)).save(folder / "3.png")
    after = scores(folder, "pool", "other")
    pair = (f"image/0 {LAST['image']}", f"text/0 {LAST['text']}")
    assert before[pair] != after[pair]
    assert prepare(suite(folder)).inputs["probe"]["dataset"]["listed"].startswith("sha256:")
