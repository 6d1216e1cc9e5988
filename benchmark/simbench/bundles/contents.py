"""Parse the files of a bundle into strict types, without importing, executing or unpickling anything.

| file | content |
| --- | --- |
| `manifest.json` | the suite, the versions of the formats, every other file with its size and SHA-256 |
| `suite.yaml` | the suite as resolved: `extends` merged, defaults filled in, no path of the author's machine |
| `metrics.json` | what each metric declares, its identity, where its source stands, and the hash of that source |
| `scores/<metric>.jsonl` | one score record a line, by key |
| `provenance.json` | where and how the scores were taken, by the id that each record names |
| `leaderboard.json` | the board that the author claims |
| `models/<key>/…` | (if asked for) the trained weights |
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from simbench.board.document import DOCUMENT, SCHEMA_VERSION, SchemaVersion, wrong_version
from simbench.bundles.archive import MANIFEST, METRICS, PROVENANCE, SUITE, BadBundleError, Files, sha256
from simbench.bundles.metric_record import MetricRecord
from simbench.bundles.portable_suite import read_suite
from simbench.plan.keys import KEY_SCHEME
from simbench.results.record import ScoreRecord
from simbench.results.store import MODEL_RECORD, MODEL_WEIGHTS
from simbench.suite.schema import Suite

FORMAT: Literal["simbench-bundle"] = "simbench-bundle"
REQUIRED = (SUITE, METRICS, PROVENANCE, DOCUMENT)
MODEL_FILES = (MODEL_WEIGHTS, MODEL_RECORD)
DEEPEST = 30
# Entries of a board's provenance that its maker states: the bundles it was merged from, and the simbench that made it.
# In the order of JSON with sorted keys.
STATED = ("bundles", "made_with")

M = TypeVar("M", bound=BaseModel)


class FileEntry(BaseModel):
    """One file of the manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


class Manifest(BaseModel):
    """`manifest.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["simbench-bundle"]
    schema_version: SchemaVersion
    key_scheme: int
    suite: str
    version: int
    files: dict[str, FileEntry]


@dataclass(frozen=True)
class Contents:
    """A bundle, parsed. Nothing in it is believed yet."""

    manifest: Manifest
    files: Files
    suite: Suite
    metrics: tuple[MetricRecord, ...]
    scores: Mapping[str, tuple[ScoreRecord, ...]]
    """Per metric label; a list, since a forged bundle may hold a key twice."""
    provenance: Mapping[str, Mapping[str, Any]]
    leaderboard: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """The name of this bundle: the checksum of its manifest, and so of every file in it."""
        return sha256(self.files[MANIFEST])

    @property
    def title(self) -> str:
        """`suite@version`."""
        return self.suite.title

    @property
    def stated(self) -> dict[str, Any]:
        """Statements of the claimed board on its own making, which follow from no score."""
        provenance = self.leaderboard.get("provenance")
        return {name: provenance[name] for name in STATED if name in provenance} if isinstance(provenance, dict) else {}

    @property
    def model_keys(self) -> set[str]:
        """The models whose weights are in the bundle."""
        return {name.split("/")[1] for name in self.files if name.startswith("models/")}


def manifest_for(files: Files, suite: Suite) -> bytes:
    """Return the manifest of these files."""
    entries = {name: FileEntry(sha256=sha256(files[name]), bytes=len(files[name])) for name in sorted(files)}
    manifest = Manifest(
        format=FORMAT,
        schema_version=SCHEMA_VERSION,
        key_scheme=KEY_SCHEME,
        suite=suite.suite,
        version=suite.version,
        files=entries,
    )
    return json_bytes(manifest.model_dump(mode="json"))


def json_bytes(document: Any) -> bytes:
    """Return JSON as bundles hold it: sorted, indented, no NaN."""
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def checksum_problems(files: Files, manifest: Manifest) -> list[tuple[str, str]]:
    """Return (file, problem) for every file that the manifest does not account for."""
    problems = [(name, "is not in the manifest") for name in files if name != MANIFEST and name not in manifest.files]
    for name, entry in manifest.files.items():
        if name not in files:
            problems.append((name, "is in the manifest and not in the bundle"))
        elif len(files[name]) != entry.bytes or sha256(files[name]) != entry.sha256:
            problems.append((name, "does not have the checksum that the manifest says"))
    return sorted(problems)


def parse_manifest(files: Files) -> Manifest:
    """Read the manifest; `BadBundleError` where there is none, or one of another version."""
    if MANIFEST not in files:
        raise BadBundleError(f"no {MANIFEST}: not a bundle (`simbench publish SUITE --bundle FILE` writes one)")
    raw = parse_json(MANIFEST, files[MANIFEST])
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if isinstance(version, int) and version != SCHEMA_VERSION:
        raise BadBundleError(wrong_version(f"{MANIFEST}: this bundle", version))
    manifest = _typed(Manifest, MANIFEST, files[MANIFEST])
    if manifest.key_scheme != KEY_SCHEME:
        raise BadBundleError(f"{MANIFEST}: key scheme {manifest.key_scheme}; this simbench has {KEY_SCHEME}")
    return manifest


def parse(files: Files) -> Contents:
    """Parse the contents of a bundle.

    Raises:
        BadBundleError: a file is missing, of a wrong type, or not what a bundle may hold; says which and where.
    """
    manifest = parse_manifest(files)
    for name in REQUIRED:
        if name not in files:
            raise BadBundleError(f"no {name} in the bundle")
    metrics = _metrics(files)
    expected = {MANIFEST, *REQUIRED, *(metric.scores for metric in metrics)}
    for name in sorted(set(files) - expected):
        if not _is_model_file(name):
            raise BadBundleError(f"{name}: not a file that a bundle holds")
    suite = read_suite(files[SUITE])
    if (manifest.suite, manifest.version) != (suite.suite, suite.version):
        raise BadBundleError(f"{MANIFEST} is of {manifest.suite}@{manifest.version}, {SUITE} of {suite.title}")
    provenance = parse_json(PROVENANCE, files[PROVENANCE])
    leaderboard = parse_json(DOCUMENT, files[DOCUMENT])
    if not isinstance(provenance, dict) or not all(isinstance(facts, dict) for facts in provenance.values()):
        raise BadBundleError(f"{PROVENANCE}: expected an object of objects, by run")
    if not isinstance(leaderboard, dict):
        raise BadBundleError(f"{DOCUMENT}: expected an object")
    scores = {metric.label: _records(metric.scores, files) for metric in metrics}
    return Contents(manifest, files, suite, metrics, scores, provenance, leaderboard)


def parse_json(name: str, content: bytes) -> Any:
    """Parse JSON proper: UTF-8, no NaN, no Infinity, no number beyond a float, nothing absurdly deep."""

    def refuse(constant: str) -> Any:
        raise BadBundleError(f"{name}: {constant} is not JSON")

    def finite(text: str) -> float:
        value = float(text)
        return value if abs(value) < float("inf") else refuse(text)

    try:
        document = json.loads(content.decode("utf-8"), parse_constant=refuse, parse_float=finite)
    except (ValueError, RecursionError) as error:
        raise BadBundleError(f"{name}: not JSON: {str(error)[:200]}") from None
    if _depth(document) > DEEPEST:
        raise BadBundleError(f"{name}: nested more than {DEEPEST} deep")
    return document


def _depth(document: Any, depth: int = 0) -> int:
    if depth > DEEPEST:
        return depth
    inner = document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    return max((_depth(child, depth + 1) for child in inner), default=depth)


def _is_model_file(name: str) -> bool:
    parts = name.split("/")
    return len(parts) == 3 and parts[0] == "models" and parts[2] in MODEL_FILES


def _metrics(files: Files) -> tuple[MetricRecord, ...]:
    parse_json(METRICS, files[METRICS])
    try:
        recorded = TypeAdapter(list[MetricRecord]).validate_json(files[METRICS], strict=True)
    except (ValidationError, RecursionError) as error:
        raise BadBundleError(f"{METRICS}: {_first(error)}") from None
    for attribute in ("label", "scores"):
        values = [getattr(metric, attribute) for metric in recorded]
        if len(set(values)) != len(values):
            raise BadBundleError(f"{METRICS}: two metrics have the same {attribute}")
    return tuple(recorded)


def _records(name: str, files: Files) -> tuple[ScoreRecord, ...]:
    if name not in files:
        raise BadBundleError(f"no {name} in the bundle")
    records = []
    for number, line in enumerate(files[name].splitlines(), 1):
        try:
            records.append(ScoreRecord.model_validate_json(line, strict=True))
        except (ValidationError, RecursionError) as error:
            raise BadBundleError(f"{name}:{number}: {_first(error)}") from None
    return tuple(records)


def _typed(model: type[M], name: str, content: bytes) -> M:
    try:
        return model.model_validate_json(content, strict=True)
    except (ValidationError, RecursionError) as error:
        raise BadBundleError(f"{name}: {_first(error)}") from None


def _first(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return "nested too deep"
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
