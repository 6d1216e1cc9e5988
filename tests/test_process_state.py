"""Whatever somebody else's code changes of the process is put back."""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import os
import random
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from simbench.files import umask
from simbench.metrics.metric import Metric
from simbench.metrics.scoring import score_pairs
from simbench.process_state import preserved_state
from simbench.registry import import_reference
from simbench.representations.representation import Representation
from simbench.run.engines import SerialEngine, Task

kept: list[Any] = []


def entered(context: Any) -> Any:
    context.__enter__()
    return context


def gradient_of_square(value: float) -> float:
    with torch.enable_grad():
        x = torch.tensor(value, requires_grad=True)
        (x * x).backward()
    assert x.grad is not None
    return x.grad.item()


def halved(made: Any) -> Any:
    return made / 2 if isinstance(made, torch.Tensor) and made.is_floating_point() else made


def in_tokyo() -> None:
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()


class Halving(TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return halved(function(*args, **(kwargs or {})))


class HalvingOperations(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return halved(function(*args, **(kwargs or {})))


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
    "alarm": (lambda: signal.alarm(60), lambda: signal.getitimer(signal.ITIMER_REAL)[0] > 0),
    "profiling timer": (
        lambda: signal.setitimer(signal.ITIMER_PROF, 60, 60),
        lambda: signal.getitimer(signal.ITIMER_PROF)[1],
    ),
    "blocked signals": (
        lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM}),
        lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ()),
    ),
    "ended children": (lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN), lambda: signal.getsignal(signal.SIGCHLD)),
    "mask of new files": (lambda: os.umask(0o777), umask),
    "limit of file size": (
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10**9, resource.getrlimit(resource.RLIMIT_FSIZE)[1])),
        lambda: resource.getrlimit(resource.RLIMIT_FSIZE),
    ),
    "time zone": (in_tokyo, lambda: time.localtime(0).tm_hour),
    "tracing": (lambda: sys.setprofile(lambda *_: None), sys.getprofile),
    "call at errors of NumPy": (lambda: np.seterrcall(lambda *_: None), np.geterrcall),
    "autocast": (lambda: torch.set_autocast_enabled("cpu", True), lambda: torch.is_autocast_enabled("cpu")),
    "autocast that is never left": (
        lambda: torch.autocast("cpu", dtype=torch.float16).__enter__(),
        lambda: (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
    ),
    "inference mode": (lambda: kept.append(entered(torch.inference_mode())), torch.is_inference_mode_enabled),
    "denormal numbers": (lambda: torch.set_flush_denormal(True), lambda: (torch.tensor(1e-38) / 1e3).item()),
    "precision of products": (
        lambda: torch.set_float32_matmul_precision("medium"),
        torch.get_float32_matmul_precision,
    ),
    "hook on all modules": (
        lambda: nn.modules.module.register_module_forward_hook(lambda module, given, output: output * 0),
        lambda: nn.Linear(1, 1, bias=False)(torch.ones(1, 1)).item() == 0,
    ),
    "mode of all functions": (lambda: Halving().__enter__(), lambda: torch.add(torch.ones(1), 1).item()),
    "mode of all operations": (lambda: HalvingOperations().__enter__(), lambda: torch.add(torch.ones(1), 1).item()),
    "hooks on saved tensors": (
        lambda: torch.autograd.graph.saved_tensors_hooks(lambda x: x * 0, lambda x: x).__enter__(),
        lambda: gradient_of_square(3.0),
    ),
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


def test_a_timer_that_was_stopped_runs_on() -> None:
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 100, 7)
    with preserved_state():
        signal.alarm(0)
    left, interval = signal.getitimer(signal.ITIMER_REAL)
    assert 90 < left <= 100
    assert interval == 7


def test_a_standard_stream_that_was_closed_is_opened_again(capfd: pytest.CaptureFixture[str]) -> None:
    sys.stdout = os.fdopen(1, "w", closefd=False)
    with preserved_state():
        sys.stdout.close()
    print("shown", flush=True)
    assert capfd.readouterr().out == "shown\n"


@pytest.mark.skipif(not hasattr(torch._C, "_get_fp32_precision_getter"), reason="torch has no such setting")
@pytest.mark.parametrize("backend", ["cuda", "mkldnn"])
def test_newer_settings_of_precision_contradict_older_ones(backend: str) -> None:
    products = getattr(torch.backends, backend).matmul
    before = products.fp32_precision
    with preserved_state():
        products.fp32_precision = "tf32" if backend == "cuda" else "bf16"
        with preserved_state():  # torch does not say the older ones now
            pass
        assert products.fp32_precision != before
    assert (products.fp32_precision, torch.get_float32_matmul_precision()) == (before, "highest")


def test_a_module_changes_no_numbers_when_it_is_imported(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "import os, sys, random, torch\n"
        "torch.set_default_dtype(torch.float64), torch.manual_seed(5), random.seed(5), os.chdir('/')\n"
        "sys.path.append('/of the module')\n"
    )
    before = torch.get_rng_state().tolist(), random.getstate(), Path.cwd()
    import_reference(str(module))
    assert torch.get_default_dtype() is torch.float32
    assert (torch.get_rng_state().tolist(), random.getstate(), Path.cwd()) == before
    assert "/of the module" in sys.path  # its functions may import from there


@pytest.mark.parametrize(
    "change",
    [
        *("default dtype", "default device", "no_grad that is never left", "deterministic algorithms", "autocast"),
        *("autocast that is never left", "inference mode", "denormal numbers", "precision of products"),
        *("hook on all modules", "mode of all functions", "mode of all operations", "hooks on saved tensors"),
        "errors of NumPy",
    ],
)
@pytest.mark.parametrize("called", ["task", "metric"])
def test_what_the_caller_has_set_changes_no_number(change: str, called: str) -> None:
    make, see = CHANGES[change]
    seen: list[Any] = []

    def looking(*_: Any) -> float:
        seen.append(see())
        return 0.0

    def call() -> None:
        if called == "task":
            list(SerialEngine().run([Task("looking", looking, ())], lambda name, units: None))
        else:
            sides = [Representation(torch.arange(12.0).reshape(6, 2) ** k) for k in (1, 2)]
            score_pairs(Metric("mine", looking, higher_is_more_similar=True), sides, [(0, 1)])

    call()
    with preserved_state():
        make()
        set_by_the_caller = see()
        if change not in ("default device", "mode of all functions", "mode of all operations") or called == "task":
            call()
        assert see() == set_by_the_caller
    assert seen == [seen[0]] * len(seen)
    assert seen[0] != set_by_the_caller


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no copies of a process on this system")
def test_a_copy_of_the_process_ends_with_the_block(tmp_path: Path) -> None:
    with preserved_state():
        copy = os.fork()
    (tmp_path / str(os.getpid())).touch()
    assert os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1]) == 1
    assert [path.name for path in tmp_path.iterdir()] == [str(os.getpid())]
