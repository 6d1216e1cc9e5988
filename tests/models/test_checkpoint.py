"""Checkpoints: what is stored comes back, and damage is noticed."""

import json
from pathlib import Path

import pytest
import torch

from simbench.data.dataset import Dataset
from simbench.models import checkpoint
from simbench.models.model import Model
from simbench.models.model_record import CorruptError, read_record
from simbench.models.training import Trained
from simbench.registry import ARCHITECTURES
from simbench.results.store import MODEL_RECORD, MODEL_WEIGHTS, Store


def load(folder: Path, width: int = 64) -> Model:
    return checkpoint.load(folder, ARCHITECTURES.get("mlp"), {"width": width}, (1, 8, 8), 10)


@pytest.fixture
def stored(trained_mlp: Trained, tmp_path: Path) -> Path:
    checkpoint.save(tmp_path / "model", trained_mlp, {"seed": 0})
    return tmp_path / "model"


def test_a_loaded_model_puts_out_the_same(trained_mlp: Trained, stored: Path, images: torch.Tensor) -> None:
    assert torch.equal(load(stored).logits(images), trained_mlp.model.logits(images))


def test_a_loaded_model_has_its_layers(trained_mlp: Trained, stored: Path) -> None:
    assert load(stored).layers() == trained_mlp.model.layers()


def test_the_record_says_how_training_went(trained_mlp: Trained, stored: Path) -> None:
    record = read_record(stored)
    assert (record.accuracy, record.losses, record.description) == (
        trained_mlp.accuracy,
        trained_mlp.losses,
        {"seed": 0},
    )


def test_nothing_but_the_two_files_is_left(stored: Path) -> None:
    assert {path.name for path in stored.iterdir()} == {MODEL_WEIGHTS, MODEL_RECORD}


def test_loading_leaves_global_random_state_alone(stored: Path) -> None:
    before = torch.get_rng_state()
    load(stored)
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_without_their_record_are_incomplete(trained_mlp: Trained, tmp_path: Path) -> None:
    store = Store(tmp_path)
    checkpoint.save(store.model("key"), trained_mlp, {})
    assert store.has_model("key")
    (store.model("key") / MODEL_RECORD).unlink()
    assert not store.has_model("key")


def test_a_write_that_fails_leaves_nothing_complete(
    trained_mlp: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(Store(tmp_path).model("key"), trained_mlp, {})
    assert not Store(tmp_path).has_model("key")


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_changed_bit_in_the_weights_is_noticed(stored: Path) -> None:
    damage(stored / MODEL_WEIGHTS)
    with pytest.raises(CorruptError, match="fails its checksum"):
        load(stored)


def test_missing_weights_are_noticed(stored: Path) -> None:
    (stored / MODEL_WEIGHTS).unlink()
    with pytest.raises(CorruptError, match="cannot be read"):
        load(stored)


def test_records_in_stores_are_of_version_1(stored: Path) -> None:
    """Another number refuses every model that a user has trained."""
    assert json.loads((stored / MODEL_RECORD).read_text(encoding="utf-8"))["schema_version"] == 1


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema_version": 1}', '{"schema_version": 99}'])
def test_a_damaged_record_is_noticed(stored: Path, text: str) -> None:
    (stored / MODEL_RECORD).write_text(text)
    with pytest.raises(CorruptError):
        load(stored)


def test_a_changed_digit_in_the_record_is_noticed(trained_mlp: Trained, tmp_path: Path) -> None:
    checkpoint.save(tmp_path, trained_mlp, {"seed": 10})
    record = tmp_path / MODEL_RECORD
    record.write_text(record.read_text().replace('"seed": 10', '"seed": 11'))
    with pytest.raises(CorruptError, match="fails its checksum"):
        load(tmp_path)


def test_a_record_of_a_former_version_has_no_checksum(stored: Path) -> None:
    record = json.loads((stored / MODEL_RECORD).read_text())
    del record["sha256"]
    (stored / MODEL_RECORD).write_text(json.dumps(record))
    assert read_record(stored).description == {"seed": 0}


def test_a_model_in_the_place_of_another_is_noticed(trained_mlp: Trained, tmp_path: Path) -> None:
    checkpoint.save(tmp_path, trained_mlp, {"key": "k1", "name": "net/1"})
    assert checkpoint.verified(tmp_path, "k1") == tmp_path / MODEL_WEIGHTS
    with pytest.raises(CorruptError, match=r"is of model k1 \(net/1\), and lies at k2"):
        checkpoint.verified(tmp_path, "k2")


def test_weights_of_another_architecture_are_noticed(stored: Path) -> None:
    with pytest.raises(CorruptError, match="does not fit mlp"):
        load(stored, width=32)


def test_the_record_holds_no_path(stored: Path, digits: Dataset) -> None:
    assert str(stored.parent) not in json.dumps(json.loads((stored / MODEL_RECORD).read_text()))
