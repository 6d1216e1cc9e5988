"""Names of files with a place for the seed or the name of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from simbench.references import ModelRef

# Places in the names of files, each filled in with the seed or the name of a model.
SEED, MEMBER = "{seed}", "{member}"


def filled(template: str, model: ModelRef) -> str:
    """Return the name of a model's file.

    >>> filled("runs/{seed}.pt", ModelRef("mine", 3))
    'runs/3.pt'
    """
    return template.replace(SEED if model.member is None else MEMBER, model.own_name)


def check_placeholders(key: str, template: str, members: list[str] | None) -> None:
    """Raise `ValueError` if the name of a file has a place for what its group does not have."""
    if MEMBER in template and members is None:
        raise ValueError(f"`{key}` has a place for {MEMBER}: give `members`, a list of names")
    if SEED in template and members is not None:
        raise ValueError(f"`{key}` has a place for {SEED}, and `members` have none: write {MEMBER}")


def check_listed(
    key: str, files: Mapping[str, str | Mapping[str, str]], members: Sequence[str], layers: Sequence[str]
) -> None:
    """Raise `ValueError` if files are listed for some of the members or layers only."""
    for member in members:
        arrays = files.get(member)
        if arrays is None:
            raise ValueError(f"`{key}` leaves out {member}")
        if not arrays:
            raise ValueError(f"`{key}` of {member} names no files")
        if not isinstance(arrays, str) and not set(layers) <= arrays.keys():
            raise ValueError(f"`{key}` of {member} leaves out some of the `layers`")
