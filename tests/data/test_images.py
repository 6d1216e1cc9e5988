"""Folders of images: decoded batch by batch, and preprocessed as each model asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
import torchvision
from torch import nn

from simbench.data.dataset import Outline, load_dataset
from simbench.data.images import ImageFiles, ImagePreprocess, Pixels, as_pixels
from simbench.errors import SimbenchError
from simbench.models import loading
from simbench.models.loading import load_pretrained, weights_in_key, with_weights
from simbench.registry import ARCHITECTURES, DATASETS


def save(path: Path, size: tuple[int, int] = (40, 30), mode: str = "RGB", seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    PIL.Image.fromarray(pixels).convert(mode).save(path)
    return path


def load(folder: Path, **parameters: Any) -> Any:
    return load_dataset("image_folder", {"path": str(folder), **parameters}, folder)


def test_a_folder_without_classes_has_no_labels(tmp_path: Path) -> None:
    for place in range(3):
        save(tmp_path / f"{place}.png", seed=place)
    data = load(tmp_path, size=16)
    assert (len(data.test), len(data.train), data.classes, data.test.targets) == (3, 0, 0, None)
    assert data.test.inputs.tensor().shape == (3, 3, 16, 16)
    assert data.input_shape == (3, 16, 16)


def test_subfolders_are_classes(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        for place in range(2):
            save(tmp_path / name / f"{place}.png")
    data = load(tmp_path)
    assert data.test.targets.tolist() == [0, 0, 1, 1]
    assert data.classes == 2


@pytest.mark.parametrize("held_out", ["test", "val"])
def test_folders_of_splits_are_kept_apart(held_out: str, tmp_path: Path) -> None:
    for split in ("train", held_out):
        for name in ("cat", "dog"):
            save(tmp_path / split / name / "a.jpg")
    save(tmp_path / "train" / "cat" / "b.jpg")
    data = load(tmp_path, size=8)
    assert (len(data.train), len(data.test)) == (3, 2)
    assert data.train.targets.tolist() == [0, 0, 1]
    outline = DATASETS.get("image_folder").outline({"path": str(tmp_path), "size": 8})
    assert outline == Outline((3, 8, 8), train=3, test=2) == data.outline


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "CMYK", "LA"])
def test_all_modes_of_a_byte_become_colour(mode: str, tmp_path: Path) -> None:
    suffix = "tif" if mode == "CMYK" else "png"
    save(tmp_path / f"a.{suffix}", mode=mode)
    pixels = load(tmp_path, size=8).test.inputs.tensor()
    assert pixels.shape == (1, 3, 8, 8)
    if mode in ("L", "1", "LA"):
        assert torch.equal(pixels[:, 0], pixels[:, 2])


def test_images_of_all_sizes_become_squares_in_the_unit_range(tmp_path: Path) -> None:
    for place, size in enumerate([(40, 30), (30, 40), (9, 200), (500, 11), (8, 8), (1, 1)]):
        save(tmp_path / f"{place}.png", size)
    pixels = load(tmp_path, size=24).test.inputs.tensor()
    assert pixels.shape == (6, 3, 24, 24)
    assert 0 <= float(pixels.min()) < float(pixels.max()) <= 1


def test_part_of_the_images_are_images(tmp_path: Path) -> None:
    for place in range(5):
        save(tmp_path / f"{place}.png", seed=place)
    items = load(tmp_path, size=8).test.inputs
    whole = items.tensor()
    assert torch.equal(items[1:3].tensor(), whole[1:3])
    assert torch.equal(items[np.array([4, 0])].tensor(), whole[[4, 0]])
    assert len(items[:0].tensor()) == 0


def empty(folder: Path) -> None:
    folder.mkdir()


def of_texts(folder: Path) -> None:
    folder.mkdir()
    (folder / "a.txt").write_text("x")


def a_file(folder: Path) -> None:
    folder.write_text("x")


def damaged(folder: Path) -> None:
    path = save(folder / "a.png")
    path.write_bytes(path.read_bytes()[:100])


def no_image(folder: Path) -> None:
    folder.mkdir()
    (folder / "a.png").write_text("not an image")


def deep(folder: Path) -> None:
    folder.mkdir()
    PIL.Image.fromarray(np.zeros((4, 4), dtype=np.uint16)).save(folder / "a.png")


def mixed(folder: Path) -> None:
    save(folder / "a.png")
    save(folder / "cat" / "b.png")


def only_training(folder: Path) -> None:
    save(folder / "train" / "cat" / "a.png")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "no such folder: .*mine"),
        (a_file, "mine is a file, not a folder"),
        (empty, r"mine has no image \(.jpg, .*; it is empty"),
        (of_texts, r"mine has no image \(.jpg, .*; it has files with .txt"),
        (damaged, "a.png cannot be read as an image: "),
        (no_image, "a.png cannot be read as an image: no image, or damaged"),
        (deep, "a.png: an image of I;16 has more than a byte per channel; convert it to 8 bits first"),
        (mixed, "mine has images beside folders of images: a.png and cat/b.png"),
        (only_training, "no folder `test` or `val` of those held out"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(make: Any, message: str, tmp_path: Path) -> None:
    make(tmp_path / "mine")
    with pytest.raises(SimbenchError, match=message) as raised:
        load(tmp_path / "mine")
    assert "\n" not in str(raised.value)


def test_a_damaged_image_is_named_when_it_is_read(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    save(tmp_path / "b.png").write_text("x")
    with pytest.raises(SimbenchError, match=r"b\.png cannot be read as an image"):
        load(tmp_path).test.inputs.tensor()


def test_the_key_goes_by_the_content_and_the_size(tmp_path: Path) -> None:
    for folder in ("first", "second", "third"):
        save(tmp_path / folder / "a.png", seed=int(folder == "third"))
    source = DATASETS.get("image_folder")
    first, second, third = ({"path": str(tmp_path / name)} for name in ("first", "second", "third"))
    assert source.identity_with(first) == source.identity_with(second) != source.identity_with(third)
    assert source.identity_with(first) != source.identity_with({**first, "size": 8})


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published weights of torchvision are random ones, so that nothing is downloaded."""
    original = torchvision.models.get_model

    def get_model(name: str, weights: Any = None, **options: Any) -> nn.Module:
        torch.manual_seed(0)
        return original(name, weights=None, **options)

    monkeypatch.setattr(torchvision.models, "get_model", get_model)


def pretrained(model: str, weights: str, input_shape: tuple[int, ...] = (3, 224, 224)) -> Any:
    architecture = ARCHITECTURES.get("torchvision")
    return load_pretrained(weights, architecture, {"model": model}, input_shape, 0, ["features"])


@pytest.mark.usefixtures("published")
def test_items_are_shared_and_each_network_has_its_own_transform(tmp_path: Path) -> None:
    """The weights of one are for 224 pixels of a side, those of the other for 240."""
    save(tmp_path / "a.png", (300, 260))
    save(tmp_path / "b.png", (260, 400), seed=1)
    items = load(tmp_path).test.inputs
    for name, side in (("mobilenet_v3_small", 224), ("efficientnet_b1", 240)):
        model = pretrained(name, "IMAGENET1K_V1")
        weights = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
        expected = torch.stack([weights.transforms()(image) for image in items.images()])
        assert expected.shape == (2, 3, side, side)
        assert torch.equal(model.prepared(items), expected)
        assert torch.equal(model.logits(items), model.logits(expected))
        assert model.input_shape == (3, side, side)


@pytest.mark.usefixtures("published")
def test_published_weights_never_get_raw_pixels() -> None:
    model = pretrained("mobilenet_v3_small", "DEFAULT")
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    for raw in (pixels, pixels.float() / 255):
        items = as_pixels(raw, model.preprocess)
        read = model.prepared(items)
        assert isinstance(items, Pixels)
        assert read.shape == (2, 3, 224, 224)
        assert float(read.min()) < -1  # normalised
    normalised = torch.randn(2, 3, 64, 64)
    assert as_pixels(normalised, model.preprocess) is normalised
    assert as_pixels(pixels, None) is pixels


def test_a_transform_of_images_of_pil_gets_those() -> None:
    preprocess = ImagePreprocess(torchvision.transforms.functional.pil_to_tensor, of_tensors=False)
    pixels = torch.randint(0, 256, (2, 3, 5, 4), dtype=torch.uint8)
    assert torch.equal(preprocess(Pixels(pixels)), pixels)
    with pytest.raises(SimbenchError, match="the model reads images, and these are dict"):
        preprocess({})


def test_the_key_holds_what_a_name_of_weights_stands_for() -> None:
    parameters = {"model": "resnet50"}
    assert weights_in_key("DEFAULT", "torchvision", parameters) == "IMAGENET1K_V2 resnet50-11ad3fa6.pth"
    assert weights_in_key("IMAGENET1K_V1", "torchvision", parameters) == "IMAGENET1K_V1 resnet50-0676ba61.pth"
    assert weights_in_key("IMAGENET1K_V9", "torchvision", parameters) == "IMAGENET1K_V9"


@pytest.mark.parametrize("classes", [1, 2, 7])
def test_weights_say_how_many_outputs_there_are(classes: int) -> None:
    architecture = ARCHITECTURES.get("torchvision")
    parameters = {"model": "squeezenet1_1"}
    state = architecture.build((3, 64, 64), classes, **parameters).state_dict()
    for given in (0, 3):
        made = with_weights(state, "mine.pt", architecture, parameters, (3, 64, 64), given)
        assert all(torch.equal(tensor, made.state_dict()[name]) for name, tensor in state.items())
    assert loading.Loaded(made).preprocess is None


def test_image_files_are_equal_by_what_they_are(tmp_path: Path) -> None:
    assert ImageFiles((tmp_path / "a",), 8) == ImageFiles((tmp_path / "a",), 8)
