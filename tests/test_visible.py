"""Characters that steer a terminal, or that nobody sees, are shown; a cell of CSV is never a formula."""

from __future__ import annotations

import json

import pytest

from simbench.visible import defused, visible, visible_json

HIDDEN = {
    "\x1b": r"\x1b", "\x07": r"\x07", "\x08": r"\x08", "\r": r"\r", "\n": r"\n", "\t": r"\t", "\x00": r"\x00",
    "\x7f": r"\x7f", "\x9b": r"\x9b", "\x85": r"\x85", "\u200b": r"\u200b", "\u200f": r"\u200f", "\u202e": r"\u202e",
    "\u2066": r"\u2066", "\u2028": r"\u2028", "\ufeff": r"\ufeff", "\u00ad": r"\xad", "\ud800": r"\ud800",
    "\U000e0041": r"\U000e0041",
}  # fmt: skip


@pytest.mark.parametrize("char", HIDDEN, ids=HIDDEN.values())
def test_a_character_that_is_not_seen_is_shown(char: str) -> None:
    assert visible(f"a{char}b") == f"a{HIDDEN[char]}b"


@pytest.mark.parametrize("text", ["Kornblith ‖ỸᵀX̃‖² → ✓", "名前", "naïve é", "10 %", "🙂", "a b", ""])
def test_what_is_seen_stays(text: str) -> None:
    assert visible(text) == text


def test_ends_of_lines_stay_where_lines_are_printed() -> None:
    assert visible("a\nb\r\nc", lines=True) == "a\nb\\r\nc"


@pytest.mark.parametrize("char", HIDDEN, ids=HIDDEN.values())
def test_json_with_such_characters_says_the_same(char: str) -> None:
    document = {f"a{char}": [char, "é"]}
    text = visible_json(json.dumps(document, ensure_ascii=False, indent=1))
    assert json.loads(text) == document
    assert visible(text, lines=True) == text
    assert "é" in text


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-2+3+cmd|' /C calc'!A0", "@SUM(1)", " =1", "＝1", "-x", "+", "-inf"])
def test_a_formula_becomes_text(text: str) -> None:
    assert defused(text) == f"'{text}"


@pytest.mark.parametrize("text", ["\t=1", "\r=1", "\n=1"])
def test_a_formula_behind_a_character_that_is_not_seen_becomes_text(text: str) -> None:
    assert defused(text).startswith("\\")


@pytest.mark.parametrize("text", ["-0.5", "+1e-3", "-.5", "-3", "cka", "a=b", "a-b", "", "‑5"])
def test_numbers_and_other_texts_stay(text: str) -> None:
    assert defused(text) == text
