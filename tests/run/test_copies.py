"""Two members of a group with the same weights are one network, and refused: whatever made them the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from simbench.errors import SimbenchError
from simbench.registry import ARCHITECTURES
from simbench.run.session import run


@pytest.fixture(autouse=True)
def own_architectures() -> Iterator[None]:
    with ARCHITECTURES.isolated():
        yield


SUITE = """\
suite: copies
version: 1
plugins: [./nets.py]
probe: {{dataset: digits, inputs: 60, fit: {{inputs: 60}}}}
models:
  a: {{{model}, seeds: [0, 1]}}
metrics: [cka]
tests:
  - {{id: layers, kind: correspondence, models: [a], distance: 1}}
"""
NETWORKS = """\
import torch
from torch import nn
from simbench.models.architecture import architecture

@architecture("heedless", layers=lambda: ("1", "2"))
def heedless(input_shape, classes):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Linear(8, classes))
"""


def run_with(folder: Path, model: str) -> None:
    (folder / "nets.py").write_text(NETWORKS)
    (folder / "suite.yaml").write_text(SUITE.format(model=model))
    run(str(folder / "suite.yaml"), store=folder / "store", engine="serial", device="cpu")


def test_seeds_of_one_file(tmp_path: Path) -> None:
    torch.save(ARCHITECTURES.get("mlp").build((1, 8, 8), 10, width=8).state_dict(), tmp_path / "w.pt")
    with pytest.raises(SimbenchError, match=r"models\.a\.seeds: `load` gives all 2 seeds the same weights"):
        run_with(tmp_path, "architecture: {name: mlp, width: 8}, load: w.pt")


@pytest.mark.trains
def test_an_architecture_that_does_not_heed_the_seed(tmp_path: Path) -> None:
    model = "architecture: heedless, train: {dataset: digits, epochs: 0}"
    for _ in range(2):  # the second time, both are in the store
        with pytest.raises(SimbenchError, match="a/0 and a/1 have the same weights"):
            run_with(tmp_path, model)


@pytest.mark.trains
def test_training_makes_them_different(tmp_path: Path) -> None:
    run_with(tmp_path, "architecture: heedless, train: {dataset: digits, epochs: 1, subset: 100}")


def test_the_same_weights_in_other_forms(tmp_path: Path) -> None:
    """A checkpoint and the bare state dict out of it, or the best and the last of one training, are one network."""
    for seed in range(2):
        torch.manual_seed(seed)
        state = ARCHITECTURES.get("mlp").build((1, 8, 8), 10, width=8).state_dict()
        torch.save(state, tmp_path / f"{seed}.pt")
        wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
        torch.save({"epoch": 3, "state_dict": wrapped}, tmp_path / f"{seed}.ckpt")
    model = "architecture: {{name: mlp, width: 8}}, load: {{a: 0.pt, b: {b}}}"
    suite = SUITE.replace(", seeds: [0, 1]", "")
    for other, expected in (("0.ckpt", "models.a: a/a and a/b have the same weights"), ("1.ckpt", None)):
        (tmp_path / "nets.py").write_text(NETWORKS)
        (tmp_path / "suite.yaml").write_text(suite.format(model=model.format(b=other)))
        if expected is None:
            run(str(tmp_path / "suite.yaml"), store=tmp_path / "store", engine="serial", device="cpu")
        else:
            with pytest.raises(SimbenchError, match=expected):
                run(str(tmp_path / "suite.yaml"), store=tmp_path / "store", engine="serial", device="cpu")
