"""Run what a page shows, block after block, in an empty folder: `python -m tests.docs.running PAGE FOLDER`.

* A block that begins with `# NAME.EXTENSION` is a file, and is written.
* Other blocks of Python are run; each sees the names of those before it.
* Lines of `console` blocks are run one after the other, `simbench …` and `python FILE`, with `> FILE` or without: each
  in a copy of this process, which has imported torch already, without further processes and without a terminal.
* A `text` block is what the block before it printed last: its lines stand there in this order, with numbers up to
  rounding. `…` stands for anything.
* `<!-- not run: REASON -->` before a block says why it is only shown; `<!-- figures vary: REASON -->`, why of a `text`
  block numbers, marks and the order of lines are not compared.
"""

from __future__ import annotations

import contextlib
import io
import linecache
import os
import re
import runpy
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

BLOCK = re.compile(
    r"(?:<!-- (?P<remark>not run|figures vary): [^\n]+? -->\n)?```(?P<language>\w+)[^\n]*\n(?P<text>.*?)```", re.DOTALL
)
FILE = re.compile(r"# ([\w./-]+\.\w+)\n")
NUMBER = re.compile(r"[-−]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")
# Results of networks differ by so much between processors; seconds and bytes by any amount.
TOLERANCE = 0.02
FIGURE = re.compile(r"[<≈]?[-−]?\d[\d,.]*|[✓✗?~·] (?=\d)")
MEASURED = re.compile(r"\b\d[\d.,]* (?:s|ms|min|kB|MB|MiB|GB)\b")
SPARES_PROCESSES = ("run", "verify")


@dataclass(frozen=True)
class Block:
    """A block of a page: its language, its text, its line, and what the remark before it says, if there is any."""

    language: str
    text: str
    line: int
    remark: str = ""

    @property
    def file(self) -> str | None:
        """Name of the file that the block is."""
        match = FILE.match(self.text)
        return match[1] if match and self.language != "console" else None

    @property
    def commands(self) -> list[str]:
        """Commands of a `console` block, without their comments."""
        return [part for line in self.text.splitlines() if (part := re.sub(r"(^|\s{2,})#.*$", "", line).strip())]


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page in Markdown."""
    return [
        Block(match["language"], match["text"], page.count("\n", 0, match.start()) + 1, match["remark"] or "")
        for match in BLOCK.finditer(page)
    ]


def unlike(shown: str, printed: str) -> str | None:
    """Return the first line of what a page shows that was not printed after the lines before it; None if all were.

    >>> unlike("cka  0.871\\n…", "metric  value\\ncka     0.8709")
    >>> unlike("cka  0.5", "cka  0.8709")
    'cka  0.5'
    """
    left = iter(printed.splitlines())
    for line in shown.splitlines():
        if line.strip() not in ("", "…") and not any(_alike(line, other) for other in left):
            return line
    return None


def _alike(shown: str, printed: str) -> bool:
    parts = [_words(part) for part in shown.split("…")]
    words = _words(printed)
    if len(parts) == 1:
        return len(parts[0]) == len(words) and all(map(_same, parts[0], words))
    at = 0
    for number, part in enumerate(parts):
        last = len(words) - len(part)
        starts: Iterable[int] = range(at, last + 1)
        if number == 0:
            starts = [0] if last >= 0 else []
        elif number == len(parts) - 1 and part:
            starts = [last] if last >= at else []
        start = next((start for start in starts if all(map(_same, part, words[start:]))), None)
        if start is None:
            return False
        at = start + len(part)
    return True


def _words(line: str) -> list[str]:
    return MEASURED.sub("SIZE", line).split()


def _same(shown: str, printed: str) -> bool:
    mine, theirs = NUMBER.findall(shown), NUMBER.findall(printed)
    if NUMBER.sub("#", shown) != NUMBER.sub("#", printed):
        return False
    return all(abs(_value(a) - _value(b)) <= TOLERANCE for a, b in zip(mine, theirs, strict=True))


def _value(number: str) -> float:
    return float(number.replace(",", "").replace("−", "-").rstrip("."))


def run_page(page: Path, folder: Path) -> None:
    """Run all blocks of a page in a folder; raise `AssertionError` with the line of the first that fails."""
    os.chdir(folder)
    printed, before = "", ""
    for block in blocks(page.read_text(encoding="utf-8")):
        place = f"{page.name}:{block.line}"
        if block.remark == "not run":
            printed = ""
        elif block.file:
            target = Path(block.file)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            printed = _expect_success(place, partial(_python, before, block.text))
            before += block.text
        elif block.language == "console":
            for command in block.commands:
                printed = _command(place, command)
                print(f"$ {command}\n{printed}", flush=True)
        elif block.language == "text" and printed:
            if block.remark == "figures vary":
                masked = FIGURE.sub("#", printed)
                line = next((line for line in FIGURE.sub("#", block.text).splitlines() if unlike(line, masked)), None)
            else:
                line = unlike(block.text, printed)
            assert line is None, f"{place}: not printed: {line}\nprinted:\n{printed}"


def _command(place: str, command: str) -> str:
    words = shlex.split(command)
    assert words[0] in ("simbench", "python"), f"{place}: say why it is not run: {command}"
    redirected = Path(words.pop()) if words[-2] == ">" else None
    action = _simbench if words[0] == "simbench" else _script
    arguments = words[1 : -1 if redirected else None]
    printed = _expect_success(f"{place}: {command}", partial(action, arguments))
    if redirected:
        redirected.write_text(printed, encoding="utf-8")
    return printed


def _script(words: Sequence[str]) -> int:
    sys.argv = list(words)
    sys.path.insert(0, "")
    runpy.run_path(words[0], run_name="__main__")
    return 0


def _simbench(words: Sequence[str]) -> int:
    from simbench.cli.main import main

    serial = ["--engine", "serial"] if words[0] in SPARES_PROCESSES and "--engine" not in words else []
    sys.argv = ["simbench", *words, *serial]
    main()
    return 0


def _python(before: str, text: str) -> int:
    names: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()):
        _execute(before, "<before>", names)
    _execute(text, "<block>", names)
    return 0


def _execute(text: str, name: str, names: dict[str, Any]) -> None:
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    exec(compile(text, name, "exec"), names)


def _expect_success(place: str, action: Callable[[], int]) -> str:
    """Do something in a copy of this process, and return what it prints; raise `AssertionError` where it fails."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        code = 1
        try:
            code = action()
        except SystemExit as stop:
            code = int(stop.code or 0)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8", errors="replace") as pipe:
        printed = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 0, f"{place}: exit code {code}\n{printed}"
    return printed


if __name__ == "__main__":
    sys.path[0] = ""
    import simbench.run.session  # noqa: F401  # with torch, once for all commands of the page

    run_page(Path(sys.argv[1]).resolve(), Path(sys.argv[2]))
