"""Suites that name an architecture by its place in code."""

from __future__ import annotations

from pathlib import Path

import pytest

from simbench.bundles.archive import BadBundleError
from simbench.bundles.portable_suite import portable, read_suite, suite_bytes
from simbench.errors import SimbenchError, SuiteError
from simbench.plan.obtainable import all_problems
from simbench.plan.plan import make_plan
from simbench.plan.suite_metrics import gather_metrics
from simbench.suite.load import load_suite

NET = """\
from torch import nn
def make(classes, width: int, depth: int = 2):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, classes))
"""
SUITE = """\
suite: own
version: 1
probe: {{dataset: digits, inputs: 60, fit: {{inputs: 60}}}}
models:
  a:
    architecture: {architecture}
    train: {{dataset: digits, epochs: 0}}
    {layers}
metrics: [cka]
tests: [{{id: identity, kind: identity, models: [a]}}]
"""


def written(folder: Path, architecture: str, layers: str = "layers: ['1', '2']") -> str:
    folder.mkdir(exist_ok=True)
    (folder / "net.py").write_text(NET)
    (folder / "suite.yaml").write_text(SUITE.format(architecture=architecture, layers=layers))
    return str(folder / "suite.yaml")


def problems(path: str) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        load_suite(path)
    return [problem.rpartition("/")[2] for problem in caught.value.problems]


def test_a_place_is_relative_to_the_suite_and_its_folder_is_in_no_key(tmp_path: Path) -> None:
    keys = []
    for folder in ("a", "b"):
        suite = load_suite(written(tmp_path / folder, "{name: net.py:make, width: 8}"))
        assert all_problems(suite) == []
        keys.append(sorted(model.key for model in make_plan(suite, gather_metrics(suite)).models.values()))
    assert keys[0] == keys[1] != []


@pytest.mark.parametrize(
    ("architecture", "said"),
    [
        ("net.py:make", 'suite.yaml:6:5: architecture net.py:make: parameter "width" is missing'),
        (
            "{name: net.py:make, width: 8, dept: 1}",
            'suite.yaml:6:49: architecture net.py:make: unknown parameter "dept"; did you mean "depth"?',
        ),
        ("nets.py:make", "suite.yaml:6:19: no such file: nets.py"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path: Path, architecture: str, said: str) -> None:
    assert problems(written(tmp_path, architecture)) == [said]


def test_layers_are_asked_for_with_the_verb_that_lists_them(tmp_path: Path) -> None:
    assert problems(written(tmp_path, "{name: net.py:make, width: 8}", "")) == [
        'suite.yaml:5:3: models.a: architecture "net.py:make" needs `layers:`, a list of its layers '
        "(`simbench layers net.py:make` lists them)"
    ]


def test_a_file_without_a_suffix_is_no_architecture(tmp_path: Path) -> None:
    (tmp_path / "mlp").write_text("")
    suite = load_suite(written(tmp_path, "mlp", ""))
    assert suite.models["a"].architecture.name == "mlp"


def test_no_bundle_holds_code_or_has_it_imported(tmp_path: Path) -> None:
    suite = load_suite(written(tmp_path, "{name: net.py:make, width: 8}"))
    with pytest.raises(SimbenchError, match=r"architecture net.py:make is code of yours"):
        portable(suite, [])
    strange = SUITE.format(architecture=f"{tmp_path}/evil.py:make", layers="layers: ['1']").replace(
        "probe:", "plugins: []\nprobe:"
    )
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(BadBundleError, match="the architecture is code"):
        read_suite(strange.encode())
    with pytest.raises(BadBundleError, match="the architecture is code"):
        read_suite(suite_bytes(suite))
    assert not (tmp_path / "ran").exists()
