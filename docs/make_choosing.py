"""Write `choosing-an-index.md` from the verdicts of the published boards.

python docs/make_choosing.py
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from simbench.catalogue.entries import entries
from simbench.catalogue.kinds import ListedKind

DOCS = Path(__file__).parent
PAGE = DOCS / "choosing-an-index.md"
BOARDS = DOCS.parent / "leaderboard"
# Situations of a user, by the test kind that looks into them.
SITUATIONS = {
    "identity": "You read heat maps of layers",
    "correspondence": "You look for the counterpart of a layer in another network",
    "layer_monotonicity": "You follow how representations change with depth",
    "sample_size": "You have few inputs, or more units than inputs",
    "outliers": "A few of your inputs may lie far from the others",
    "noise_response": "You measure by how much something was disturbed",
    "noise_null": "Noise may pass for a layer",
    "untrained_control": "You ask what training adds to an architecture",
    "distribution_invariance": "You ask for what outputs say, whatever weights give them",
    "distribution_sensitivity": "You compare models that agree in their predictions",
    "group_separation": "You tell apart networks that were trained differently",
    "output_correlation": "You take similarity for a sign of like behaviour",
    "component_deletion": "You remove parts of a layer",
    "partial_overlap": "You ask how much two populations of units share",
    "matching_recovery": "You match units, or groups of units",
}
HEAD = """# How to choose an index

Written by `python docs/make_choosing.py` from the published boards; change it there.

1. **Say what you ask.** Rotations that matter to one question are noise to another: pick the
   [purpose](reading-verdicts.md#purposes) first. Indices of different purposes do not compete.
2. **Look up your situation below**, and leave out what fails there.
3. **Take two that are built differently**, and believe what both say. Of those that are left, the boards list
   [tiers](reading-verdicts.md#standing); within a tier, take the simplest.
4. **Try them on networks like yours.** The boards are of small networks on small data: a failure here is a reason to
   doubt, and a pass is no promise for what is far larger. [Your own checkpoints](models-of-your-own.md) or
   [activations](activations-of-your-own.md) take a few minutes, and a suite may `extends: sanity`.

Below, only decided verdicts count: *fails* names every index with a failure on some board, *passes* those with a pass
and no failure. Who was never decided, never asked, or does not owe the test is in neither list, and nothing is
concluded of it.
Boards, with the scores behind each verdict: [leaderboard](../leaderboard/README.md).
"""


class Decided(NamedTuple):
    """One decided verdict: of which index, in a test of which kind, on which board."""

    metric: str
    purpose: str
    kind: str
    board: str
    passed: bool


def decided(boards: Path = BOARDS) -> Iterator[Decided]:
    """Yield the decided verdicts of all boards on tests that the index owes; columns of tests are left out."""
    for path in sorted(boards.glob("*/leaderboard.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        kinds = {column["id"]: column["kind"] for column in document["columns"] if column["parent"] is None}
        for row in document["rows"]:
            for test, kind in kinds.items():
                cell = row["tests"][test]
                if cell["owed"] != "not promised" and cell["outcome"] in ("pass", "fail"):
                    purpose = next(iter(row["standing"]), "")
                    yield Decided(row["metric"], purpose, kind, path.parent.name, cell["outcome"] == "pass")


def page(boards: Path = BOARDS) -> str:
    """Return the text of the page."""
    verdicts = [verdict for verdict in decided(boards) if "(" not in verdict.metric]
    return HEAD + "".join(_situation(kind, text, verdicts) for kind, text in SITUATIONS.items())


def _situation(kind: str, text: str, verdicts: list[Decided]) -> str:
    """Return the section of one situation: by purpose, who passes and who fails, and where."""
    asked = [verdict for verdict in verdicts if verdict.kind == kind]
    failing: dict[str, set[str]] = defaultdict(set)
    for verdict in asked:
        if not verdict.passed:
            failing[verdict.metric].add(verdict.board)
    purposes = list(dict.fromkeys(verdict.purpose for verdict in asked))
    lines = []
    for purpose in sorted(purposes):
        metrics = sorted({verdict.metric for verdict in asked if verdict.purpose == purpose})
        passes = ", ".join(f"`{metric}`" for metric in metrics if metric not in failing)
        fails = ", ".join(f"`{metric}` ({_places(failing[metric])})" for metric in metrics if metric in failing)
        lines.append(f"| {purpose} | {passes or '–'} | {fails or '–'} |\n")
    return (
        f"\n## {text}\n\n{_summaries()[kind]} ([`{kind}`](test-kinds.md#{kind}))\n\n"
        f"| purpose | passes | fails |\n| --- | --- | --- |\n{''.join(lines)}"
    )


@cache
def _summaries() -> dict[str, str]:
    """Return what a sound index must show, by test kind."""
    return {entry.name: entry.summary for entry in entries(ListedKind.tests)}


def _places(boards: set[str]) -> str:
    return ", ".join(sorted(boards))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
