"""A console that shows control characters in place of sending them, and takes no text for markup."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from simbench.visible import visible


class VisibleConsole(Console):
    """Console of which every printed text is visible, whatever it was made of; styles are the console's own."""

    def __init__(self, **options: Any) -> None:
        """Take the options of a rich console."""
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        """Make a text of a string, before rich drops some control characters from it."""
        return super().render_str(visible(text, lines=True), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render anything, also what was made without `shown`."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text, lines=True), segment.style)


def shown(text: object, style: str = "", *, lines: bool = False) -> Text:
    """Return a text for a table, on one line unless `lines`, with all its characters visible."""
    return Text(visible(str(text), lines=lines), style=style)
