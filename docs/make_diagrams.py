"""Draw the diagrams of the architecture: `docs/pictures/*.mmd` to SVG, by mermaid in a browser.

npm pack mermaid && tar xzf mermaid-*.tgz
python docs/make_diagrams.py package/dist/mermaid.min.js
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

PICTURES = Path(__file__).parent / "pictures"
# Without labels in HTML, a diagram is a picture like any other, also on GitHub.
SETTINGS = {"startOnLoad": False, "theme": "neutral", "htmlLabels": False, "flowchart": {"htmlLabels": False}}
# The same ground in a light and a dark page.
GROUND = 'style="background-color: white;'


def main(mermaid: Path) -> None:
    """Write an SVG beside every source."""
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.set_content("<body></body>")
        page.add_script_tag(path=mermaid)
        page.evaluate("settings => mermaid.initialize(settings)", SETTINGS)
        for source in sorted(PICTURES.glob("*.mmd")):
            drawing = page.evaluate(
                "async ([name, text]) => (await mermaid.render(name, text)).svg",
                [source.stem, source.read_text(encoding="utf-8")],
            )
            target = source.with_suffix(".svg")
            # At its own size, or smaller on a small screen, rather than as wide as a page.
            width = re.search(r'viewBox="[-\d.]+ [-\d.]+ ([\d.]+)', drawing)
            assert width is not None
            drawing = drawing.replace('width="100%"', f'width="{width[1]}"', 1).replace('style="', GROUND, 1)
            target.write_text(drawing + "\n", encoding="utf-8")
            print(target, target.stat().st_size, "bytes")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
