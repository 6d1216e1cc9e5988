"""Render pages in one Jinja environment: everything is escaped, and an unknown name is an error."""

from __future__ import annotations

import base64
import json
import re
import zlib
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

# Script elements of this type hold packed text; `unpack.js` replaces each by the element that it is.
PACKED_TYPE = "application/zlib"
PACKED_ELEMENT = re.compile(rf'(<script type="{PACKED_TYPE}"[^>]*>)([^<]*)'.encode())
# A page that unpacks to more than this is not read.
LARGEST_PART = 2**26


def render(template: str, **values: Any) -> str:
    """Return the text of a template of this package."""
    environment = Environment(
        loader=PackageLoader("simbench.publish"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(**values)


def source(name: str) -> str:
    """Return the text of a script of ours, or of a vendored one."""
    return files("simbench.publish").joinpath("templates", name).read_text(encoding="utf-8")


def compact_json(value: Any) -> str:
    """Return JSON without spaces."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def packed(text: str) -> str:
    """Return a text as it lies in a page, compressed: nothing in it can end its element.

    >>> "<" in packed("</script>")
    False
    """
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def unpacked(page: bytes) -> bytes:
    """Return a page with its packed parts in clear, as builds of zlib differ in how they pack; for comparison only.

    A part that is damaged, or too large to be read, stays as it is.

    >>> unpacked(f'<script type="application/zlib">{packed("1 + 1")}</script>'.encode())
    b'<script type="application/zlib">1 + 1</script>'
    """

    def in_clear(element: re.Match[bytes]) -> bytes:
        stream = zlib.decompressobj()
        try:
            text = stream.decompress(base64.b64decode(element[2], validate=True), LARGEST_PART)
        except (ValueError, zlib.error):
            return element[0]
        return element[1] + text if stream.eof and not stream.unused_data else element[0]

    return PACKED_ELEMENT.sub(in_clear, page)
