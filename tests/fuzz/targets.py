"""The readers that are fuzzed: of suites, of bundles and of the store. Each takes bytes; it may raise what it declares.

Anything else that a reader raises is a defect: a stranger's file, or a damaged one, ends in a traceback.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import numpy as np
import torch

from simbench.board.document import to_document
from simbench.bundles.archive import MANIFEST, read_files, zipped
from simbench.bundles.contents import parse
from simbench.bundles.pack import pack
from simbench.cli.source import board_and_evidence
from simbench.data.caching import cached_arrays
from simbench.errors import SimbenchError
from simbench.models.checkpoint import verified
from simbench.models.model_record import CorruptError
from simbench.plan.plan import check_plan, make_plan
from simbench.plan.suite_metrics import gather_metrics
from simbench.publish.folder import document_text
from simbench.publish.markdown import to_markdown
from simbench.publish.tables import grades_csv, scores_csv
from simbench.representations.storage import DamagedError, read_activations, save_activations
from simbench.results.provenance import identifier
from simbench.results.record import Block, ScoreRecord
from simbench.results.sealed import seal
from simbench.results.store import MODEL_RECORD, MODEL_WEIGHTS, Store
from simbench.suite.load import load_suite
from simbench.verify.published import published_board
from simbench.verify.regrade import check_files, check_grades
from simbench.visible import visible

CORPUS = Path(__file__).parent / "corpus"
# Provenance of scores that nobody took.
FACTS: dict[str, Any] = {"commit": None}
# What a reader of these files may raise.
DECLARED = (SimbenchError, CorruptError, DamagedError)
SUITE_TEXT = """\
suite: small
version: 1
about: For tests.
probe: {dataset: digits, split: test, inputs: 60, fit: {split: train, inputs: 120}}
models:
  net:
    architecture: {name: mlp, width: 8, depth: 3}
    train: {dataset: digits, epochs: 1, distil: {teacher: base}}
    seeds: [0, 1]
  base: {like: net, train: {label_noise: 0.5, distil: null}}
metrics: [cka, {name: svcca, variance: 0.9}]
tests:
  - {id: first, kind: identity, models: [net]}
  - {id: second, kind: invariance, models: [net], transforms: [permutation, {name: invertible_linear, condition: 10.0}]}
  - {id: third, kind: correspondence, models: [net], distance: 1, pass_if: ">= 0.5"}
"""
OTHER_KINDS = "".join(
    f"  - {{id: {kind}, kind: {kind}{rest}}}\n"
    for kind, rest in {
        "sample_size": ", inputs: [50, 100], ratios: [0.5, 1.0]",
        "partial_overlap": ", units: 8, rows: 20, seeds: [0]",
        "distribution_sensitivity": ", generators: [permuted_clusters], classes: [7], rho: [5.0]",
        "output_correlation": ", models: [net], against: [accuracy_difference]",
        "layer_monotonicity": ", models: [net], layers: [block1, block3]",
        "noise_null": ", models: [net], layers: 2",
        "upper_bound": ", models: [net]",
    }.items()
)


@dataclass(frozen=True)
class Target:
    """A reader, and inputs that it accepts, from which others are made."""

    name: str
    read: Callable[[bytes, Path], None]
    seeds: Callable[[], list[bytes]]

    def check(self, content: bytes, folder: Path) -> None:
        """Read an input; raise whatever the reader does not declare."""
        with warnings.catch_warnings(), contextlib.suppress(*DECLARED):
            warnings.simplefilter("ignore")
            self.read(content, folder)

    def corpus(self) -> list[tuple[str, bytes]]:
        """Return the inputs that once broke the reader, or may, by name."""
        return [(path.name, path.read_bytes()) for path in sorted((CORPUS / self.name).iterdir())]


def _refuse(reference: str) -> Any:
    raise SimbenchError(f"not imported: {reference}")


@contextlib.contextmanager
def _without_imports() -> Iterator[None]:
    """Import nothing that an input names: it would be executed."""
    with (
        mock.patch("simbench.suite.names.import_reference", _refuse),
        mock.patch("simbench.metrics.resolve.import_reference", _refuse),
    ):
        yield


def _read_suite(content: bytes, folder: Path) -> None:
    path = folder / "suite.yaml"
    path.write_bytes(content)
    with _without_imports():
        suite = load_suite(str(path))
        check_plan(suite, gather_metrics(suite))


def _suites() -> list[bytes]:
    return [SUITE_TEXT.encode(), (SUITE_TEXT + OTHER_KINDS).encode(), b"extends: quick\nversion: 2\nmetrics: default\n"]


@cache
def base_bundle() -> dict[str, bytes]:
    """Return the files of an honest bundle, whose scores nobody measured."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "suite.yaml"
        path.write_text(SUITE_TEXT)
        suite = load_suite(str(path))
    metrics = gather_metrics(suite)
    plan = make_plan(suite, metrics)
    records = {
        planned.metric.label: {
            key: _record(key, planned.metric.identity, dict(planned.metric.parameters), pair, plan)
            for key, pair in planned.scores.items()
        }
        for planned in plan.metrics
    }
    return pack(suite, metrics, records, {identifier(FACTS): FACTS}).files


def _record(key: str, metric: str, parameters: dict[str, Any], pair: Any, plan: Any) -> ScoreRecord:
    return ScoreRecord(
        key=key,
        metric=metric,
        parameters=parameters,
        a=str(pair.a),
        b=str(pair.b),
        a_key=plan.representation_key(pair.a, with_fit=False),
        b_key=plan.representation_key(pair.b, with_fit=False),
        status="ok",
        value=0.5,
        warnings=("saturated: 3 of 4",),
        seconds=0.1,
        suite="small@1",
        provenance=identifier(FACTS),
    )


def _read_bundle(content: bytes, folder: Path) -> None:
    """Read a bundle with one file replaced; the first byte says which, or that all is the zip itself."""
    base = base_bundle()
    names = sorted(base)
    which = content[0] if content else 0
    if which >= len(names):
        path = folder / "bundle.zip"
        path.write_bytes(content[1:])
        files = read_files(path)
    else:
        files = _resealed({**base, names[which]: content[1:]}, keep=names[which] == MANIFEST)
    contents = parse(files)
    check_files(contents)
    check_grades(contents)
    board, scores = published_board(contents)
    for text in (to_markdown(board), grades_csv(board), scores_csv(scores), document_text(to_document(board, scores))):
        assert visible(text, lines=True) == text


def _resealed(files: dict[str, bytes], *, keep: bool) -> dict[str, bytes]:
    """Return the files with a manifest that fits them, as a forger leaves them."""
    if keep:
        return files
    manifest = json.loads(files[MANIFEST])
    for name, entry in manifest["files"].items():
        entry.update(sha256=hashlib.sha256(files[name]).hexdigest(), bytes=len(files[name]))
    return {**files, MANIFEST: json.dumps(manifest).encode()}


def _bundles() -> list[bytes]:
    base = base_bundle()
    return [bytes([n]) + base[name] for n, name in enumerate(sorted(base))] + [b"\xff" + zipped(base)]


# The files of a store that a first byte chooses.
KEY = "ab" * 32
PLACES = (
    *("scores/cka@1/block.json", "scores/cka@1/sealed.json", f"provenance/{KEY[:16]}.json", "runs/run.json"),
    *(f"failures/models/{KEY}.txt", f"models/{KEY}/{MODEL_RECORD}", f"models/{KEY}/{MODEL_WEIGHTS}"),
    *(f"activations/ab/{KEY}.safetensors", "data/cached.safetensors"),
)


def _read_store(content: bytes, folder: Path) -> None:
    """Read a store with one file in it."""
    place = PLACES[content[0] % len(PLACES)] if content else PLACES[0]
    path = folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    sealed = place.endswith(("sealed.json", MODEL_RECORD)) and len(content) > 1
    path.write_bytes(seal(content[1:]) if sealed else content[1:])
    try:
        store = Store(folder)
        store.scores("cka@1")
        store.provenance(KEY[:16])
        store.failure("models", KEY)
        if place.startswith("runs"):
            board_and_evidence(path)
        if place.startswith("models"):
            verified(store.model(KEY), KEY)
        if place.startswith("activations"):
            read_activations(path, KEY)
        if place.startswith("data"):
            cached_arrays(path, lambda: {"x": np.zeros(2)})
    finally:
        path.unlink(missing_ok=True)


def _stores() -> list[bytes]:
    base = base_bundle()
    scores = next(content for name, content in base.items() if name.startswith("scores/cka"))
    records = [ScoreRecord.model_validate_json(line) for line in scores.splitlines()[:2]]
    block = Block(created=1.0, records=tuple(records)).model_dump_json().encode()
    with TemporaryDirectory() as folder:
        array, cached = Path(folder) / "array", Path(folder) / "cached.safetensors"
        save_activations(array, torch.zeros(2, 3), {"key": KEY})
        cached_arrays(cached, lambda: {"x": np.zeros(2)})
        tensors, arrays = array.read_bytes(), cached.read_bytes()
    record = {"schema_version": 1, "description": {"key": KEY}, "accuracy": 0.5, "train_accuracy": 0.5,
              "losses": [1.0], "seconds": 1.0, "weights_sha256": "0" * 64, "versions": {"torch": "2"}}  # fmt: skip
    contents = (block, block, b'{"commit": null}', base["leaderboard.json"], b"boom", json.dumps(record).encode(),
                tensors, tensors, arrays)  # fmt: skip
    return [bytes([n]) + content for n, content in enumerate(contents)]


TARGETS = {
    target.name: target
    for target in (
        Target("suite", _read_suite, _suites),
        Target("bundle", _read_bundle, _bundles),
        Target("store", _read_store, _stores),
    )
}
