"""Check the levels `rescored` and `reproduced`: compute a random sample of the scores again, and compare.

Scores are computed by an ordinary run in a scratch store. This store has a placeholder for every score outside the
sample and, for `--rescore`, the trained models that are available; the run adds the rest. Nothing is written to the
user's store, so weights from a stranger's bundle never get into it.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simbench.bundles.contents import MODEL_FILES, Contents
from simbench.bundles.metric_record import MetricRecord
from simbench.errors import SimbenchError
from simbench.grading import verdicts_on
from simbench.metrics.metric import Metric
from simbench.models.loading import has_published_weights
from simbench.plan.plan import Plan, PlannedMetric, make_plan
from simbench.references import Comparison, ModelRef
from simbench.registry import METRICS
from simbench.results.record import ScoreRecord
from simbench.results.store import Store
from simbench.suite.schema import Component
from simbench.verify.regrade import checked_records
from simbench.verify.report import Agreement, Discrepancy, ProofLevel, Step, step_of, with_figures
from simbench.verify.reproduction import (
    Allowance,
    Turned,
    count_classes,
    described,
    distance,
    numbers,
    of_other_seeds,
    settled,
    turned,
)
from simbench.verify.sampling import draw

if TYPE_CHECKING:
    from simbench.run.events import Listener


@dataclass(frozen=True)
class Request:
    """Request to compute scores again, with all options."""

    level: ProofLevel
    share: float
    seed: int
    store: Store
    jobs: int | None = None
    engine: str = "processes"
    listener: Listener | None = None

    @property
    def retrain(self) -> bool:
        """Whether models are trained from scratch."""
        return self.level == "reproduced"


def check_scores(contents: Contents, request: Request) -> Step:
    """Check the level `rescored` or `reproduced`: compute the scores of a random sample again."""
    unchecked: list[str] = []
    metrics = _metrics_at_hand(contents, unchecked)
    if not metrics:
        return step_of(request.level, "no metric of this bundle can be computed here", [], unchecked)
    suite = contents.suite.model_copy(
        update={"metrics": [Component(name=metric.name, **dict(metric.parameters)) for metric in metrics]}
    )
    plan = make_plan(suite, metrics)
    records, _ = checked_records(contents, plan)
    drawn = {
        planned.metric.label: draw(records[planned.metric.label], request.share, request.seed)
        for planned in plan.metrics
    }
    possible = {
        planned.metric.label: _possible(plan, contents, planned, drawn[planned.metric.label], request)
        for planned in plan.metrics
    }
    rescored = _taken_again(plan, contents, possible, request)
    tallies, findings = [], []
    for planned in plan.metrics:
        label = planned.metric.label
        missing = sorted(set(drawn[label]) - set(possible[label]))
        if missing:
            models = sorted({str(ref) for key in missing for ref in _trained(planned.scores[key])})
            unchecked.append(
                f"{label}: {len(missing)} scores: models not at hand ({', '.join(models[:4])}); --retrain trains them"
            )
        tally, differing, failed = _compared(planned, records[label], rescored[label], possible[label], request.level)
        tallies.append(Agreement(**{**vars(tally), "unchecked": tally.unchecked + len(missing)}))
        findings += differing
        unchecked += failed
    turns = _turned_verdicts(plan, records, rescored)
    findings += [
        Discrepancy("verdict", f"{turn.metric} on {turn.test}", described(turn.claimed), described(turn.other))
        for turn in turns
        if turn.decided
    ]
    compared = sum(tally.compared for tally in tallies)
    total = sum(map(len, contents.scores.values()))
    step = step_of(
        request.level, _summary(compared, total, sum(tally.outside for tally in tallies), request), findings, unchecked
    )
    return with_figures(step, tallies, [str(turn) for turn in turns if not turn.decided])


def _turned_verdicts(
    plan: Plan, claimed: Mapping[str, Mapping[str, ScoreRecord]], rescored: Mapping[str, Mapping[str, ScoreRecord]]
) -> list[Turned]:
    """Grade the claimed scores, with those that were taken again in their place; return the verdicts that turn."""
    again = {
        label: {key: record for key, record in records.items() if record.settled} for label, records in rescored.items()
    }
    mixed = {label: {**claimed[label], **again[label]} for label in claimed}
    if all(numbers(claimed[label][key]) == numbers(record) for label in again for key, record in again[label].items()):
        return []
    passes = {test.id: test.passes for test in plan.tests}
    return [
        turn
        for planned in plan.board
        for turn in turned(
            planned.metric.label,
            verdicts_on(plan, planned.metric, claimed),
            verdicts_on(plan, planned.metric, mixed),
            passes,
        )
    ]


def _metrics_at_hand(contents: Contents, unchecked: list[str]) -> list[Metric]:
    """Return the metrics that are installed in the recorded version; add the others to `unchecked`, with advice."""
    findings = []
    for record in contents.metrics:
        if not record.on_board:
            continue  # the plan knows which reference variables its tests need
        reason = _not_at_hand(record)
        if reason is None:
            findings.append(METRICS.get(record.declaration.name).with_parameters(record.parameters))
        else:
            unchecked.append(f"{record.label}: {reason}")
    return findings


def _not_at_hand(record: MetricRecord) -> str | None:
    source = record.source
    if record.declaration.name not in METRICS:
        where = f"{source.file}, sha256 {(source.sha256 or 'unknown')[:16]}"
        install = f", or install {source.package}" if source.package else ""
        return f"its code is not here ({where}); read it, then give it as --metric FILE{install}"
    metric = METRICS.get(record.declaration.name)
    try:
        chosen = metric.with_parameters(record.parameters)
    except SimbenchError as error:
        return str(error)
    if chosen.identity != record.identity:
        return f"the bundle has {record.identity}, here is {chosen.identity}"
    if chosen.label != record.label:
        return f"is called {chosen.label} here"
    return None


def _trained(comparison: Comparison) -> list[ModelRef]:
    return [side.model for side in (comparison.a, comparison.b) if side.model.generator is None]


def _possible(
    plan: Plan, contents: Contents, planned: PlannedMetric, drawn: Sequence[str], request: Request
) -> list[str]:
    """Return the drawn scores whose models are available."""
    can = {ref: _obtainable(plan, contents, ref, request) for key in drawn for ref in _trained(planned.scores[key])}
    return [key for key in drawn if all(can[ref] for ref in _trained(planned.scores[key]))]


def _obtainable(plan: Plan, contents: Contents, ref: ModelRef, request: Request) -> bool:
    model = plan.models[ref]
    assert model.spec is not None
    if model.spec.train is None:
        # Only published weights have a name; weights of the author's own are known by a hash, and not here.
        return has_published_weights(str(model.spec.load), model.spec.architecture.name)
    return request.retrain or request.store.has_model(model.key) or model.key in contents.model_keys


def _taken_again(
    plan: Plan, contents: Contents, wanted: Mapping[str, Sequence[str]], request: Request
) -> dict[str, dict[str, ScoreRecord]]:
    """Compute the wanted scores by a run in a scratch store."""
    if not any(wanted.values()):
        return {label: {} for label in wanted}
    # Looked up here: a run imports torch, which planning and grading do without.
    from simbench.run.events import ignore
    from simbench.run.session import run

    with tempfile.TemporaryDirectory(prefix="simbench-verify-") as folder:
        scratch = Store(Path(folder))
        _furnish(scratch, plan, contents, request)
        for planned in plan.metrics:
            _hold_back(scratch, plan, planned, set(wanted[planned.metric.label]))
        run(
            plan.suite,
            store=scratch.root,
            device="cpu",
            jobs=request.jobs,
            engine=request.engine,
            listener=request.listener or ignore,
        )
        stored = {planned.metric.label: scratch.scores(planned.metric.identity) for planned in plan.metrics}
    return {label: {key: stored[label][key] for key in keys} for label, keys in wanted.items()}


def _furnish(scratch: Store, plan: Plan, contents: Contents, request: Request) -> None:
    """Link what may be reused into the scratch store: data, and models and activations unless all is retrained."""
    scratch.root.mkdir(parents=True, exist_ok=True)
    data = request.store.data
    with suppress(OSError):  # a store that cannot be written
        data.mkdir(parents=True, exist_ok=True)
    if os.access(data, os.W_OK):
        scratch.data.symlink_to(data)
    elif data.is_dir():  # what is not there is made in the scratch store
        _link(scratch.data, data, os.listdir(data))
    if request.retrain:
        return
    for model in plan.models.values():
        folder = scratch.model(model.key)
        if request.store.has_model(model.key):
            # File by file: what a run makes again replaces the link, and not what it points to.
            _link(folder, request.store.model(model.key), MODEL_FILES)
        elif model.key in contents.model_keys:
            folder.mkdir(parents=True)
            for name in MODEL_FILES:
                (folder / name).write_bytes(contents.files.get(f"models/{model.key}/{name}", b""))
    own = {model.ref for model in plan.models.values() if request.store.has_model(model.key)}
    for planned in plan.activations.values():
        path = request.store.activations(planned.key)
        if planned.model in own and path.is_file():
            _link(scratch.activations(planned.key).parent, path.parent, (path.name,))


def _link(folder: Path, source: Path, names: Sequence[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).symlink_to(source / name)


def _hold_back(scratch: Store, plan: Plan, planned: PlannedMetric, wanted: set[str]) -> None:
    """Write a placeholder for every score outside the sample, so that the run skips it and uses no claimed value."""
    placeholders = [
        ScoreRecord(
            key=key,
            metric=planned.metric.identity,
            parameters={},
            a="",
            b="",
            a_key="",
            b_key="",
            status="skip",
            value=None,
            reason="not in the sample",
            seconds=0,
            suite=plan.suite.title,
            provenance="",
        )
        for key in planned.scores
        if key not in wanted
    ]
    if placeholders:
        scratch.write_block(placeholders)


def _compared(
    planned: PlannedMetric,
    claimed: Mapping[str, ScoreRecord],
    rescored: Mapping[str, ScoreRecord],
    keys: Sequence[str],
    level: ProofLevel,
) -> tuple[Agreement, list[Discrepancy], list[str]]:
    """Return (figures, scores that differ, scores that could not be computed) of one metric."""
    label = planned.metric.label
    allowance = Allowance.of(level, planned.metric.cost, claimed, planned.scores, symmetric=planned.metric.symmetric)
    where = {key: f"{label} {key} ({planned.scores[key]})" for key in keys}
    failed = [f"{where[key]}: {rescored[key].reason}" for key in keys if rescored[key].status == "error"]
    compared = [key for key in keys if rescored[key].status != "error"]
    deviations = settled({key: allowance.deviation(key, claimed[key], rescored[key]) for key in compared})
    findings: list[Discrepancy] = []
    for key, (kind, number, _) in deviations.items():
        if kind == "outside":
            # A tie-break orders equal values, so that it decides grades as values do.
            of = "" if number in ("value", "status") else f" {number}"
            said, taken = _shown(claimed[key], number), _shown(rescored[key], number)
            findings.append(Discrepancy("score", f"{where[key]}{of}", said, taken))
    far = allowance.of_other_seeds(claimed, {key: rescored[key] for key in compared})
    if far is not None:
        findings.append(Discrepancy("score", label, note=of_other_seeds(far)))
    apart = [distance(claimed[key].value, rescored[key].value) for key in compared]
    largest = max((far for far in apart if math.isfinite(far)), default=0.0)
    counts = count_classes(deviations.values())
    scale = allowance.scales.get("value", 1.0)
    tally = Agreement(
        label, **counts, unchecked=len(failed), tolerance=allowance.tolerance, scale=scale, largest=largest
    )
    return tally, findings, failed


def _shown(record: ScoreRecord, name: str) -> Any:
    number = numbers(record).get("value" if name == "status" else name)
    return record.status if number is None else number


def _summary(compared: int, total: int, differing: int, request: Request) -> str:
    done = f"{compared} of {total} scores taken again (seed {request.seed}), {differing} differ"
    if differing or not compared:
        return done
    # If a share f had been altered, a sample of n would have missed them all with probability (1 − f)ⁿ.
    bound = 1 - 0.05 ** (1 / compared)
    if compared >= total:
        return f"all {done}"
    return (
        f"{done}: with 95 % confidence fewer than {100 * bound:.2g} % of the scores are off by more than the tolerance"
    )
