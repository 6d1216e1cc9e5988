"""Make a bundle: a plan, the scores that are there, and what is needed to check them, as files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from simbench.board.board import Board
from simbench.board.document import DOCUMENT, to_document
from simbench.board.scores import ScoreRow
from simbench.bundles.archive import MANIFEST, METRICS, PROVENANCE, SUITE
from simbench.bundles.contents import MODEL_FILES, json_bytes, manifest_for
from simbench.bundles.metric_record import MetricRecord, record_of, recorded_metric
from simbench.bundles.portable_suite import portable, suite_bytes
from simbench.grading import grade, runs_behind, score_table, stored_records
from simbench.metrics.metric import Metric
from simbench.plan.plan import Plan, make_plan
from simbench.results.provenance import made_with
from simbench.results.record import ScoreRecord
from simbench.results.store import Store
from simbench.suite.schema import Suite

# Per metric label, records by score key.
Records = Mapping[str, Mapping[str, ScoreRecord]]

# The folders of an absolute path in a message, as in `ValueError: /home/me/lab/data.npz is empty`.
ABSOLUTE_PATH = re.compile(r"(?<![\w.~])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\:'\"]+[/\\])+(?=[^\s/\\:'\"]*)")


class Packed(NamedTuple):
    """Files of a bundle, with the board and the table of scores that follow from them."""

    files: dict[str, bytes]
    board: Board
    scores: list[ScoreRow]


def bundle_of(plan: Plan, store: Store, *, with_models: bool = False) -> Packed:
    """Return the bundle of a plan from what is in the store; `with_models` adds the trained weights."""
    records = stored_records(plan, store)
    return pack(
        plan.suite,
        [planned.metric for planned in plan.board],
        records,
        runs_behind(store, records),
        models=_weights(plan, store) if with_models else {},
    )


def pack(
    suite: Suite,
    metrics: Sequence[Metric],
    records: Records,
    provenance: Mapping[str, Mapping[str, Any]],
    models: Mapping[str, bytes] | None = None,
    stated: Mapping[str, Any] | None = None,
) -> Packed:
    """Return all files of a bundle, the manifest included. The same scores and the same simbench give the same bytes.

    `stated` is what the board says of itself besides: `made_with` and, of a merged board, `bundles`.
    """
    recorded = [record_of(metric) for metric in metrics]
    clean = portable(suite, metrics)
    plan = recorded_plan(clean, recorded)
    recorded += [record_of(planned.metric, on_board=False) for planned in plan.metrics if not planned.on_board]
    kept = {label: {key: without_paths(record) for key, record in by_key.items()} for label, by_key in records.items()}
    # Objects are sorted as they are read back, so that the board has the same bytes for readers of the bundle.
    runs = json_bytes(dict(provenance))
    about = json.loads(json_bytes({"made_with": made_with(), **(stated or {})}))
    board = regraded(plan, kept, json.loads(runs), about)
    files: dict[str, bytes] = {
        SUITE: suite_bytes(clean),
        METRICS: json_bytes([metric.model_dump(mode="json") for metric in recorded]),
        PROVENANCE: runs,
        DOCUMENT: json_bytes(to_document(board)),
        **(models or {}),
    }
    for described in recorded:
        files[described.scores] = records_bytes(kept[described.label])
    return Packed({**files, MANIFEST: manifest_for(files, clean)}, board, score_table(plan, kept))


def recorded_plan(suite: Suite, metrics: Sequence[MetricRecord]) -> Plan:
    """Plan the suite of a bundle from metadata alone: no metric's code is needed for keys and grades."""
    return make_plan(suite, [recorded_metric(metric) for metric in metrics if metric.on_board])


def regraded(
    plan: Plan,
    records: Records,
    provenance: Mapping[str, Mapping[str, Any]],
    stated: Mapping[str, Any] | None = None,
) -> Board:
    """Return the board that follows from records; what its maker states of it is taken as it is."""
    return grade(plan, records, {**(stated or {}), "runs": dict(provenance)})


def without_paths(record: ScoreRecord) -> ScoreRecord:
    """Return the record, its messages without the folders of whoever took the score."""
    reason = None if record.reason is None else ABSOLUTE_PATH.sub("…/", record.reason)
    warnings = tuple(ABSOLUTE_PATH.sub("…/", warning) for warning in record.warnings)
    return record.model_copy(update={"reason": reason, "warnings": warnings})


def records_bytes(records: Mapping[str, ScoreRecord]) -> bytes:
    """Return one record a line, by key."""
    return "".join(f"{records[key].model_dump_json()}\n" for key in sorted(records)).encode()


def _weights(plan: Plan, store: Store) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for model in plan.models.values():
        folder: Path = store.model(model.key)
        if store.has_model(model.key):
            files |= {f"models/{model.key}/{name}": (folder / name).read_bytes() for name in MODEL_FILES}
    return files
