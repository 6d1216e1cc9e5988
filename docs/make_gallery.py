"""Draw the pictures of the gallery from the published board of `sanity`, as `simbench plot` does, and make them small.

python docs/make_gallery.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).parent
BUNDLE = DOCS.parent / "leaderboard" / "sanity" / "bundle.zip"
PICTURES = DOCS / "pictures" / "gallery"
WANTED = ("grades", "standing", "heatmaps-identity", "heatmaps-arg_max")
# Few enough that the picture of grades can be read on a page.
TESTS = ("identity", "arg_max", "sample_size", "outliers")
# A page is about 700 points wide: twice of that is sharp on any screen.
WIDTH, COLOURS = 1400, 128


def main() -> None:
    """Write a PNG for every picture that the page shows."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "simbench", "plot", str(BUNDLE), "--out", folder, "--format", "png"]
        chosen = [part for test in TESTS for part in ("--test", test)]
        subprocess.run([*command, *chosen], check=True, stdout=subprocess.DEVNULL)
        for name in WANTED:
            with Image.open(Path(folder) / f"sanity-{name}.png") as picture:
                small = picture.convert("RGB")
                small.thumbnail((WIDTH, small.height))
                target = PICTURES / f"{name}.png"
                small.quantize(COLOURS).save(target, optimize=True)
                print(target, target.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
