"""Read YAML that a stranger may have written, within bounds of time and memory.

Guaranteed: however a file is made, reading it ends soon, or it is refused with the place and the reason. What is read
are mappings, lists and plain values; no tag makes anything else, and no number leaves 64 bits.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml
from yaml.composer import Composer

# A suite of a thousand groups of models has a quarter of these bytes and half of these values.
LARGEST_SUITE = 2**20
MOST_VALUES = 50_000
DEEPEST = 40
LONGEST_TEXT = 20_000
LONGEST_KEY = 200
# No number of a suite needs more digits, and long ones are slow to read.
LONGEST_NUMBER = 400
# Lines of `%YAML` and `%TAG`; the time to read them grows with the square of their number.
MOST_DIRECTIVES = 100
# Control characters, but for those that lay out a text, and halves of characters, which no file can hold.
REFUSED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
DIRECTIVE = re.compile("^%", re.MULTILINE)
MERGED_TAG = "tag:yaml.org,2002:merge"
NOT_IN_YAML_1_2 = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp", MERGED_TAG)
# Floats of YAML 1.2 that PyYAML takes for text.
FLOAT, FLOAT_STARTS = "tag:yaml.org,2002:float", list("-+.0123456789")
FLOAT_PATTERN = re.compile(r"^[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
TEXT = "tag:yaml.org,2002:str"
# What PyYAML's constructors raise for a value that contradicts its tag, such as `!!int ""`.
BAD_VALUE = (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, ArithmeticError)

# The parser in C is seven times as fast; it comes with PyYAML's wheels.
_Parser: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


class TooLargeError(yaml.MarkedYAMLError):
    """The document asks for more than a suite may hold."""


class BoundedLoader(Composer, _Parser):  # type: ignore[misc]
    """Loader with YAML 1.2's floats (`1e-3`) and booleans (`on` and `yes` are words), which PyYAML reads otherwise."""

    def __init__(self, text: str) -> None:
        """Start at the beginning of a text."""
        _Parser.__init__(self, text)
        Composer.__init__(self)
        self._values = self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose the next value, unless it is one too many or one too deep."""
        self._values += 1
        self._depth += 1
        if self._values > MOST_VALUES:
            raise TooLargeError(None, None, f"more than {MOST_VALUES} keys and values", self.peek_event().start_mark)
        if self._depth > DEEPEST:
            raise TooLargeError(None, None, f"nested more than {DEEPEST} deep", self.peek_event().start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def scalar(self, node: yaml.Node) -> Any:
        """Return the value of a scalar.

        Raises:
            ValueError: it is no value that a suite may hold; says why. `readable` makes text of it.
        """
        longest = LONGEST_TEXT if node.tag == TEXT else LONGEST_NUMBER
        if len(node.value) > longest:
            raise ValueError(f"a value of {len(node.value)} characters; at most {longest} are read")
        refused = REFUSED.search(node.value)
        if refused is not None:
            raise ValueError(f"the character U+{ord(refused[0]):04X} may not stand in a suite")
        try:
            value = self.construct_object(node)
        except BAD_VALUE as error:
            said = str(error) if isinstance(error, ValueError | yaml.YAMLError) else ""
            kind = node.tag.rpartition(":")[2]
            raise ValueError(said.partition("\n")[0] or f"not a value of the type {kind}") from None
        if isinstance(value, bool | str | None):
            return value
        if not isinstance(value, int | float):
            raise ValueError(f"a value of type {type(value).__name__} may not stand in a suite")
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            raise ValueError("not a number of 64 bits")
        if not math.isfinite(value):
            raise ValueError("not a finite number of 64 bits")
        return value


BoundedLoader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag not in NOT_IN_YAML_1_2]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
BoundedLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
BoundedLoader.add_implicit_resolver(FLOAT, FLOAT_PATTERN, FLOAT_STARTS)


def composed(text: str) -> yaml.Node | None:
    """Return the tree of a document; None if it is empty.

    Raises:
        yaml.YAMLError: it is not YAML, or too large.
    """
    if len(text) > LARGEST_SUITE:
        raise TooLargeError(None, None, f"more than {LARGEST_SUITE} characters")
    if len(DIRECTIVE.findall(text)) > MOST_DIRECTIVES:
        raise TooLargeError(None, None, f"more than {MOST_DIRECTIVES} lines that begin with %")
    return yaml.compose(text, BoundedLoader)


def readable(text: str) -> str:
    """Return a text with a replacement for every character that is refused, cut to the length of a key."""
    return REFUSED.sub("\ufffd", text[:LONGEST_KEY])
