"""What the pages show runs as it stands there, in an empty folder, and prints what they say."""

from __future__ import annotations

import doctest
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs import running
from tests.docs.running import Block, blocks, run_page, unlike
from tests.shared_runs import train_once

from simbench.results.store import Store
from simbench.run.session import prepare

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = (
    "suites-of-your-own",
    "ten-minutes",
    "metrics-of-your-own",
    "models-of-your-own",
    "models-from-zoos",
    "activations-of-your-own",
)
# Far more than a page takes on a machine that is busy.
SECONDS = 400


@pytest.mark.trains
@pytest.mark.process
@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_shows_runs(page: str, tmp_path: Path, shared_store: Path) -> None:
    if "simbench run quick" in (DOCS / f"{page}.md").read_text(encoding="utf-8"):
        train_once(prepare("quick", ["cka"], suite_metrics=False), Store(shared_store))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SIMBENCH")},
        **{"SIMBENCH_STORE": str(shared_store), "COLUMNS": "120", "PYTHONPATH": os.pathsep.join(sys.path[1:])},
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.docs.running", str(DOCS / f"{page}.md"), str(tmp_path)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]


def test_blocks_are_files_commands_and_what_is_printed() -> None:
    page = "# T\n\n```python\n# a/b.py\nx = 1\n```\n\n<!-- not run: slow -->\n```console\nsimbench run x   # now\n```\n"
    first, second = blocks(page)
    assert (first.file, first.line, first.remark) == ("a/b.py", 3, "")
    assert (second.file, second.line, second.remark) == (None, 8, "not run")
    assert second.commands == ["simbench run x"]


def test_shown_lines_are_printed_in_their_order() -> None:
    assert doctest.testmod(running).failed == 0
    printed = "name  value  after\ncka   0.8712  12 s\ncca   0.5  1 s\n"
    assert unlike("name value after\ncka 0.87 3 s", printed) is None
    assert unlike("cka … 9 s\n…\ncca 0.5 2 s", printed) is None
    assert unlike("cca 0.5 1 s\ncka 0.87 12 s", printed) == "cka 0.87 12 s"
    assert unlike("cka 0.95 12 s", printed) == "cka 0.95 12 s"
    assert unlike("cka … 0.9", printed) == "cka … 0.9"


def test_a_block_that_fails_is_named_by_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text("text\n\n```console\nrm -rf something\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"page\.md:3: say why it is not run: rm"):
        run_page(page, tmp_path)
    assert Block("text", "x", 1).file is None
