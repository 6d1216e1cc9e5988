"""A suite of activations alone: every test kind is graded, or says that it is for want of a network that it is not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from simbench.bundles.archive import read_files, write_files
from simbench.bundles.contents import parse
from simbench.bundles.pack import bundle_of
from simbench.errors import SimbenchError
from simbench.plan.plan import make_plan
from simbench.references import ModelRef, RepresentationRef
from simbench.registry import METRICS, TEST_KINDS
from simbench.results.store import Store
from simbench.run.materials import Materials
from simbench.run.session import prepare, run
from simbench.suite.load import load_suite
from simbench.verdicts.verdict import Verdict
from simbench.verify.verification import verify

ROWS, GROUPS, MEMBERS, LAYERS = 40, ("mine", "theirs", "third"), ("a", "b", "c"), ("block1", "block2", "block10")
FIRST = RepresentationRef(ModelRef("mine", 0, member="a"), "block1")
Arrays = Mapping[tuple[str, str, str], np.ndarray]


def made(rows: int = ROWS, seed: int = 0) -> Arrays:
    """Layers of members that follow from common inputs, in each group by maps of its own width."""
    inputs = np.random.default_rng(seed).normal(size=(rows, 6))
    arrays = {}
    for width, group in enumerate(GROUPS, start=7):
        for member in MEMBERS:
            weights = np.random.default_rng([width, ord(member)])
            hidden = inputs
            for layer in LAYERS:
                hidden = np.tanh(hidden @ weights.normal(size=(hidden.shape[1], width)) / 2)
                arrays[group, member, layer] = hidden.astype(np.float32)
    return arrays


def write(folder: Path, arrays: Arrays, suffix: str = "{layer}.npy") -> None:
    for group in GROUPS:
        for member in MEMBERS:
            place = folder / group / member
            place.mkdir(parents=True, exist_ok=True)
            layers: dict[str, Any] = {layer: arrays[group, member, layer] for layer in LAYERS}
            if suffix == "{layer}.npy":
                for layer, array in layers.items():
                    np.save(place / f"{layer}.npy", array)
            elif suffix == "all.npz":
                np.savez(place / suffix, **layers)
            elif suffix == "all.pt":
                torch.save({layer: torch.from_numpy(array) for layer, array in layers.items()}, place / suffix)
            else:
                save_file({layer: torch.from_numpy(array) for layer, array in layers.items()}, place / suffix)


def suite(folder: Path, tests: str, metrics: str = "[cka]", more: str = "", suffix: str = "{layer}.npy") -> Path:
    groups = "".join(
        f'  {group}: {{activations: "acts/{group}/{{member}}/{suffix}", members: [{", ".join(MEMBERS)}]{more}}}\n'
        for group in GROUPS
    )
    path = folder / "suite.yaml"
    path.write_text(f"suite: given\nversion: 1\nmodels:\n{groups}metrics: {metrics}\ntests:\n{tests}")
    return path


def verdicts(path: Path, store: Path) -> dict[str, list[Verdict]]:
    board = run(str(path), store=store, engine="serial", device="cpu").board
    return {each.row.metric.label: list(each.row.verdicts.values()) for each in board.rows}


# Keys that a kind needs, or that keep it small, and the number of groups that it compares.
KEYS = {
    "correspondence": "distance: 1",
    "invariance": "transforms: [orthogonal]",
    "distribution_sensitivity": "seeds: [0], rho: [5.0]",
    "upper_bound": "seeds: [0]",
    "graded_perturbation": "seeds: [0]",
    "partial_overlap": "seeds: [0]",
    "sample_size": "draws: 2",
}
COMPARED = {"group_separation": 2, "untrained_control": 2, "closeness": 2, "distillation_order": 3}
OF_NETWORKS = {"closeness", "distillation_order", "output_correlation", "distribution_invariance"}
# What a metric lacks whatever the models are.
WHATEVER_THE_MODELS = (
    "this metric is defined at the head only",
    "is no distance",
    "theory puts no bound on",
    "finds no map into",
    "the populations of partial_overlap are synthetic",
    "sample_size found nothing to compare",
)


@pytest.fixture(scope="module")
def activations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given")
    write(folder / "acts", made())
    return folder


@pytest.mark.parametrize("kind", TEST_KINDS.names())
def test_every_kind_is_graded_or_says_why_not(kind: str, activations: Path) -> None:
    models = ", ".join(GROUPS[: COMPARED.get(kind, 0 if TEST_KINDS.get(kind).generates_its_models else 1)])
    keys = "".join(f", {keys}" for keys in [KEYS.get(kind)] if keys)
    test = f"  - {{id: t, kind: {kind}, models: [{models}]{keys}}}\n"
    graded = verdicts(suite(activations, test, "[cka, logit_distance, stitch_direct]"), activations / "store")
    for label, of_metric in graded.items():
        for verdict in of_metric:
            assert verdict.status in ("ok", "skip"), verdict.reason
            if verdict.status == "skip" and not any(reason in (verdict.reason or "") for reason in WHATEVER_THE_MODELS):
                assert "activations" in (verdict.reason or ""), (label, verdict.reason)
    if kind in OF_NETWORKS:
        assert graded["cka"][0].status == "skip"
    elif kind not in ("in_distribution", "upper_bound", "probe_correlation", "component_deletion"):
        assert graded["cka"][0].grade is not None


@pytest.mark.parametrize("kind", ["probe_correlation", "component_deletion"])
def test_labels_and_inputs_to_fit_on_answer_what_needs_them(kind: str, activations: Path) -> None:
    write(activations / "train", made(60, seed=1))
    for name, rows in (("labels", ROWS), ("train_labels", 60)):
        np.save(activations / f"{name}.npy", np.arange(rows) % 3)
    test = f"  - {{id: t, kind: {kind}, models: [mine]}}\n"
    more = ', targets: labels.npy, fit: "train/mine/{member}/{layer}.npy", fit_targets: train_labels.npy'
    path = suite(activations, test, more=more)
    path.write_text(path.read_text().replace("train/mine", "train/theirs").replace("train/theirs", "train/mine", 1))
    text = "".join(line for line in path.read_text().splitlines(keepends=True) if "acts/th" not in line)
    path.write_text(text)
    assert verdicts(path, activations / "store")["cka"][0].grade is not None


@pytest.mark.parametrize("suffix", ["all.npz", "all.pt", "all.safetensors"])
def test_formats_give_the_same_scores(suffix: str, activations: Path, tmp_path: Path) -> None:
    write(tmp_path / "acts", made(), suffix)
    test = "  - {id: t, kind: identity, models: [mine, theirs]}\n"
    values = []
    for folder, own in ((activations, "{layer}.npy"), (tmp_path, suffix)):
        path = suite(folder, test, suffix=own)
        verdicts(path, tmp_path / "store" / own)
        plan = prepare(str(path))
        (metric,) = plan.metrics
        stored = Store(tmp_path / "store" / own).scores(metric.metric.identity)
        values.append({str(comparison): stored[key].value for key, comparison in metric.scores.items()})
        assert plan.groups["mine"].layers == LAYERS
    assert values[0] == values[1]


def test_layers_are_mapped_into_memory_and_need_no_network(activations: Path) -> None:
    plan = prepare(str(suite(activations, "  - {id: t, kind: identity, models: [mine]}\n")))
    assert not plan.activations
    materials = Materials.of(plan, Store(activations / "store"), "cpu")
    representation = materials.representation(FIRST, "rows")
    assert representation.model is None
    assert np.array_equal(representation.activations.numpy(), made()["mine", "a", "block1"])


def test_keys_hold_digests_and_no_names(activations: Path, tmp_path: Path) -> None:
    test = "  - {id: t, kind: identity, models: [mine]}\n"
    before = make_plan(load_suite(str(suite(activations, test))), [METRICS.get("cka")])
    arrays = made()
    write(tmp_path / "acts", arrays)
    for member in MEMBERS:
        (tmp_path / "acts" / "mine" / member).rename(tmp_path / "acts" / "mine" / f"{member}{member}")
    path = suite(tmp_path, test)
    path.write_text(path.read_text().replace("[a, b, c]", "[aa, bb, cc]", 1))
    renamed = make_plan(load_suite(str(path)), [METRICS.get("cka")])
    keys = [[model.key for model in plan.models.values()] for plan in (before, renamed)]
    assert keys[0] == keys[1]
    second = RepresentationRef(ModelRef("mine", 0, member="aa"), "block1")
    assert before.representation_key(FIRST, with_fit=True) == renamed.representation_key(second, with_fit=True)
    np.save(tmp_path / "acts" / "mine" / "aa" / "block1.npy", arrays["mine", "a", "block1"] + 1)
    changed = make_plan(load_suite(str(path)), [METRICS.get("cka")])
    other = RepresentationRef(second.model, "block2")
    assert changed.representation_key(second, with_fit=False) != renamed.representation_key(second, with_fit=False)
    assert changed.representation_key(other, with_fit=False) == renamed.representation_key(other, with_fit=False)


def test_a_file_that_changes_after_the_plan_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "acts", made())
    plan = prepare(str(suite(tmp_path, "  - {id: t, kind: identity, models: [mine]}\n")))
    materials = Materials.of(plan, Store(tmp_path / "store"), "cpu")
    np.save(tmp_path / "acts" / "mine" / "a" / "block1.npy", made()["mine", "b", "block1"])
    with pytest.raises(SimbenchError, match=r"block1.npy has changed since this run was planned; start it again"):
        materials.representation(FIRST, "rows")


def test_copies_are_refused_whatever_the_files_are_called(tmp_path: Path) -> None:
    arrays = dict(made())
    for layer in LAYERS:
        arrays["mine", "c", layer] = arrays["mine", "a", layer]
    write(tmp_path / "acts", arrays)
    path = suite(tmp_path, "  - {id: t, kind: identity, models: [mine]}\n")
    with pytest.raises(SimbenchError, match=r"models\.mine: mine/a and mine/c have the same activations"):
        run(str(path), store=tmp_path / "store", engine="serial", device="cpu")


def test_layers_that_cannot_be_compared_are_errors_of_their_own(tmp_path: Path) -> None:
    arrays = dict(made())
    arrays["mine", "a", "block1"] = np.full((ROWS, 4), np.nan, np.float32)
    write(tmp_path / "acts", arrays)
    path = suite(tmp_path, "  - {id: t, kind: identity, models: [mine]}\n")
    run(str(path), store=tmp_path / "store", engine="serial", device="cpu")
    (metric,) = prepare(str(path)).metrics
    stored = Store(tmp_path / "store").scores("cka" if metric.metric.identity == "cka" else metric.metric.identity)
    reasons = {record.status: record.reason for record in stored.values()}
    assert reasons["error"] == "non-finite activations in block1"
    assert set(reasons) == {"ok", "error"}


@pytest.mark.parametrize(("spatial", "columns"), [("pool", 3), ("flatten", 48), ("positions", 3)])
def test_positions_follow_the_spatial_rule(tmp_path: Path, spatial: str, columns: int) -> None:
    maps = np.random.default_rng(0).normal(size=(ROWS, 3, 4, 4)).astype(np.float32)
    (tmp_path / "acts").mkdir()
    np.save(tmp_path / "acts" / "conv.npy", maps)
    path = tmp_path / "suite.yaml"
    path.write_text(
        f"suite: maps\nversion: 1\nprobe: {{spatial: {spatial}}}\nmetrics: [cka]\n"
        'models: {net: {activations: "acts/{layer}.npy"}}\ntests: [{id: t, kind: noise_response, models: [net]}]\n'
    )
    plan = prepare(str(path))
    ref = RepresentationRef(ModelRef("net", 0, member="0"), "conv")
    matrix = Materials.of(plan, Store(tmp_path / "store"), "cpu").representation(ref, "rows").matrix
    assert matrix.shape == (ROWS, columns)
    if spatial == "pool":
        assert np.allclose(matrix.numpy(), maps.mean(axis=(2, 3)), atol=1e-6)


def test_a_bundle_has_hashes_and_is_rescored_where_the_files_are(tmp_path: Path) -> None:
    write(tmp_path / "acts", made())
    path = suite(tmp_path, "  - {id: t, kind: identity, models: [mine, theirs]}\n", suffix="{layer}.npy")
    run(str(path), store=tmp_path / "store", engine="serial", device="cpu")
    bundle = write_files(tmp_path / "bundle.zip", bundle_of(prepare(str(path)), Store(tmp_path / "store")).files)
    assert str(tmp_path) not in parse(read_files(bundle)).files["suite.yaml"].decode()
    (tmp_path / "acts").rename(tmp_path / "elsewhere")
    options: dict[str, Any] = {"rescore": True, "sample": 1.0, "engine": "serial", "store": tmp_path / "other"}
    steps = verify(bundle, **options).steps
    assert [step.status for step in steps] == ["verified", "verified", "unchecked", "not asked"]
    assert "models not at hand (mine/a, mine/b, mine/c, theirs/a); --files FOLDER says where" in steps[2].unchecked[0]
    steps = verify(bundle, files=[tmp_path / "elsewhere"], **options).steps
    assert [step.status for step in steps] == ["verified", "verified", "verified", "not asked"]
    changed = tmp_path / "elsewhere" / "mine" / "a" / "block1.npy"
    np.save(changed, np.load(changed) + 1)
    assert verify(bundle, files=[tmp_path / "elsewhere"], **options).steps[2].status == "unchecked"
