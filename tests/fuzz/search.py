"""Look for inputs that break a reader, for as long as asked: `python -m tests.fuzz.search suite --seconds 600`.

Where atheris is installed it guides the search by coverage, else changes are random. An input that raises what its
reader does not declare, or takes more than `SLOW` seconds of this process, is written to the folder `--found`; mend the
reader, and move the input to `tests/fuzz/corpus/TARGET`, where the tests read it.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

try:
    import atheris
except ImportError:
    atheris = None
if atheris is not None:
    with atheris.instrument_imports(include=["simbench"]):
        from tests.fuzz import targets
else:
    from tests.fuzz import targets
from tests.fuzz.mutations import mutated

# Seconds that one input may take; a suite is promised to be checked in about one.
SLOW = 2.0
LARGEST_INPUT = 200_000


class Search:
    """A search for inputs that break one reader."""

    def __init__(self, target: targets.Target, found: Path, folder: Path) -> None:
        """Write what breaks the reader into `found`, and inputs to be read into `folder`."""
        self.target, self.found, self.folder = target, found, folder
        self.tried = 0
        self.defects: dict[str, int] = {}
        self._read: Callable[[bytes, Path], None] = target.check

    def attempt(self, content: bytes) -> None:
        """Read one input, and keep it if it is the first to break the reader in this way."""
        self.tried += 1
        started = time.process_time()
        try:
            self._read(content, self.folder)
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            self._keep(content, f"{type(error).__name__}-{Path(frame.filename).stem}-{frame.lineno}", repr(error)[:200])
            return
        seconds = time.process_time() - started
        if seconds > SLOW:
            self._keep(content, f"slow-{int(seconds)}s", f"{seconds:.1f} s")

    def _keep(self, content: bytes, defect: str, said: str) -> None:
        self.defects[defect] = self.defects.get(defect, 0) + 1
        if self.defects[defect] == 1:
            self.found.mkdir(parents=True, exist_ok=True)
            path = self.found / f"{defect}-{hashlib.sha256(content).hexdigest()[:8]}"
            path.write_bytes(content)
            print(f"{path}: {said}", flush=True)

    def report(self) -> None:
        """Print what was tried."""
        print(f"{self.target.name}: {self.tried} inputs, {len(self.defects)} defects {self.defects}", flush=True)


def main() -> None:
    """Search until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=list(targets.TARGETS))
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--found", type=Path, default=Path("found"))
    options = parser.parse_args()
    target = targets.TARGETS[options.target]
    with TemporaryDirectory() as folder:
        search = Search(target, options.found / target.name, Path(folder))
        inputs = [*target.seeds(), *(content for _, content in target.corpus())]
        (_guided if atheris is not None else _random)(search, inputs, options.seconds, options.seed)
    search.report()


def _random(search: Search, inputs: list[bytes], seconds: int, seed: int) -> None:
    chance, end = random.Random(seed), time.monotonic() + seconds
    while time.monotonic() < end:
        content = mutated(chance.choice(inputs), chance, prefix=search.target.name != "suite")
        search.attempt(content[:LARGEST_INPUT])


def _guided(search: Search, inputs: list[bytes], seconds: int, seed: int) -> None:
    """Search with libFuzzer, which ends the process itself: the report is printed when time is up."""
    end = time.monotonic() + seconds

    def attempt(content: bytes) -> None:
        search.attempt(content)
        if time.monotonic() > end:
            search.report()
            sys.stdout.flush()
            import os

            os._exit(0)

    def change(content: bytes, largest: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if chance.random() < 0.2:
            return bytes(atheris.Mutate(content, largest))
        return mutated(content, chance, prefix=search.target.name != "suite")[:largest]

    corpus = search.folder / "corpus"
    corpus.mkdir()
    for number, content in enumerate(inputs):
        (corpus / str(number)).write_bytes(content)
    options = [f"-max_len={LARGEST_INPUT}", f"-seed={seed + 1}", "-rss_limit_mb=3000", "-timeout=60", "-len_control=0"]
    atheris.Setup([sys.argv[0], str(corpus), *options], attempt, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
