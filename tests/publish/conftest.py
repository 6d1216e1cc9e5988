"""A published board in which all is hostile that can be, and a browser to read it in."""

from __future__ import annotations

import shutil
from importlib import import_module

import pytest
from tests.board.evidence_boards import HOSTILE, evident_board
from tests.board.making import Maker
from tests.publish.reader import Reader

from simbench.publish.folder import publish

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-dev-shm-usage", "--disable-sync", "--no-first-run",
)  # fmt: skip


@pytest.fixture
def make() -> Maker:
    """Makes rows and boards."""
    return Maker()


@pytest.fixture(scope="session")
def browser(request):
    """Chromium; the tests are skipped, or fail if one is needed, with the reason, where there is none."""
    miss = pytest.fail if request.config.getoption("--need-browser") else pytest.skip
    try:
        playwright = import_module("playwright.sync_api")
    except ImportError:
        miss("playwright is not installed")
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        miss("no chromium on this machine (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=executable, args=list(ARGUMENTS))
        yield started
        started.close()


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """The folder of a published suite, everything in it hostile that can be."""
    folder = tmp_path_factory.mktemp("published")
    board, scores = evident_board(about=HOSTILE)
    publish(board, folder, scores, csv=True)
    return folder / "sanity"


@pytest.fixture
def read(browser, published):
    """Opens the page."""
    readers = []

    def open_page(hash="", **context):
        readers.append(Reader(browser, published, hash, **context))
        return readers[-1]

    yield open_page
    for reader in readers:
        assert reader.errors == []
        assert [url for url in reader.requests if not url.startswith(("file:", "blob:"))] == []
        assert reader.page.evaluate("window.hacked") is None
        reader.context.close()
