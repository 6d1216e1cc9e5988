"""Installed plugins are found by their entry points; a broken one is listed with its reason and breaks nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

HERE = Path(__file__).parent


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
