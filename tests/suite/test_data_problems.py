"""A suite whose data do not suffice or do not fit is refused before anything is run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from simbench.data.dataset import Dataset, dataset
from simbench.models.architecture import architecture
from simbench.suite.load import bundled_suites, load_suite

if TYPE_CHECKING:
    from torch.nn import Module

Changed = Callable[[str, str], Path]
Problems = Callable[[Path], list[str]]

PROBE = "{dataset: digits, inputs: 100}"
TRAINED = "    architecture: {name: mlp, width: 8, depth: 3}\n    train: {dataset: digits, epochs: 1}\n"


def trained(architecture: str, dataset: str) -> str:
    return f"    architecture: {architecture}\n    train: {{dataset: {dataset}, epochs: 1}}\n"


TOO_MANY = {
    "of the held-out split": (
        "{dataset: digits, inputs: 20000}",
        "3:34: probe asks for 20000 inputs; digits has 500 in its test split",
    ),
    "of the training split": (
        "{dataset: digits, split: train, inputs: 1298}",
        "3:48: probe asks for 1298 inputs; digits has 1297 in its train split",
    ),
    "by default": ("{dataset: digits}", "3:1: probe asks for 1000 inputs; digits has 500 in its test split"),
    "to fit on": (
        "{dataset: digits, inputs: 100, fit: {inputs: 1298}}",
        "3:53: probe asks for 1298 inputs; digits has 1297 in its train split",
    ),
    "to fit on, of the held-out split": (
        "{dataset: digits, inputs: 100, fit: {split: test, inputs: 501}}",
        "3:66: probe asks for 501 inputs; digits has 500 in its test split",
    ),
    "of a generated dataset": (
        "{dataset: {name: spirals, test: 150}, inputs: 151}",
        "3:54: probe asks for 151 inputs; spirals has 150 in its test split",
    ),
}


@pytest.mark.parametrize("case", TOO_MANY)
def test_more_inputs_than_there_are_are_refused(case: str, changed: Changed, problems_of: Problems) -> None:
    probe, expected = TOO_MANY[case]
    assert f"suite.yaml:{expected}" in problems_of(changed(PROBE, probe))


@pytest.mark.parametrize(
    "probe",
    [
        "{dataset: digits, inputs: 500}",
        "{dataset: digits, split: train, inputs: 1297, fit: {inputs: 1297}}",
        # what is fitted on by default may be more than there is: the metrics of the suite may not ask for it
        "{dataset: digits, inputs: 100, fit: {split: test}}",
    ],
)
def test_as_many_as_there_are_are_not(probe: str, changed: Changed) -> None:
    load_suite(str(changed(PROBE, probe)))


def test_a_misspelt_number_is_one_mistake(changed: Changed, problems_of: Problems) -> None:
    path = changed(PROBE, "{dataset: digits, imputs: 100}")
    assert problems_of(path) == ['suite.yaml:3:26: unknown key "imputs" in probe; did you mean "inputs"?']


UNREADABLE = {
    "a sequence for an image": (
        trained("mlp", "mnist1d"),
        "7:22: models.net: mlp trained on mnist1d, inputs of shape (1, 40), cannot read the probe: digits, of shape "
        "(1, 8, 8); train it on digits",
    ),
    "images of another size": (trained("vit", "mnist"), "7:22: models.net: vit trained on mnist, inputs of shape ("),
    "images of other channels": (trained("conv2d", "cifar10"), "7:22: models.net: conv2d trained on cifar10, inputs"),
    "a dataset with parameters": (
        trained("mlp", "{name: characters, context: 6}"),
        "7:22: models.net: mlp trained on characters, inputs of shape (6,), cannot read the probe: digits, of shape (",
    ),
    "a teacher that cannot read what its student is shown": (
        f"{TRAINED.replace('epochs: 1', 'epochs: 1, distil: {teacher: wise}')}  wise:\n{trained('vit', 'mnist')}",
        "10:22: models.wise: vit trained on mnist, inputs of shape (1, 28, 28), cannot read ",
    ),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_model_that_cannot_read_what_it_is_shown_is_refused(
    case: str, changed: Changed, problems_of: Problems
) -> None:
    models, expected = UNREADABLE[case]
    found = problems_of(changed(TRAINED, models))
    assert found
    assert all(line.startswith(f"suite.yaml:{expected}") for line in found), found


def test_it_is_told_beside_other_mistakes(changed: Changed, problems_of: Problems) -> None:
    path = changed(TRAINED, trained("mlp", "mnist1d"))
    path.write_text(path.read_text().replace("[cka]", "[ckaa]"))
    assert len(problems_of(path)) == 2


@pytest.mark.parametrize(
    "models",
    [
        # a mean over positions reads images of any size
        trained("conv2d", "mnist"),
        # a group that is loaded is built for the probe
        "    architecture: mlp\n    load: weights.safetensors\n",
    ],
)
def test_a_model_that_can_is_not(models: str, changed: Changed) -> None:
    load_suite(str(changed(TRAINED, models)))


def test_what_is_not_known_beforehand_is_left_to_the_run(changed: Changed) -> None:
    @dataset("mine")
    def mine(cache: Path) -> Dataset:
        raise AssertionError("nothing is loaded")

    load_suite(str(changed(PROBE, "{dataset: mine, inputs: 100000}")))


def test_a_network_that_cannot_be_tried_without_data_is_left_to_the_run(changed: Changed) -> None:
    @architecture("counting", layers=lambda **_: ["0"])
    def counting(input_shape: tuple[int, ...], classes: int) -> Module:
        import torch
        from torch import nn

        class Counting(nn.Module):
            def forward(self, inputs: torch.Tensor) -> torch.Tensor:
                return inputs if inputs.sum().item() > 0 else -inputs

        return nn.Sequential(Counting(), nn.Flatten(), nn.LazyLinear(classes))

    load_suite(str(changed(TRAINED, trained("counting", "mnist1d"))))


@pytest.mark.process
def test_suites_are_checked_without_torch() -> None:
    paths = [str(path) for path in bundled_suites().values()]
    code = f"import sys; from simbench.suite.load import load_suite\nfor path in {paths}: load_suite(path)"
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\nprint('torch' in sys.modules)"], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "False"


def test_training_without_a_training_split_is_refused_by_name(
    changed: Changed, problems_of: Problems, tmp_path: Path
) -> None:
    np.save(tmp_path / "held_out.npy", np.zeros((5, 1, 8, 8), dtype=np.uint8))
    path = changed("train: {dataset: digits", f"train: {{dataset: {{name: arrays, path: {tmp_path / 'held_out.npy'}}}")
    (problem,) = problems_of(path)
    assert "arrays has no training split, which training needs" in problem


@pytest.mark.parametrize(
    ("name", "message"),
    [("image_folder", "has no image (.jpg"), ("arrays", 'no array "test_inputs"; did you mean "test_input"')],
)
def test_a_folder_without_what_is_read_is_refused(
    name: str, message: str, changed: Changed, problems_of: Problems, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "test_input.npy").write_text("x")
    (problem,) = problems_of(changed(PROBE, f"{{dataset: {{name: {name}, path: {tmp_path / 'mine'}}}, inputs: 100}}"))
    assert message in problem


def test_a_table_that_names_an_image_that_is_not_there_is_refused(
    changed: Changed, problems_of: Problems, tmp_path: Path
) -> None:
    (tmp_path / "cat.png").write_text("x")
    (tmp_path / "pairs.csv").write_text("image,caption\ncatt.png,a cat\n")
    data = f"{{name: captioned_images, path: {tmp_path / 'pairs.csv'}}}"
    (problem,) = problems_of(changed(PROBE, f"{{dataset: {data}, inputs: 100}}"))
    assert problem.endswith('pairs.csv: row 1: unknown image "catt.png"; did you mean "cat.png"?')
