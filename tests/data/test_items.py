"""Items: inputs that each model turns into a tensor of its own, batch by batch, and what is optional of a split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from simbench.data.conditions import with_shortcut
from simbench.data.dataset import Dataset, Split, fingerprint
from simbench.errors import NotApplicable, SimbenchError
from simbench.models.model import EXTRACTION_BATCH, Model
from simbench.representations.perturbations import row_subset
from simbench.representations.representation import Representation
from simbench.representations.selection import taken
from simbench.run.materials import _draw


class Words:
    """Items that say nothing of their shape."""

    def __init__(self, words: list[str]) -> None:
        self.words = words

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, index: Any) -> Words:
        return Words(list(np.array(self.words)[index]))


class Lengths(Words):
    """Items with a tensor of their own."""

    input_shape = (2,)

    def __getitem__(self, index: Any) -> Lengths:
        return Lengths(super().__getitem__(index).words)

    def tensor(self) -> Tensor:
        return torch.tensor([[float(len(word)), 1.0] for word in self.words])


WORDS = ["w" * (1 + k % 7) for k in range(EXTRACTION_BATCH + 1)]


def doubled(words: Words) -> Tensor:
    return torch.tensor([[2.0 * len(word), 1.0] for word in words.words])


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    return Model(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4)), ["0", "1"])


def test_items_are_read_as_their_tensor_is(model: Model) -> None:
    items = Lengths(WORDS)
    assert torch.equal(model.activations(items, "1"), model.activations(items.tensor(), "1"))
    assert torch.equal(model.logits(items), model.logits(items.tensor()))


def test_a_model_preprocesses_batch_by_batch_in_its_own_way(model: Model) -> None:
    seen: list[int] = []

    def preprocess(words: Words) -> Tensor:
        seen.append(len(words))
        return doubled(words)

    model.preprocess = preprocess
    assert torch.equal(model.activations(Words(WORDS), "1"), model.activations(doubled(Words(WORDS)), "1"))
    assert max(seen) == EXTRACTION_BATCH
    assert model.with_network(model.network).preprocess is preprocess


def test_a_tensor_is_not_preprocessed(model: Model) -> None:
    before = model.logits(torch.ones(3, 2))
    model.preprocess = doubled
    assert torch.equal(model.logits(torch.ones(3, 2)), before)


def test_items_without_a_tensor_need_a_preprocessing(model: Model) -> None:
    with pytest.raises(SimbenchError, match="Sequential has no preprocessing that turns Words into numbers"):
        model.logits(Words(["a"]))


def test_continuing_with_items_gives_the_logits(model: Model) -> None:
    items = Lengths(WORDS)
    logits = model.logits(items)
    assert torch.equal(model.continue_from("0", model.activations(items, "0"), items), logits)


def test_the_shape_that_the_network_reads_is_learned_from_items(model: Model) -> None:
    model.preprocess = doubled
    model.see(Words(WORDS))
    assert model.input_shape == (2,)


def test_items_are_drawn_as_arrays_are() -> None:
    array = np.array([[float(len(word)), 1.0] for word in WORDS])
    drawn = [
        _draw(Dataset("words", split, split, 0), "test", 9, None, "cpu").inputs
        for split in (Split(array), Split(Lengths(WORDS)))
    ]
    assert torch.equal(drawn[0], drawn[1].tensor())


def test_a_subset_of_inputs_takes_items() -> None:
    kept = taken(Lengths(WORDS), torch.tensor([3, 0]))
    assert kept.words == [WORDS[3], WORDS[0]]
    whole = Representation(torch.randn(8, 3), inputs=Lengths(WORDS[:8]))
    few = row_subset(whole, torch.Generator().manual_seed(0), inputs=4)
    assert len(few.inputs) == 4


def test_labels_are_optional_and_asked_for_by_name() -> None:
    split = Split(np.zeros((5, 1, 8, 8)))
    assert len(split) == 5
    assert split.targets is None
    assert _draw(Dataset("bare", split, split, 0), "test", 3, None, "cpu").targets is None
    with pytest.raises(SimbenchError, match="labels of the inputs are needed, and there are none"):
        with_shortcut(split, 0.5, Dataset("bare", split, split, 2), 0)


def test_a_training_split_is_optional() -> None:
    whole, none = Split(np.ones((5, 2))), Split(np.ones((0, 2)))
    bare = Dataset("bare", none, whole, 0)
    assert bare.input_shape == (2,)
    with pytest.raises(NotApplicable, match="bare has no training split"):
        _draw(bare, "train", 3, None, "cpu")
    assert bare.outline.lacks(3, "bare", "train") == "bare has no train split, which is asked for 3 inputs"
    assert fingerprint(bare) != fingerprint(Dataset("bare", whole, whole, 0))


def test_labels_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"inputs .* and targets .* are needed"):
        Split(Lengths(WORDS), np.zeros(3))
