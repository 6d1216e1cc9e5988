"""Hooks of mkdocs: pages and boards from outside of this folder, and the links between them.

The repository stays readable as it is: pages link to `../leaderboard/README.md` or `../CHANGELOG.md`. In the site these
are the boards to explore and a page.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# Pages of the repository that are pages of the site, too.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
# Files that the site shows as they are.
FILES = {
    "LICENSE": "LICENSE.txt",
    "CITATION.cff": "CITATION.cff",
    ".github/workflows/submission.yml": "submission.yml",
    "leaderboard/README.md": "leaderboard/index.html",
}
BOARDS = "leaderboard"
# Links and pictures in Markdown: the text in brackets, a target without spaces.
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)(?=[)#])")
# Of a published board: the page and the data that it links to, but for tables in Markdown.
SHOWN = {".html", ".json", ".csv", ".parquet", ".zip"}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages of the repository and the published boards."""
    from mkdocs.structure.files import File

    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    for source, name in FILES.items():
        if not source.startswith(BOARDS):
            files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
    for path in sorted((ROOT / BOARDS).rglob("*")):
        if path.suffix in SHOWN:
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Have links lead to where their targets are in the site, and commands look like commands.

    As `console`, a line without a prompt is shown in grey, like output.
    """
    return relinked(markdown, page.file.src_uri).replace("```console\n", "```bash\n")


def relinked(markdown: str, page: str) -> str:
    """Return the text of a page with the links of the repository turned into those of the site.

    >>> relinked("[boards](../leaderboard/README.md#now) [start](x.md)", "suites.md")
    '[boards](leaderboard/index.html#now) [start](x.md)'
    >>> relinked("![](docs/matrix.png) [log](CHANGELOG.md)", "index.md")
    '![](matrix.png) [log](changelog.md)'
    """
    sources = {name: source for source, name in PAGES.items()}
    place = posixpath.dirname(sources.get(page, f"docs/{page}"))

    def replace(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(place, match[1]))
        inside = {**PAGES, **FILES}.get(target, target.removeprefix("docs/"))
        return posixpath.relpath(inside, posixpath.dirname(page) or ".")

    return LINK.sub(replace, markdown)
