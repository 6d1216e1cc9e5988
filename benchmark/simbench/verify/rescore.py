"""Check the levels `rescored` and `reproduced`: take scores again, and compare.

What is taken again are all scores that alone could turn a verdict, and of the others a random sample.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from simbench.bundles.contents import Contents
from simbench.bundles.metric_record import MetricRecord
from simbench.errors import SimbenchError
from simbench.files import is_file
from simbench.grading import verdicts_on
from simbench.metrics.metric import Metric
from simbench.models.loading import has_published_weights
from simbench.plan.given import DIGEST_OF_ARRAY
from simbench.plan.plan import Plan, PlannedMetric, make_plan
from simbench.references import Comparison, ModelRef
from simbench.registry import METRICS
from simbench.results.record import ScoreRecord
from simbench.suite.schema import Component
from simbench.verdicts.verdict import LACKING
from simbench.verify.decisive import decisive_scores
from simbench.verify.files_at_hand import with_files
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
from simbench.verify.scratch import Request, take_again


def check_scores(contents: Contents, request: Request) -> Step:
    """Check the level `rescored` or `reproduced`: compute the scores of a random sample again."""
    unchecked: list[str] = []
    metrics = _metrics_at_hand(contents, unchecked)
    if not metrics:
        return step_of(request.level, "no metric of this bundle can be computed here", [], unchecked)
    suite = with_files(contents.suite, request.files).model_copy(
        update={"metrics": [Component(name=metric.name, **dict(metric.parameters)) for metric in metrics]}
    )
    plan = make_plan(suite, metrics)
    records, _ = checked_records(contents, plan)
    decisive = _decisive(plan, records) if request.decisive else {}
    drawn = {
        planned.metric.label: _drawn(records[planned.metric.label], decisive.get(planned.metric.label, set()), request)
        for planned in plan.metrics
    }
    possible = {
        planned.metric.label: _possible(plan, contents, planned, drawn[planned.metric.label], request)
        for planned in plan.metrics
    }
    rescored = take_again(plan, contents, possible, request)
    tallies, findings = [], []
    for planned in plan.metrics:
        label = planned.metric.label
        missing = sorted(set(drawn[label]) - set(possible[label]))
        if missing:
            models = sorted({str(ref) for key in missing for ref in _trained(planned.scores[key])})
            trained = any(plan.models[ref].spec.train for key in missing for ref in _trained(planned.scores[key]))  # type: ignore[union-attr]
            advice = "--retrain trains them" if trained else "--files FOLDER says where their files are"
            unchecked.append(f"{label}: {len(missing)} scores: models not at hand ({', '.join(models[:4])}); {advice}")
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
    taken = [(label, key) for label, again in rescored.items() for key in again if again[key].settled]
    first = sum(key in decisive.get(label, ()) for label, key in taken)
    total = sum(map(len, contents.scores.values()))
    summary = _summary(len(taken), first, total, sum(tally.outside for tally in tallies), request)
    step = step_of(request.level, summary, findings, unchecked)
    return with_figures(step, tallies, [str(turn) for turn in turns if not turn.decided])


def _decisive(plan: Plan, records: Mapping[str, Mapping[str, ScoreRecord]]) -> dict[str, set[str]]:
    """Return, by metric label, the scores that alone could turn the verdict of any metric."""
    keys: dict[str, set[str]] = {}
    for planned in plan.board:
        for label, of_metric in decisive_scores(plan, planned.metric, records).items():
            keys.setdefault(label, set()).update(of_metric)
    return keys


def _drawn(records: Mapping[str, ScoreRecord], decisive: Collection[str], request: Request) -> list[str]:
    """Return the keys of a metric's decisive scores, and of a share of its others."""
    first = [key for key in decisive if key in records and records[key].settled]
    others = {key: record for key, record in records.items() if key not in decisive}
    return sorted([*first, *draw(others, request.share, request.seed)])


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
    return [
        turn
        for planned in plan.board
        for turn in turned(
            planned.metric.label,
            verdicts_on(plan, planned.metric, claimed),
            verdicts_on(plan, planned.metric, mixed),
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
    if model.spec.activations is not None:
        labels = (model.spec.targets, model.spec.fit_targets)
        given = (*model.spec.arrays(ref).values(), *model.spec.arrays(ref, "fit").values(), *labels)
        return not any(DIGEST_OF_ARRAY.fullmatch(reference) for reference in given if reference is not None)
    if model.spec.train is None:
        # Only published weights have a name; weights of the author's own are known by a hash, and here if asked for.
        weights = model.spec.weights(ref)
        return is_file(weights) or has_published_weights(weights, model.spec.network.name)
    return request.retrain or request.store.has_model(model.key) or model.key in contents.model_keys


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
    failed = [f"{where[key]}: {rescored[key].reason}" for key in keys if rescored[key].status in LACKING]
    compared = [key for key in keys if rescored[key].status not in LACKING]
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


def _summary(compared: int, decisive: int, total: int, differing: int, request: Request) -> str:
    """Return in one line what was taken again, and what that proves of the rest."""
    if compared >= total:
        return f"all {total} scores taken again, {differing} differ"
    drawn, others = compared - decisive, total - decisive
    besides = f", besides all {decisive} that decide a verdict" if request.decisive else ""
    done = f"{drawn} of {others} scores taken again (seed {request.seed}){besides}, {differing} differ"
    if differing or not drawn:
        return done
    # If a share f had been altered, a sample of n would have missed them all with probability (1 − f)ⁿ.
    bound = 100 * (1 - 0.05 ** (1 / drawn))
    return f"{done}: with 95 % confidence fewer than {bound:.2g} % of the scores are off by more than the tolerance"
