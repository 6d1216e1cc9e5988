"""Show characters that steer a terminal, or that nobody sees, in place of sending them.

Names, reasons and paths come from bundles, suites and metrics of strangers: an escape sequence in one of them could
print "verified", a carriage return could hide what stands before it, and marks of direction could turn a line around.
"""

from __future__ import annotations

import json
import re
import unicodedata

# Control characters, marks of format and of direction, halves of characters, other ends of lines.
HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
# With one of these a spreadsheet takes a cell for a formula.
FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")

NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


def visible(text: str, *, lines: bool = False) -> str:
    r"""Return a text with an escape sequence for every character that is not seen; with `lines`, but for ends of lines.

    >>> print(visible("a\x1b[31mb\rc\u202ed"))
    a\x1b[31mb\rc\u202ed
    """
    if text.isprintable():
        return text
    return "".join(_escaped(char) if _hidden(char) and not (lines and char == "\n") else char for char in text)


def visible_json(text: str) -> str:
    r"""Return a JSON text with an escape sequence of JSON for every character that is not seen.

    >>> print(visible_json('"\x9b31m"'))
    "\u009b31m"
    """
    # `json.dumps` has escaped the first 32 characters but for the ends of lines between values.
    return "".join(json.dumps(char)[1:-1] if char != "\n" and _hidden(char) else char for char in text)


def defused(text: str) -> str:
    r"""Return a text as a cell of CSV that no spreadsheet takes for a formula; a number stays as it is.

    >>> defused("=1+1"), defused("-0.5"), defused("-x"), defused("a\tb")
    ("'=1+1", '-0.5', "'-x", 'a\\tb')
    """
    shown = visible(text)
    return f"'{shown}" if shown.lstrip().startswith(FORMULA) and not NUMBER.fullmatch(shown) else shown


def _hidden(char: str) -> bool:
    return not char.isprintable() and unicodedata.category(char) in HIDDEN


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
