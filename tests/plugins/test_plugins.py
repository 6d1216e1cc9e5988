"""Installed plugins are found by their entry points; a broken one is listed with its reason and breaks nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent

# What the plugin registers, by what `simbench list` calls it.
COMPONENTS = {
    "metrics": "good_plugin/distance_correlation",
    "tests": "good_plugin/rows_matter",
    "transforms": "good_plugin/doubling",
    "datasets": "good_plugin/stripes",
    "architectures": "good_plugin/perceptron",
    "generators": "good_plugin/mirrored",
    "reparametrisations": "good_plugin/reversed_units",
    "loaders": "good_plugin/npz",
    "engines": "good_plugin/backwards",
    "wrappers": "good_plugin/sharpened",
}
LABELS = (
    "good_plugin/distance_correlation",
    "good_plugin/distance_correlation(good_plugin/sharpened=2)",
    "good_plugin/alignment",
    "good_plugin/alignment(minibatch=16)",
    "good_plugin/alignment(calibrate={permutations: 40})",
    "cka",
    "cka(good_plugin/sharpened=2)",
)
TESTS = ("kind", "transform", "weights", "generator")
SUITE = """
suite: third-party
version: 1
probe: {dataset: good_plugin/stripes, inputs: 40, fit: {inputs: 40}}
models:
  trained:
    architecture: {name: good_plugin/perceptron, width: 5}
    train: {dataset: {name: good_plugin/stripes, noise: 0.2}, epochs: 2, batch_size: 16}
    seeds: [0, 1]
  loaded: {architecture: {name: good_plugin/perceptron, width: 3}, load: weights.npz}
metrics:
  - good_plugin/distance_correlation
  - {name: good_plugin/distance_correlation, good_plugin/sharpened: 2}
  - good_plugin/alignment
  - {name: good_plugin/alignment, minibatch: 16}
  - {name: good_plugin/alignment, calibrate: {by: permutation, permutations: 40}}
  - cka
  - {name: cka, good_plugin/sharpened: 2}
tests:
  - {id: kind, kind: good_plugin/rows_matter, models: [trained, loaded]}
  - {id: transform, kind: invariance, models: [trained], transforms: [good_plugin/doubling]}
  - {id: weights, kind: distribution_invariance, models: [trained], reparametrisations: [good_plugin/reversed_units]}
  - {id: generator, kind: distribution_sensitivity, generators: [good_plugin/mirrored]}
"""


def install(package: Path, target: Path) -> None:
    """What `pip install --target` does with a pure Python package, without building or a network."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    name = project["name"].replace("-", "_")
    shutil.copytree(package / name, target / name)
    info = target / f"{name}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8"
    )
    entries = [
        line
        for group, points in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{key} = {value}" for key, value in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(entries) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def installed(tmp_path_factory, process):
    """An environment in which both plugins are installed."""
    target = tmp_path_factory.mktemp("site")
    for name in ("good_plugin", "broken_plugin"):
        install(HERE / name, target)
    paths = [str(target), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}


def simbench(*arguments, env):
    return subprocess.run([sys.executable, "-m", "simbench", *arguments], env=env, capture_output=True, text=True)


def test_a_plugins_metric_is_listed_with_its_origin_and_a_broken_plugin_with_its_reason(installed):
    done = simbench("list", "metrics", env=installed)
    assert done.returncode == 0, done.stderr
    assert any("good_plugin/distance_correlation" in line and "distances" in line for line in done.stdout.splitlines())
    assert "broken plugin broken: ModuleNotFoundError: No module named 'somebody_elses_gpu_kernels'" in done.stdout


def test_the_json_list_has_origin_and_broken_plugins(installed):
    listed = json.loads(simbench("list", "metrics", "--json", env=installed).stdout)
    (entry,) = [one for one in listed["metrics"] if one["name"] == "good_plugin/distance_correlation"]
    assert entry["module"] == "good_plugin"
    assert entry["file"].endswith("good_plugin/__init__.py")
    assert listed["broken_plugins"] == [
        {"plugin": "broken", "reason": "ModuleNotFoundError: No module named 'somebody_elses_gpu_kernels'"}
    ]


def test_a_plugins_metric_keeps_what_it_declares(installed):
    done = simbench("check", "good_plugin/distance_correlation", env=installed)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_built_in_metrics_are_unaffected_by_a_broken_plugin(installed):
    done = simbench("describe", "cka", env=installed)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_component_of_every_kind_is_listed_behind_the_built_in_ones(installed):
    code = (
        "import json; from simbench.catalogue.entries import entries; from simbench.catalogue.kinds import ListedKind;"
        "listed = {kind: [entry.as_json() for entry in entries(kind)] for kind in ListedKind if kind != 'suites'};"
        "from simbench.registry import REGISTRIES;"
        "print(json.dumps([listed, [registry.names()[-1] for registry in REGISTRIES]]))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=installed, capture_output=True, text=True, check=True)
    listed, last = json.loads(done.stdout)
    assert sorted(last) == sorted(COMPONENTS.values())
    assert {kind: entries[-1]["name"] for kind, entries in listed.items()} == COMPONENTS
    for entries in listed.values():
        of_plugin = ["good_plugin" in entry["name"] for entry in entries]
        assert of_plugin == sorted(of_plugin)
        for own in entries[-sum(of_plugin) :]:
            assert own["module"].startswith("good_plugin")
            assert own["summary"]


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """A suite that is made of the plugin's components, with its weights beside it."""
    folder = tmp_path_factory.mktemp("suite")
    random = np.random.default_rng(0)
    shapes = {"hidden.weight": (3, 16), "hidden.bias": (3,), "head.weight": (2, 3), "head.bias": (2,)}
    np.savez(folder / "weights.npz", **{name: random.normal(size=shape).astype("f4") for name, shape in shapes.items()})
    (folder / "suite.yaml").write_text(SUITE, encoding="utf-8")
    return folder / "suite.yaml"


def run_suite(suite, store, engine, env):
    done = simbench("run", suite, "--engine", engine, "--device", "cpu", "--store", store, "--json", env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(done.stdout)["rows"]
    return done, {row["metric"]: {test: each["grade"] for test, each in row["tests"].items()} for row in rows}


@pytest.mark.trains
@pytest.mark.process
def test_a_run_uses_a_component_of_every_kind(installed, suite, tmp_path):
    done, grades = run_suite(suite, tmp_path / "store", "good_plugin/backwards", installed)
    first, last = (done.stderr.index(f"good_plugin/backwards: trained/{seed}\n") for seed in (1, 0))
    assert first < last
    assert sorted(grades) == sorted(LABELS)
    for metric in grades:
        assert {test: grades[metric][test] for test in TESTS} == {**dict.fromkeys(TESTS, 1.0), "generator": 0.0}
    _, serial = run_suite(suite, tmp_path / "another", "serial", installed)
    assert serial == grades


# Prints how often the plugin's metric prepares two matrices to be calibrated by 20 permutations, and its values: plain,
# and wrapped.
WRAP = """
import json, torch
from dataclasses import replace
from simbench.metrics.metric import rowwise
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS, WRAPPERS
from simbench.representations.representation import Representation

x = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
sides, calls = [Representation(x), Representation(x[:, :2].exp())], []
metric = METRICS.get("good_plugin/alignment")
counting = replace(metric, prepare=rowwise(lambda side: calls.append(0) or metric.prepare.function(side)))
wrapped = [WRAPPERS.get("calibrate").wrap(counting, {"permutations": 20}), WRAPPERS.get("minibatch").wrap(metric, 7)]
plain, calibrated, minibatched = (score_pairs(each, sides, [(0, 1)])[0] for each in (metric, *wrapped))
print(json.dumps([len(calls), plain.value, calibrated.auxiliary["raw"], minibatched.value]))
"""


def test_wrappers_take_the_fast_paths_that_a_plugins_metric_declares(installed):
    done = subprocess.run(
        [sys.executable, "-c", "from simbench.registry import load_installed_plugins as load; load()\n" + WRAP],
        env=installed, capture_output=True, text=True, check=True,
    )  # fmt: skip
    prepared, plain, raw, from_few_rows = json.loads(done.stdout)
    assert prepared == 2
    assert raw == pytest.approx(plain, rel=1e-9)
    assert from_few_rows == pytest.approx(plain, rel=1e-9)


@pytest.mark.trains
@pytest.mark.process
def test_workers_know_the_plugins_components(installed, suite, tmp_path):
    _, grades = run_suite(suite, tmp_path / "store", "processes", installed)
    assert grades["cka"]["weights"] == 1.0


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        (
            "[good_plugin/mirrored]",
            "[good_plugin/mirored]",
            '"good_plugin/mirored"; did you mean "good_plugin/mirrored"?',
        ),
        (
            "reversed_units]",
            "reversed_unit]",
            'unknown reparametrisation "good_plugin/reversed_unit"; did you mean "good_',
        ),
        ("[good_plugin/mirrored]", "[shared_units]", 'unknown generator "shared_units"; valid: '),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(installed, suite, tmp_path, right, wrong, message):
    bad = tmp_path / "bad.yaml"
    bad.write_text(suite.read_text(encoding="utf-8").replace(right, wrong), encoding="utf-8")
    done = simbench("plan", bad, env=installed)
    assert done.returncode != 0
    assert message in " ".join((done.stdout + done.stderr).split())
