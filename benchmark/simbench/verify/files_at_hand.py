"""Put files that are here in the place of the hashes that a bundle knows them by, so that scores can be taken again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from simbench.errors import SimbenchError
from simbench.files import file_digest
from simbench.models.weight_files import FILE_SUFFIXES
from simbench.suite.array_outlines import OUTLINES
from simbench.suite.schema import ModelSpec, Suite

SUFFIXES = (*OUTLINES, *FILE_SUFFIXES)


def with_files(suite: Suite, folders: Sequence[Path]) -> Suite:
    """Return the suite of a bundle with the files in some folders, and below, in place of their hashes.

    Raises:
        SimbenchError: there is no such folder.
    """
    wanted = {_hash(reference) for spec in suite.models.values() for reference in _references(spec)}
    files: dict[str, Path] = {}
    for folder in folders if wanted else ():
        if not folder.is_dir():
            raise SimbenchError(f"--files takes a folder; {folder} is none")
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in SUFFIXES and path.is_file() and wanted - files.keys():
                files.setdefault(file_digest(path), path.resolve())
    return suite.model_copy(update={"models": {name: _with(spec, files) for name, spec in suite.models.items()}})


def _references(spec: ModelSpec) -> Iterator[str]:
    """Yield all references of a group to files."""
    for source in (spec.load, spec.activations, spec.fit, spec.targets, spec.fit_targets):
        yield from _texts(source)


def _texts(source: Any) -> Iterator[str]:
    if isinstance(source, str):
        yield source
    elif isinstance(source, dict):
        for inner in source.values():
            yield from _texts(inner)


def _hash(reference: str) -> str:
    return reference.partition(":")[0]


def _with(spec: ModelSpec, files: Mapping[str, Path]) -> ModelSpec:
    keys = ("load", "activations", "fit", "targets", "fit_targets")
    return spec.model_copy(update={key: _placed(getattr(spec, key), files) for key in keys})


def _placed(source: Any, files: Mapping[str, Path]) -> Any:
    """Return a source with paths in place of the hashes of files that are here."""
    if isinstance(source, dict):
        return {name: _placed(inner, files) for name, inner in source.items()}
    if not isinstance(source, str) or _hash(source) not in files:
        return source
    return f"{files[_hash(source)]}{source[len(_hash(source)) :]}"
