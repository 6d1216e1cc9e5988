"""The one Jinja environment of all pages: everything is escaped, an unknown name is an error."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

# What ends a script element, starts a comment, or is a line end in JavaScript but not in JSON.
UNSAFE = str.maketrans({one: f"\\u{ord(one):04x}" for one in "<>&\u2028\u2029"})


def render(template: str, **values: Any) -> str:
    """The text of a template of this package."""
    environment = Environment(
        loader=PackageLoader("simbench.publish"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(**values)


def source(name: str) -> Markup:
    """A script of ours, or a vendored one, as it is: its braces are not Jinja's."""
    text = files("simbench.publish").joinpath("templates", name).read_text(encoding="utf-8")
    if "</script" in text.lower() or "<!--" in text:
        raise ValueError(f"{name} cannot stand inside a script element")
    return Markup(text)


def script_json(value: Any) -> Markup:
    """JSON for a `<script type="application/json">`: nothing in it can end the element.

    >>> print(script_json({"name": "</script><!--"}))
    {"name":"\\u003c/script\\u003e\\u003c!--"}
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.translate(UNSAFE))
