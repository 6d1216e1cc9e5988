"""Settings, markers and the store that all tests share."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Container, Generator
from functools import wraps
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

# One thread for all linear algebra, here and in child processes; read when the libraries are loaded, which is below.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import pytest
import torch
from hypothesis import HealthCheck, settings

from simbench.models import training

# No test depends on how fast a machine draws examples.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# Fixtures that give every test that uses them, directly or through another fixture, the marker of their own name.
MARKING_FIXTURES = ("trains", "process", "browser")
# Every run asks git for the commit, and platform may ask uname: so little needs no marker.
COMMANDS_OF_A_RUN = {"git", "uname"}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test by what its fixtures do."""
    for name in MARKING_FIXTURES:
        if name in getattr(item, "fixturenames", ()):
            item.add_marker(name)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that turn the order of the tests around, and that insist on a browser."""
    parser.addoption("--backwards", action="store_true", help="run the last test first")
    parser.addoption("--need-browser", action="store_true", help="fail, and skip nothing, where there is no browser")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put tests that train first, so that no worker is left alone with one at the end; or turn the order around."""
    items.sort(key=lambda item: item.get_closest_marker("trains") is None)
    if config.getoption("backwards"):
        items.reverse()


class MarkerGuard:
    """Fail a test that trains networks or starts processes and has no marker that says so."""

    def __init__(self) -> None:
        self.item: pytest.Item | None = None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self.item = item
        try:
            return (yield)
        finally:
            self.item = None

    def require(self, marker: str) -> None:
        """Fail unless the test that is running has this marker; a browser is a process, too."""
        names = {"process": ("process", "browser")}.get(marker, (marker,))
        if self.item is not None and not any(self.item.get_closest_marker(name) for name in names):
            pytest.fail(f"{self.item.nodeid} lacks the marker `{marker}`, and what it does needs it", pytrace=False)

    def watch(self, owner: object, name: str, marker: str, harmless: Container[str] = ()) -> None:
        """Require the marker whenever `owner.name` is called, but for commands that are harmless."""
        original = getattr(owner, name)

        @wraps(original)
        def watched(*arguments: Any, **options: Any) -> Any:
            command = options.get("args", arguments[1] if len(arguments) > 1 else ())
            if not (isinstance(command, list) and command[0] in harmless):
                self.require(marker)
            return original(*arguments, **options)

        setattr(owner, name, watched)


def pytest_configure(config: pytest.Config) -> None:
    """Hold that the markers are true."""
    guard = MarkerGuard()
    config.pluginmanager.register(guard)
    guard.watch(training, "_fit", "trains")
    guard.watch(BaseProcess, "start", "process")
    guard.watch(subprocess.Popen, "__init__", "process", COMMANDS_OF_A_RUN)


@pytest.fixture(scope="session")
def trains() -> None:
    """Mark every test whose fixtures ask for this one: a fixture that trains networks does."""


@pytest.fixture(scope="session")
def process() -> None:
    """Mark every test whose fixtures ask for this one: a fixture that starts processes does."""


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that all workers of this session share (the documented recipe of pytest-xdist)."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def shared_store(shared_folder: Path, trains: None) -> Path:
    """Return the store of this session, in which each network is trained once: see `tests.shared_runs`."""
    return shared_folder / "store"


@pytest.fixture(scope="session")
def shared_data(shared_folder: Path) -> Path:
    """Return the folder of datasets of this session: each is generated once."""
    return shared_folder / "store" / "data"


@pytest.fixture
def tiny_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a model of open_clip called `tiny`: the smallest of its own, made smaller."""
    import open_clip
    from open_clip import factory

    given = open_clip.get_model_config("ViT-S-32-alt")
    image, text = ({**given[tower], "layers": 2} for tower in ("vision_cfg", "text_cfg"))
    smaller = {"vision_cfg": image | {"width": 64, "image_size": 64}, "text_cfg": text | {"width": 16, "heads": 2}}
    monkeypatch.setitem(factory._MODEL_CONFIGS, "tiny", {**given, "embed_dim": 8, **smaller})


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Compute on one thread: small matrices are slower on several, and the machine is shared."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """Have tests that draw from torch's global generator draw the same each time, whatever ran before."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="session")
def no_terminal_width() -> None:
    """Forget the width of a terminal that pytest-xdist tells its workers: tests read what a pipe is given."""
    os.environ.pop("COLUMNS", None)


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """Let child processes be interrupted, also where the tests run in the background of a shell."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
