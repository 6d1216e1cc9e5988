"""Take the two pictures of the README from a published page: the matrix, and two metrics side by side.

python docs/screenshots.py leaderboard/sanity
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
BESIDE = ("cka", "stitch_task")
"""The headline of the sanity suite: CKA and stitching by task loss next to each other."""
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


def main(published: Path) -> None:
    """Write `docs/matrix.png` and `docs/side-by-side.png`."""
    metrics = [
        row["metric"] for row in json.loads((published / "leaderboard.json").read_text(encoding="utf-8"))["rows"]
    ]
    beside = [name for name in BESIDE if name in metrics] or metrics[:3]
    chosen = urlencode([("test", "identity"), *(("metrics", name) for name in beside)])
    views = {"matrix.png": "", "side-by-side.png": chosen}
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=executable, args=list(ARGUMENTS))
        for name, fragment in views.items():
            page = browser.new_page(viewport={"width": 1360, "height": 860}, color_scheme="light")
            page.goto(f"{(published / 'index.html').resolve().as_uri()}#{fragment}")
            page.locator("#shown").wait_for()
            # The keyboard's place is not part of the picture.
            page.evaluate("document.activeElement.blur()")
            page.screenshot(path=HERE / name)
            print(HERE / name, (HERE / name).stat().st_size, "bytes")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "leaderboard/sanity"))
