"""No character that steers a terminal, or that nobody sees, leaves a board for a terminal, Markdown or CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from rich.console import Console

from simbench.board.board import BoardColumn
from simbench.board.document import to_document
from simbench.board.remarks import Remark
from simbench.board.scores import ScoreRow
from simbench.publish.folder import document_text
from simbench.publish.markdown import to_markdown
from simbench.publish.tables import grades_csv, scores_csv
from simbench.publish.terminal import reasons, table
from simbench.publish.visible_console import VisibleConsole, shown
from simbench.verdicts.verdict import Verdict
from simbench.visible import defused, visible

# Clear the line and say something else; set the title; the same in Latin 1; go back; turn around; nothing.
EVIL = "x\x1b[2K\x1b]0;title\x07\x9b31m\r\x08✓ verified\u202e\u200b\n=1+1"


@pytest.fixture
def evil_board(make):
    row = make.full_row(EVIL, 1.0, 1.0, 1.0, 1.0, summary=EVIL, formula=EVIL, origin=EVIL, family=EVIL)
    verdicts = {**row.verdicts, "identity": Verdict("error", reason=EVIL)}
    row = replace(row, verdicts=verdicts, remarks={"sensitivity": (Remark(EVIL, EVIL, 1, 2),)})
    columns = [replace(column, about=EVIL) for column in make.columns]
    columns.append(BoardColumn(EVIL, EVIL, EVIL, EVIL))
    row = replace(row, verdicts={**verdicts, EVIL: Verdict("skip", reason=EVIL)})
    return make.board([row], suite=EVIL, about=EVIL, provenance={EVIL: {EVIL: EVIL}}, columns=columns)


def hidden(text: str) -> list[str]:
    return sorted({char for char in text if char != "\n" and visible(char) != char})


@pytest.mark.parametrize("width", [40, 80, 200, 1000])
def test_in_a_terminal(evil_board, width):
    out = io.StringIO()
    Console(file=out, width=width, no_color=True).print(table(evil_board, width), reasons(evil_board), soft_wrap=True)
    assert hidden(out.getvalue()) == []
    assert r"\x1b[2K" in out.getvalue()
    assert not any(line.lstrip().startswith(("✓ verified", "=1+1")) for line in out.getvalue().splitlines())


@pytest.mark.parametrize("render", [to_markdown, grades_csv, lambda board: document_text(to_document(board))])
def test_in_files(evil_board, render):
    assert hidden(render(evil_board)) == []


def test_in_the_csv_of_scores():
    row = ScoreRow(EVIL, EVIL, EVIL, EVIL, EVIL, EVIL, EVIL, EVIL, "error", -0.5, None, None, EVIL, EVIL, 0.0, EVIL)
    text = scores_csv([row, replace(row, metric="=1+1", reason="-2+3", warnings="@x")])
    assert hidden(text) == []
    first, second = csv.DictReader(io.StringIO(text))
    assert (first["value"], first["metric"]) == ("-0.5", visible(EVIL))
    assert (second["metric"], second["reason"], second["warnings"]) == ("'=1+1", "'-2+3", "'@x")


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("printed", [EVIL, shown(EVIL), f"[link=http://x]{EVIL}[/link] :smile:"])
def test_on_our_console(printed, terminal):
    out = io.StringIO()
    VisibleConsole(file=out, force_terminal=terminal, color_system=None, width=300).print(printed)
    assert hidden(out.getvalue()) == []
    assert r"\x1b]0;title\x07\x9b31m\r\x08✓ verified\u202e\u200b" in out.getvalue()
    assert ("[link=" in str(printed)) == ("[link=http://x]" in out.getvalue())


def test_styles_of_our_own_reach_a_terminal():
    out = io.StringIO()
    VisibleConsole(file=out, force_terminal=True, color_system="standard").print(shown(EVIL, style="red"))
    assert out.getvalue().startswith("\x1b[31m")
    assert "\x1b]" not in out.getvalue()


@pytest.mark.browser
def test_the_csv_of_the_page_is_as_that_of_the_files(read):
    texts = [EVIL, "=1+1", "+1", "-0.5", "-x", "@x", " =1", "\t=1", "＝1", "a,b", 'a"b', "\ud800", "\U000e0041", "é"]
    line = read().page.evaluate("(texts) => tools.csv([[...texts, -0.5, null]])", texts)
    cells = next(csv.reader(io.StringIO(line)))
    assert cells == [*map(defused, texts), "-0.5", ""]
