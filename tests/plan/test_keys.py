"""What a key depends on, and what it does not. Keys decide what is computed again: they may change only on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from simbench.data.conditions import conditioned, noisy
from simbench.data.dataset import Dataset, Split
from simbench.metrics.metric import Metric
from simbench.metrics.resolve import as_metric
from simbench.models.synthetic.permuted_clusters import permuted_clusters
from simbench.plan import keys as key_scheme
from simbench.plan.plan import Plan, make_plan
from simbench.references import Comparison, ModelRef, Named, RepresentationRef
from simbench.registry import METRICS, TRANSFORMS, import_reference
from simbench.representations.representation import Representation
from simbench.suite.load import load_suite
from simbench.suite.schema import Conditions, Suite

SuiteWith = Callable[..., Suite]

FIRST = RepresentationRef(ModelRef("net", 0), "block1")
SECOND = RepresentationRef(ModelRef("net", 1), "block1")
TURNED = FIRST.under(Named.of("orthogonal", seed=7))
REWRITTEN = FIRST.reparametrised(Named.of("unit_permutation", seed=7))
CLUSTERS = ModelRef("permuted_clusters", 0, Named.of("permuted_clusters", classes=7, rho=5.0, permuted=True))

# When one of these changes, every store of every user is computed again. If that is meant, raise KEY_SCHEME (or the
# version that changed) and write the new values here.
GOLDEN = {
    "model": "567ab6e1aeba87e0120099ee",
    "synthetic model": "d724f37bf995a5429dc616e5",
    "activations": "59fb1b382c5ffaf7f9f6b97f",
    "reparametrised activations": "2f4bf39047794101b73a6b57",
    "representation": "2200bf2bb23bf16015e964d4",
    "representation with its fitting inputs": "a570b524d075bf4dabea0b33",
    "transformed representation": "8584d946f44bd0560a8ba450",
    "score": "056d812fbc3b5ad231650572",
    "symmetric score": "c64f49f1ef674996c84bc6da",
}


GOLDEN_UNDER_CONDITIONS = ("80c51d9722d4e6c074c044d9", "c97831503714dceec07844d6")


def keys_of(plan: Plan, plain: Metric) -> dict[str, str]:
    return {
        "model": plan.models[FIRST.model].key,
        "synthetic model": plan.models[CLUSTERS].key,
        "activations": plan.planned_activations(FIRST.model, "block1", None, "probe").key,
        "reparametrised activations": plan.planned_activations(
            FIRST.model, "block1", REWRITTEN.reparametrisation, "probe"
        ).key,
        "representation": plan.representation_key(FIRST, with_fit=False),
        "representation with its fitting inputs": plan.representation_key(FIRST, with_fit=True),
        "transformed representation": plan.representation_key(TURNED, with_fit=False),
        "score": plan.score_key(plain, Comparison(SECOND, FIRST)),
        "symmetric score": plan.score_key(replace(plain, symmetric=True, name="symmetric"), Comparison(SECOND, FIRST)),
    }


def changed_keys(before: Suite, after: Suite, plain: Metric) -> set[str]:
    """Which of the golden keys two suites do not share."""
    old, new = (keys_of(make_plan(suite, [plain]), plain) for suite in (before, after))
    return {name for name in old if old[name] != new[name]}


MODEL_AND_ALL_AFTER = {
    "model",
    "activations",
    "reparametrised activations",
    "representation",
    "representation with its fitting inputs",
    "transformed representation",
    "score",
    "symmetric score",
}
ACTIVATIONS_AND_ALL_AFTER = MODEL_AND_ALL_AFTER - {"model"}
REPRESENTATIONS_AND_SCORES = ACTIVATIONS_AND_ALL_AFTER - {"activations", "reparametrised activations"}


def test_keys_are_the_golden_ones(plan: Plan, plain: Metric) -> None:
    assert keys_of(plan, plain) == GOLDEN


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("width: 8", "width: 9", MODEL_AND_ALL_AFTER),
        ("epochs: 2", "epochs: 3", MODEL_AND_ALL_AFTER),
        ("learning_rate: 0.01", "learning_rate: 0.02", MODEL_AND_ALL_AFTER),
        ("train: {dataset: digits", "train: {dataset: {name: digits, split_seed: 1}", MODEL_AND_ALL_AFTER),
        ("epochs: 2", "epochs: 2, label_noise: 0.5", MODEL_AND_ALL_AFTER),
        ("epochs: 2", "epochs: 2, shortcut: 0.0", MODEL_AND_ALL_AFTER),
        ("epochs: 2", "epochs: 2, augmentation: 0.5", MODEL_AND_ALL_AFTER),
        ("epochs: 2", "epochs: 2, subset: 100", MODEL_AND_ALL_AFTER),
        ("epochs: 2", "epochs: 2, batches: shared", MODEL_AND_ALL_AFTER),
        ("epochs: 2", "epochs: 2, label_noise: 0, shortcut: null, augmentation: 0.0, subset: null", set()),
        ("epochs: 2", "epochs: 2, batches: own", set()),
        ("inputs: 100,", "inputs: 100, shortcut: 0.0,", ACTIVATIONS_AND_ALL_AFTER),
        ("inputs: 100,", "inputs: 100, shortcut: null,", set()),
        ("net:", "other: {like: net, seeds: [7]}\n  net:", set()),
        ("inputs: 100", "inputs: 101", ACTIVATIONS_AND_ALL_AFTER),
        ("probe: {dataset: digits", "probe: {dataset: {name: digits, split_seed: 1}", ACTIVATIONS_AND_ALL_AFTER),
        ("inputs: 100,", "inputs: 100, split: train,", ACTIVATIONS_AND_ALL_AFTER),
        ("spatial: positions", "spatial: pool", REPRESENTATIONS_AND_SCORES),
        ("rows: 400", "rows: 500", REPRESENTATIONS_AND_SCORES),
        ("fit: {inputs: 200}", "fit: {inputs: 300}", {"representation with its fitting inputs"}),
        ("fit: {inputs: 200}", "fit: {inputs: 200, split: test}", {"representation with its fitting inputs"}),
        ("suite: planned", "suite: renamed", set()),
        ("version: 1", "version: 2", set()),
        ("seeds: [0, 1, 2]", "seeds: [2, 1, 0]", set()),
        ("distance: 2", "distance: 1", set()),
        ("id: same", "id: itself", set()),
        ("id: same,", "id: same, pass_if: '> 0.1',", set()),
        ("net:", "net:\n    layers: [block1, block2, block3]", set()),
        ("learning_rate: 0.01", "learning_rate: 0.01, optimizer: adamw, batch_size: 128", set()),
        ("width: 8", "width: 8, norm: batch", set()),
        ("spatial: positions, ", "", set()),
        ("net:", "net:\n    layout: {block1: channels_first}", REPRESENTATIONS_AND_SCORES),
        ("net:", "net:\n    layout: {block3: channels_first}", set()),
        ("net:", "net:\n    layout: null", set()),
    ],
)
def test_a_setting_changes_the_keys_that_depend_on_it_and_no_others(
    old: str, new: str, changed: set[str], suite_with: SuiteWith, plain: Metric
) -> None:
    assert changed_keys(suite_with(), suite_with((old, new)), plain) == changed


TAUGHT = "train: {distil: {teacher: first, loss: kl}}"


def key_of_a_student(suite_with: SuiteWith, plain: Metric, old: str = "", new: str = "") -> str:
    """A group `net` that is `like` `first` but taught by it, with one thing changed."""
    groups = f"net: {{like: first, {TAUGHT}, seeds: [0, 1, 2]}}\n  first:"
    suite = suite_with(("net:", groups), *([(old, new)] if old else []))
    return make_plan(suite, [plain]).models[FIRST.model].key


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        (TAUGHT, "train: {distil: null}", False),
        ("loss: kl", "loss: l1", False),
        (", loss: kl", "", True),
        ("seeds: [0, 1, 2]\n", "seeds: [1, 0, 2]\n", False),
        ("seeds: [0, 1, 2]\n", "seeds: [0]\n", True),
        ("first", "renamed", True),
    ],
)
def test_the_key_of_a_student_depends_on_its_teacher_s_key_and_on_the_loss(
    old: str, new: str, same: bool, suite_with: SuiteWith, plain: Metric
) -> None:
    assert (key_of_a_student(suite_with, plain) == key_of_a_student(suite_with, plain, old, new)) is same


def test_a_teacher_is_planned_with_its_students(suite_with: SuiteWith, plain: Metric) -> None:
    groups = f"net: {{like: first, {TAUGHT}, seeds: [0, 1, 2]}}\n  first:"
    models = make_plan(suite_with(("net:", groups)), [plain]).models
    assert models[FIRST.model].teacher == ModelRef("first", 0)
    assert {str(ref) for ref in models if ref.generator is None} == {"net/0", "net/1", "net/2", "first/0"}


CONDITIONS = (
    "label_noise: 0.25",
    "label_noise: 0.5",
    "shortcut: 0.0",
    "shortcut: 0.5",
    "augmentation: 0.5",
    "subset: 99",
)


def test_every_condition_and_every_strength_is_a_model_of_its_own(suite_with: SuiteWith, plain: Metric) -> None:
    suites = [suite_with(), *(suite_with(("epochs: 2", f"epochs: 2, {condition}")) for condition in CONDITIONS)]
    keys = {make_plan(suite, [plain]).models[FIRST.model].key for suite in suites}
    assert len(keys) == len(CONDITIONS) + 1


def test_keys_under_conditions_are_the_golden_ones(suite_with: SuiteWith, plain: Metric) -> None:
    """They too may change only on purpose: raise CONDITIONS_VERSION when `data.conditions` gives other data."""
    conditions = "label_noise: 0.5, shortcut: 0.75, augmentation: 1.0, subset: 200"
    plan = make_plan(
        suite_with(("epochs: 2", f"epochs: 2, {conditions}"), ("inputs: 100,", "inputs: 100, shortcut: 0.0,")), [plain]
    )
    keys = keys_of(plan, plain)
    assert (keys["model"], keys["activations"]) == GOLDEN_UNDER_CONDITIONS


def test_how_a_group_was_written_enters_no_key(suite_with: SuiteWith, plain: Metric) -> None:
    like = "base: {architecture: mlp, train: {dataset: digits, epochs: 9}, seeds: [5]}\n  net:\n    like: base"
    assert changed_keys(suite_with(), suite_with(("net:", like)), plain) == set()


def test_a_seed_is_a_model_of_its_own(plan: Plan) -> None:
    seeds = [model.key for model in plan.models.values() if model.spec is not None]
    assert len(set(seeds)) == 3


def test_a_layer_is_a_representation_of_its_own(plan: Plan) -> None:
    layers = [replace(FIRST, layer=layer) for layer in ("block1", "block2", "block3", "embedding")]
    assert len({plan.representation_key(layer, with_fit=False) for layer in layers}) == 4


def test_a_transform_and_its_seed_enter_the_key(plan: Plan) -> None:
    transformed = [FIRST, TURNED, FIRST.under(Named.of("orthogonal", seed=8)), FIRST.under(Named.of("affine", seed=7))]
    assert len({plan.representation_key(ref, with_fit=False) for ref in transformed}) == 4


def test_the_version_of_a_transform_enters_the_keys_of_what_it_makes(suite_with: SuiteWith, plain: Metric) -> None:
    before = keys_of(make_plan(suite_with(), [plain]), plain)
    with TRANSFORMS.isolated():
        orthogonal = TRANSFORMS.get("orthogonal")
        TRANSFORMS.register("orthogonal", replace(orthogonal, version=99), orthogonal.origin)
        after = keys_of(make_plan(suite_with(), [plain]), plain)
    assert {name for name in before if before[name] != after[name]} == {"transformed representation"}


def test_a_reparametrised_layer_is_not_the_layer(plan: Plan) -> None:
    assert plan.representation_key(FIRST, with_fit=False) != plan.representation_key(REWRITTEN, with_fit=False)


def test_the_order_of_a_pair_matters_but_to_a_symmetric_metric(plan: Plan, plain: Metric, symmetric: Metric) -> None:
    there, back = Comparison(FIRST, SECOND), Comparison(SECOND, FIRST)
    assert plan.score_key(plain, there) != plan.score_key(plain, back)
    assert plan.score_key(symmetric, there) == plan.score_key(symmetric, back)


@pytest.mark.parametrize("change", [{"version": 2}, {"name": "other"}, {"parameters": {"strength": 2.0}}])
def test_version_name_and_parameters_change_the_scores_of_that_metric_only(
    change: dict[str, object], suite_with: SuiteWith, plain: Metric, symmetric: Metric
) -> None:
    before = make_plan(suite_with(), [plain, symmetric])
    after = make_plan(suite_with(), [replace(plain, **change), symmetric])  # type: ignore[arg-type]
    assert not set(before.metrics[0].scores) & set(after.metrics[0].scores)
    assert set(before.metrics[1].scores) == set(after.metrics[1].scores)
    assert set(before.activations) == set(after.activations)


@pytest.mark.parametrize("change", [{"default": True}, {"formula": "new"}, {"value_range": (0.0, 1.0)}])
def test_what_is_merely_said_of_a_metric_enters_no_key(
    change: dict[str, object], suite_with: SuiteWith, plain: Metric
) -> None:
    before = make_plan(suite_with(), [plain])
    after = make_plan(suite_with(), [replace(plain, **change)])  # type: ignore[arg-type]
    assert set(before.metrics[0].scores) == set(after.metrics[0].scores)


def test_the_source_of_an_unversioned_metric_is_its_version(tmp_path: Path, suite_with: SuiteWith) -> None:
    text = "import simbench\n@simbench.metric('{0}', higher_is_more_similar=True)\ndef f(x, y): return {1}\n"
    keys = []
    with METRICS.isolated():
        for name, value in (("one", 1.0), ("two", 1.0), ("three", 2.0)):
            (tmp_path / f"{name}.py").write_text(text.format("unversioned", value))
            METRICS._components.pop("unversioned", None)
            METRICS._origins.pop("unversioned", None)
            module, _ = import_reference(str(tmp_path / f"{name}.py"))
            metric = as_metric(module.f)
            assert metric is not None
            keys.append(set(make_plan(suite_with(), [metric]).metrics[0].scores))
    assert keys[0] == keys[1]
    assert keys[0] != keys[2]


def test_fitting_inputs_change_the_scores_of_metrics_that_learn_only(
    suite_with: SuiteWith, plain: Metric, learning: Metric
) -> None:
    before = make_plan(suite_with(), [plain, learning])
    after = make_plan(suite_with(("fit: {inputs: 200}", "fit: {inputs: 300}")), [plain, learning])
    assert set(before.metrics[0].scores) == set(after.metrics[0].scores)
    synthetic = sum(c.a.model.generator is not None for c in before.metrics[1].scores.values())
    assert len(set(before.metrics[1].scores) & set(after.metrics[1].scores)) == synthetic


def test_keys_hold_no_path(tmp_path: Path, plain: Metric) -> None:
    text = (
        "suite: x\nversion: 1\nprobe: {dataset: {name: arrays, path: data.npz}}\n"
        "models: {net: {architecture: mlp, load: weights.pt}}\ntests: [{id: same, kind: identity, models: [net]}]\n"
    )
    plans = []
    for folder in (tmp_path / "here", tmp_path / "there"):
        folder.mkdir()
        (folder / "suite.yaml").write_text(text)
        (folder / "data.npz").write_bytes(b"data")
        (folder / "weights.pt").write_bytes(b"weights")
        plans.append(make_plan(load_suite(str(folder / "suite.yaml")), [plain]))
    here, there = plans
    assert set(here.metrics[0].scores) == set(there.metrics[0].scores)
    assert [model.key for model in here.models.values()] == [model.key for model in there.models.values()]


@pytest.mark.parametrize("file", ["data.npz", "weights.pt"])
def test_the_content_of_a_file_enters_the_keys(file: str, tmp_path: Path, plain: Metric) -> None:
    (tmp_path / "suite.yaml").write_text(
        "suite: x\nversion: 1\nprobe: {dataset: {name: arrays, path: data.npz}}\n"
        "models: {net: {architecture: mlp, load: weights.pt}}\ntests: [{id: same, kind: identity, models: [net]}]\n"
    )
    (tmp_path / "data.npz").write_bytes(b"data")
    (tmp_path / "weights.pt").write_bytes(b"weights")
    before = make_plan(load_suite(str(tmp_path / "suite.yaml")), [plain])
    (tmp_path / file).write_bytes(b"other")
    after = make_plan(load_suite(str(tmp_path / "suite.yaml")), [plain])
    assert not set(before.metrics[0].scores) & set(after.metrics[0].scores)


@pytest.mark.parametrize(
    "version", ["KEY_SCHEME", "CONDITIONS_VERSION", "GENERATOR_VERSION", "REPARAMETRISATION_VERSION"]
)
def test_every_version_of_the_scheme_is_a_positive_number(version: str) -> None:
    assert getattr(key_scheme, version) >= 1


def test_synthetic_models_are_those_of_their_version() -> None:
    """Raise GENERATOR_VERSION when these numbers change."""
    assert key_scheme.GENERATOR_VERSION == 1
    made = permuted_clusters(classes=7, rho=5.0, permuted=True, seed=0)
    assert made.probe[:2].flatten().tolist() == pytest.approx([-0.493305044, -1.938593518, -0.467732368, -1.954981174])
    assert made.model.unembedding.abs().sum().item() == pytest.approx(44.376227)


def test_data_under_conditions_are_those_of_their_version() -> None:
    """Raise CONDITIONS_VERSION when these numbers change."""
    assert key_scheme.CONDITIONS_VERSION == 1
    inputs = np.arange(20 * 36, dtype=np.float32).reshape(20, 1, 6, 6)
    plain = Dataset("plain", Split(inputs, np.arange(20) % 5), Split(inputs, np.arange(20) % 5), classes=5)
    made = conditioned(plain, Conditions(label_noise=0.5, shortcut=0.5, subset=10), seed=1).train
    noise = noisy(torch.zeros(2, 3), 4.0, torch.Generator().manual_seed(0))
    assert made.targets.tolist() == [1, 2, 3, 4, 4, 3, 2, 3, 2, 3]
    marks = (made.inputs[..., :2, :2] > 719).reshape(10, 4) @ [1, 2, 4, 8]
    assert marks.tolist() == [2, 3, 2, 5, 2, 4, 3, 4, 2, 4]
    expected = [-0.409301, -1.508055, 1.781508, -1.205035, 0.281143, -1.063088]
    assert noise.flatten().tolist() == pytest.approx(expected, rel=1e-5)


TRANSFORMED = {
    "permutation@1": 110.909091,
    "orthogonal@1": -70.823036,
    "isotropic_scaling@1": 14.836265,
    "diagonal_scaling@1": 55.041798,
    "sign_flip@1": 21.090909,
    "translation@1": 149.154079,
    "invertible_linear@1": 180.319649,
    "affine@1": 413.432844,
    "row_shuffle@1": 94.818182,
}


@pytest.mark.parametrize("identity", TRANSFORMED)
def test_a_transform_is_that_of_its_version(identity: str) -> None:
    """Raise the transform's version when its number changes."""
    name, _, version = identity.partition("@")
    values = torch.arange(12, dtype=torch.float64).reshape(4, 3)
    weights = torch.linspace(1, 2, 12, dtype=torch.float64).reshape(4, 3)
    assert str(TRANSFORMS.get(name).version) == version
    transformed = TRANSFORMS.get(name)(Representation(values), seed=1)
    assert (transformed.activations * weights).sum().item() == pytest.approx(TRANSFORMED[identity], rel=1e-5)
