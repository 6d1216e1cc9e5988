"""Whatever somebody else's code changes of the process is put back."""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import os
import random
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from simbench.metrics.metric import Metric
from simbench.metrics.scoring import score_pairs
from simbench.process_state import preserved_state
from simbench.representations.representation import Representation
from simbench.run.engines import SerialEngine, Task

# For each change: what makes it, and what it can be seen in.
CHANGES: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "default dtype": (lambda: torch.set_default_dtype(torch.float64), torch.get_default_dtype),
    "default device": (lambda: torch.set_default_device("meta"), lambda: torch.zeros(1).device),
    "grad mode": (lambda: torch.set_grad_enabled(not torch.is_grad_enabled()), torch.is_grad_enabled),
    "no_grad that is never left": (lambda: torch.no_grad().__enter__(), torch.is_grad_enabled),
    "threads": (lambda: torch.set_num_threads(torch.get_num_threads() + 1), torch.get_num_threads),
    "deterministic algorithms": (
        lambda: torch.use_deterministic_algorithms(True),
        torch.are_deterministic_algorithms_enabled,
    ),
    "anomaly detection": (lambda: torch.autograd.set_detect_anomaly(True).__class__, torch.is_anomaly_enabled),
    "seed of torch": (lambda: torch.manual_seed(7), lambda: torch.get_rng_state().tolist()),
    "draw of torch": (lambda: torch.rand(3), lambda: torch.get_rng_state().tolist()),
    "seed of NumPy": (lambda: np.random.seed(7), lambda: np.random.get_state()[1].tolist()),  # type: ignore[index]
    "draw of NumPy": (np.random.normal, lambda: str(np.random.get_state())),
    "seed of Python": (lambda: random.seed(7), random.getstate),
    "errors of NumPy": (lambda: np.seterr(all="raise"), np.geterr),
    "working directory": (lambda: os.chdir("/"), os.getcwd),
    "filters of warnings": (lambda: warnings.simplefilter("ignore"), lambda: list(warnings.filters)),
    "environment": (lambda: os.environ.update(OMP_NUM_THREADS="64", NEW="1"), lambda: dict(os.environ)),
    "deleted variable": (lambda: os.environ.pop("PATH"), lambda: dict(os.environ)),
    "standard output": (lambda: setattr(sys, "stdout", io.StringIO()), lambda: sys.stdout),
    "standard error": (lambda: setattr(sys, "stderr", None), lambda: sys.stderr),
    "import path": (lambda: sys.path.insert(0, "/nowhere"), lambda: list(sys.path)),
    "recursion limit": (lambda: sys.setrecursionlimit(5000), sys.getrecursionlimit),
    "Ctrl-C": (lambda: signal.signal(signal.SIGINT, signal.SIG_IGN), lambda: signal.getsignal(signal.SIGINT)),
    "SIGTERM": (lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN), lambda: signal.getsignal(signal.SIGTERM)),
    "garbage collection": (gc.disable, gc.isenabled),
    "logging": (lambda: logging.disable(logging.CRITICAL), lambda: logging.root.manager.disable),
}
changes = pytest.mark.parametrize("change", CHANGES)


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """A test that fails changes nothing for the others."""
    with preserved_state():
        yield


@changes
def test_a_change_ends_with_the_block(change: str) -> None:
    make, see = CHANGES[change]
    before = see()
    with preserved_state():
        make()
        assert see() != before
    assert see() == before


@changes
def test_a_change_ends_with_the_block_that_raises(change: str) -> None:
    make, see = CHANGES[change]
    before = see()
    with contextlib.suppress(KeyboardInterrupt), preserved_state():
        make()
        raise KeyboardInterrupt
    assert see() == before


@changes
@pytest.mark.parametrize("interface", ["plain", "prepare", "batch"])
def test_a_metric_changes_nothing_of_the_process(change: str, interface: str) -> None:
    make, see = CHANGES[change]
    seen: list[Any] = []

    def changing(*_: Any) -> Any:
        seen.append(see())
        make()
        return 0.0 if interface == "plain" else [0.0, 0.0]

    functions: dict[str, Any] = {
        "plain": {},
        "prepare": {"prepare": changing, "compare_many": lambda prepared, pairs: [0.0] * len(pairs)},
        "batch": {"compare_many": changing},
    }[interface]
    sides = [Representation(torch.arange(12.0).reshape(6, 2) ** k) for k in (1, 2)]
    before = see()
    scores = score_pairs(Metric("mine", changing, higher_is_more_similar=True, **functions), sides, [(0, 1), (1, 0)])
    assert [score.status for score in scores] == ["ok", "ok"], scores
    assert see() == before
    assert seen == [before] * (1 if interface == "batch" else 2)  # nor for the metric's own next call


@changes
def test_a_task_of_this_process_changes_nothing_of_it(change: str) -> None:
    make, see = CHANGES[change]
    before = see()
    (outcome,) = SerialEngine().run([Task("changing", lambda: str(make()), ())], lambda name, units: None)
    assert outcome.reason is None
    assert see() == before


def test_a_working_directory_that_is_gone_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    os.chdir(folder)
    with preserved_state():
        folder.rmdir()
        os.chdir(tmp_path)
    assert Path.cwd() == tmp_path
