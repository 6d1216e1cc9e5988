"""Students from the YAML file to their weights: the teacher comes first, and its logits are what they learn."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn.functional import kl_div

from simbench.data.dataset import Dataset, load_dataset
from simbench.models.training import Trained, train
from simbench.registry import ARCHITECTURES
from simbench.results.store import Store
from simbench.run.session import RunResult, prepare, run
from simbench.suite.schema import Component, Training

SUITE = """\
suite: students
version: 1
probe: {dataset: digits, inputs: 60, fit: {inputs: 120}}
models:
  student:
    architecture: {name: mlp, width: 8, depth: 2, norm: none, embedding: 4}
    train: {dataset: digits, epochs: 2, learning_rate: 0.01, distil: {teacher: teacher}}
    seeds: [0, 1]
  teacher: {like: student, train: {distil: null}, seeds: [5, 6]}
metrics: [cka]
tests:
  - {id: same, kind: identity, models: [student]}
"""


def serially(text: str, folder: Path) -> RunResult:
    path = folder / "suite.yaml"
    path.write_text(text)
    return run(str(path), store=folder / "store", engine="serial", device="cpu")


@pytest.mark.trains
def test_a_teacher_is_trained_first_though_no_test_asks_for_it(tmp_path: Path) -> None:
    first = serially(SUITE, tmp_path)
    assert first.complete
    assert first.work.trained == 3
    assert serially(SUITE, tmp_path).work.trained == 0


@pytest.mark.trains
def test_a_teacher_that_is_there_is_not_trained_again(tmp_path: Path) -> None:
    serially(SUITE, tmp_path)
    assert serially(SUITE.replace("{teacher: teacher}", "{teacher: teacher, loss: l1}"), tmp_path).work.trained == 2


@pytest.mark.trains
def test_a_teacher_that_cannot_be_trained_leaves_its_students_without_weights(tmp_path: Path) -> None:
    broken = SUITE.replace("distil: null", "distil: null, learning_rate: 1e+30, optimizer: sgd")
    result = serially(broken, tmp_path)
    assert not result.complete
    assert any("training teacher/5" in failure and "diverged" in failure for failure in result.work.failures)
    assert sum("training student" in failure for failure in result.work.failures) == 2
    models = prepare(str(tmp_path / "suite.yaml"), (), ()).models
    assert not any((Store(result.store).model(one.key) / "model.json").exists() for one in models.values())


@pytest.fixture(scope="module")
def digits(shared_data: Path) -> Dataset:
    return load_dataset("digits", {}, shared_data)


def trained(digits: Dataset, teacher: Trained | None = None, **changed: object) -> Trained:
    values = {"dataset": Component(name="digits"), "epochs": 8, "learning_rate": 0.01} | changed
    model = None if teacher is None else teacher.model
    parameters = {"width": 48, "norm": "none"}
    return train(ARCHITECTURES.get("mlp"), parameters, Training.model_validate(values), digits, 3, teacher=model)


@pytest.fixture(scope="module")
def teacher(digits: Dataset, trains: None) -> Trained:
    return trained(digits)


@pytest.fixture(scope="module")
def students(digits: Dataset, teacher: Trained) -> dict[str, Trained]:
    """One of each kind. All labels are drawn anew, so that nothing is to be learned from them."""
    return {
        loss: trained(digits, teacher, epochs=20, label_noise=1.0, distil={"teacher": "it", "loss": loss})
        for loss in ("kl", "l1")
    }


@pytest.mark.parametrize("loss", ["kl", "l1"])
def test_a_student_learns_from_its_teacher_and_not_from_labels(loss: str, students: dict[str, Trained]) -> None:
    assert students[loss].accuracy > 0.7
    assert students[loss].train_accuracy < 0.2


def test_one_loss_matches_distributions_and_the_other_logits(
    students: dict[str, Trained], digits: Dataset, teacher: Trained
) -> None:
    inputs = torch.from_numpy(digits.test.inputs)
    wanted = teacher.model.logits(inputs)
    logits = {loss: student.model.logits(inputs) for loss, student in students.items()}
    divergence = {
        loss: kl_div(of.log_softmax(1), wanted.softmax(1), reduction="batchmean") for loss, of in logits.items()
    }
    distance = {loss: (of - wanted).abs().mean() for loss, of in logits.items()}
    assert divergence["kl"] < divergence["l1"]
    assert distance["l1"] < distance["kl"]
