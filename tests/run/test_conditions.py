"""Controlled conditions from the YAML file to the scores: groups that share a base, marks on the probe, tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from simbench.models.model_record import read_record
from simbench.results.store import Store
from simbench.run.materials import Materials
from simbench.run.session import RunResult, prepare, run

pytestmark = pytest.mark.trains

SUITE = """\
suite: conditions
version: 1
probe: {dataset: digits, inputs: 60, shortcut: 0.0, fit: {inputs: 120}}
models:
  base:
    architecture: {name: mlp, width: 8, depth: 2}
    train: {dataset: digits, epochs: 2, learning_rate: 0.01, shortcut: 0.0}
  untrained: {like: base, train: {epochs: 0}}
  noisy: {like: base, train: {label_noise: 1.0}}
  few: {like: base, train: {subset: 50, augmentation: 0.5}}
metrics: [cka]
tests:
  - {id: same, kind: identity, models: [base, untrained, noisy, few]}
"""
TOKENS = """\
suite: tokens
version: 1
probe: {dataset: {name: characters, train: 500, test: 100}, inputs: 50, fit: {inputs: 100}}
models:
  transformer:
    architecture: {name: causal_transformer, width: 8, heads: 2}
    train: {dataset: {name: characters, train: 500, test: 100}, epochs: 1}
    seeds: [0, 1]
metrics: [cka, kl, {name: stitch_task, epochs: 1}]
tests:
  - {id: same, kind: identity, models: [transformer]}
  - {id: turned, kind: invariance, models: [transformer], transforms: [orthogonal], layers: [block1]}
"""


def serially(text: str, folder: Path) -> RunResult:
    path = folder / "suite.yaml"
    path.write_text(text)
    return run(str(path), store=folder / "store", engine="serial", device="cpu")


def test_a_suite_of_conditions_runs_and_the_second_time_computes_nothing(tmp_path: Path) -> None:
    first = serially(SUITE, tmp_path)
    assert first.complete
    assert first.work.trained == 4
    again = serially(SUITE, tmp_path)
    assert (again.work.trained, again.work.scored) == (0, 0)
    models = prepare(str(tmp_path / "suite.yaml"), (), ()).models
    records = {ref.group: read_record(Store(first.store).model(one.key)) for ref, one in models.items()}
    assert len(records["base"].losses) == 2
    assert records["untrained"].losses == []
    assert records["base"].accuracy > records["noisy"].accuracy + 0.2


def test_the_probe_carries_marks_that_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    inputs = {}
    for name, text in (("marked", SUITE), ("plain", SUITE.replace("shortcut: 0.0, fit", "fit"))):
        path.write_text(text)
        materials = Materials.of(prepare(str(path), (), ()), Store(tmp_path / "store"), "cpu")
        inputs[name] = {side: materials.inputs(side) for side in ("probe", "fit")}
    for side in ("probe", "fit"):
        marked, plain = inputs["marked"][side], inputs["plain"][side]
        assert torch.equal(marked.targets, plain.targets)
        changed = (marked.inputs != plain.inputs).any(0)[0]
        assert changed.nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
        told = ((marked.inputs[:, 0, :2, :2] > 1).flatten(1) * torch.tensor([1, 2, 4, 8])).sum(1) - 1
        assert (told == marked.targets).double().mean() < 0.3


def test_a_transformer_on_tokens_runs(tmp_path: Path) -> None:
    result = serially(TOKENS, tmp_path)
    assert result.complete, result.work.failures


def test_a_condition_that_the_data_do_not_admit_is_an_error_with_its_reason(tmp_path: Path) -> None:
    result = serially(TOKENS.replace("epochs: 1}\n    seeds", "epochs: 1, augmentation: 1.0}\n    seeds"), tmp_path)
    assert not result.complete
    assert any("noise cannot be added to tokens" in failure for failure in result.work.failures)
