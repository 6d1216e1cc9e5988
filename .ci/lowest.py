"""Print the lowest versions that pyproject.toml declares, as constraints for pip.

python .ci/lowest.py > lowest.txt
PIP_CONSTRAINT=lowest.txt make test
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)\s*>=\s*(?P<version>[0-9][0-9A-Za-z.]*)(\s*;.*)?$")


def lowest(requirements: Iterable[str]) -> list[str]:
    """Return a constraint for every requirement that has a lower bound, each package once, sorted.

    >>> lowest(["numpy>=1.26", "types-PyYAML", "numpy>=1.26"])
    ['numpy==1.26.*']

    Raises:
        ValueError: a requirement is neither `name` nor `name>=version`, but for a marker, or two bounds differ.
    """
    bounds: dict[str, str] = {}
    for requirement in requirements:
        if re.fullmatch(r"[A-Za-z0-9._-]+", requirement):
            continue
        match = REQUIREMENT.match(requirement)
        if match is None:
            raise ValueError(f"neither a name nor a lower bound: {requirement}")
        # With `.*`, pip may take the last repair of that release, and a post-release where there is no other.
        constraint = f"{match['name']}=={match['version']}.*"
        if bounds.setdefault(match["name"].lower(), constraint) != constraint:
            raise ValueError(f"two lower bounds of {match['name']}: {bounds[match['name'].lower()]} and {constraint}")
    return sorted(bounds.values(), key=str.lower)


def declared() -> list[str]:
    """Return every requirement of the project and its extras."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    return [
        *project["dependencies"],
        *(requirement for extra in project["optional-dependencies"].values() for requirement in extra),
    ]


if __name__ == "__main__":
    print("\n".join(lowest(declared())))
