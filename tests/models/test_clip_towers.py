"""Towers of open_clip: names, both kinds of inputs, padding, no logits, and errors in one line."""

from __future__ import annotations

import pytest
import torch

from simbench.data.images import Pixels
from simbench.data.texts import Texts
from simbench.errors import NotApplicable, UnknownNameError
from simbench.models.loading import load_pretrained
from simbench.registry import ARCHITECTURES
from simbench.representations.padding import real_tokens

pytestmark = pytest.mark.usefixtures("tiny_clip")


def _model(tower: str, seed: int = 0):
    return load_pretrained(f"random_{seed}", ARCHITECTURES.get("open_clip"), {"model": "tiny", "tower": tower}, (), 0)


def test_images_come_through_its_own_transform():
    model = _model("image")
    pixels = Pixels(torch.rand(3, 3, 80, 100, generator=torch.Generator().manual_seed(0)))
    assert model.layers() == ["visual.transformer.resblocks.0", "visual.transformer.resblocks.1"]
    assert model.prepared(pixels).shape == (3, 3, 64, 64)
    assert model.activations(pixels, model.layers()[1]).shape == (3, 5, 64)
    assert model.layout(model.layers()[1]) == "tokens"


def test_texts_come_through_its_own_tokenizer():
    model = _model("text")
    texts = Texts(("a dog", "two cats on the mat"))
    ids = model.ids_of(texts)
    assert ids[0, :5].tolist() == [49406, 320, 1929, 49407, -1]
    assert real_tokens(ids).sum(1).tolist() == [4, 7]
    assert model.layers() == ["transformer.resblocks.0", "transformer.resblocks.1"]
    assert model.activations(texts, model.layers()[1]).shape == (2, 77, 16)
    assert model.layout(model.layers()[1]) == "tokens"


def test_a_tower_has_no_logits_and_weights_of_its_seed():
    with pytest.raises(NotApplicable, match="the text tower of CLIP puts out an embedding, no logits"):
        _model("text").logits(Texts(("a", "b")))
    first, same, other = (_model("image", seed).network.state_dict()["visual.conv1.weight"] for seed in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_unknown_names_are_one_line():
    with pytest.raises(UnknownNameError, match='unknown model of open_clip "ViT-B-31"; did you mean'):
        ARCHITECTURES.get("open_clip").layers(model="ViT-B-31")
