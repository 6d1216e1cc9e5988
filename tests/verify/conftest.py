"""One bundle of a tiny suite, run once, and a stranger who verifies it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from simbench.bundles.archive import write_files
from simbench.bundles.pack import bundle_of
from simbench.registry import METRICS
from simbench.results.store import Store
from simbench.run.session import prepare, run
from simbench.verify.report import Report
from simbench.verify.verification import verify

SUITE = """\
suite: tiny
version: 1
about: For tests.
probe: {dataset: digits, split: test, inputs: 60, fit: {split: train, inputs: 120}}
models:
  mlp:
    architecture: {name: mlp, width: 8, depth: 3}
    train: {dataset: digits, epochs: 2, learning_rate: 0.01}
    seeds: [0, 1]
metrics: [cka, procrustes, {name: stitch_task, epochs: 2}, own.py]
tests:
  - {id: identity, kind: identity, models: [mlp]}
  - {id: invariance, kind: invariance, models: [mlp], layers: [block2], transforms: [orthogonal, translation]}
  - {id: correspondence, kind: correspondence, models: [mlp], distance: 1}
"""
OWN = """\
import simbench


@simbench.metric("own", higher_is_more_similar=True, symmetric=True)
def own(x, y):
    "Cosine of the Gram matrices, not centred."
    a, b = x @ x.T, y @ y.T
    return (a * b).sum() / (a.norm() * b.norm())
"""


class Made:
    """A suite that was run, and its bundle."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.suite = folder / "tiny.yaml"
        self.own = folder / "own.py"
        self.store = folder / "store"
        self.suite.write_text(SUITE)
        self.own.write_text(OWN)
        with METRICS.isolated():
            run(str(self.suite), store=self.store, engine="serial", device="cpu")
            plan = prepare(str(self.suite))
            self.packed = bundle_of(plan, Store(self.store))
            self.files = self.packed.files
            self.with_models = bundle_of(plan, Store(self.store), with_models=True).files


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, trains: None) -> Made:
    """The tiny suite, run once for all tests of this folder."""
    return Made(tmp_path_factory.mktemp("made"))


@pytest.fixture(autouse=True)
def stranger(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test runs where nobody has the author's metric, files or store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIMBENCH_STORE", str(tmp_path / "empty_store"))
    (tmp_path / "empty_store").mkdir()
    for name in [name for name in sys.modules if name.startswith("simbench_file_")]:
        monkeypatch.delitem(sys.modules, name)
    with METRICS.isolated():
        yield


@pytest.fixture
def files(made: Made) -> dict[str, bytes]:
    """The files of an honest bundle, to be tampered with."""
    return dict(made.files)


@pytest.fixture
def check(made: Made, tmp_path: Path) -> Callable[..., Report]:
    """Writes files as a bundle and verifies it."""

    def verified(files: dict[str, bytes], **options: Any) -> Report:
        path = write_files(tmp_path / "bundle.zip", files)
        return verify(path, engine="serial", **{"store": made.store, "seed": 1, **options})

    return verified
