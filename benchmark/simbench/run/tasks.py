"""Tasks of a run: train a model, extract its layers, score a block of comparisons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from typing import ParamSpec, TypeVar

from simbench.data.dataset import fingerprint
from simbench.errors import NotApplicable, SimbenchError, StorageError, described, is_failure, storable
from simbench.metrics.kernels.memoisation import memoising
from simbench.metrics.kernels.memory import limited_memory
from simbench.metrics.metric import Metric, Score
from simbench.metrics.scoring import refuse_asymmetry, score_pairs
from simbench.models import checkpoint
from simbench.models.training import train
from simbench.plan.plan import PlannedModel, needs_fit
from simbench.plan.reduction import are_rows_enough, reads_rows_only
from simbench.references import Comparison, RepresentationRef
from simbench.representations.representation import Representation
from simbench.results.record import ScoreRecord
from simbench.results.store import MODEL_RECORD, MODEL_WEIGHTS
from simbench.run.execution import TimeLimitReached, computing, report_part, report_progress
from simbench.run.materials import Materials, Scope, forget_all
from simbench.suite.schema import Probe
from simbench.timing import without_imports

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Unwritable:
    """Value of a task whose result could not be stored: no task could be, so that the run ends with this reason."""

    reason: str


def ending_the_run(task: Callable[P, R]) -> Callable[P, R | Unwritable]:
    """Turn a `StorageError` of a task into its value: as a failure of the task, it would be one model's or metric's."""

    @wraps(task)
    def attempted(*args: P.args, **kwargs: P.kwargs) -> R | Unwritable:
        try:
            return task(*args, **kwargs)
        except StorageError as error:
            return Unwritable(str(error))

    return attempted


@ending_the_run
def train_model(materials: Materials, planned: PlannedModel) -> None:
    """Train one model and store its checkpoint."""
    materials.load_plugins()
    spec = planned.spec
    assert spec is not None
    assert spec.train is not None
    architecture, parameters, _, _ = materials.build_arguments(planned.ref)
    dataset = materials.dataset(spec.train.dataset)
    with computing(str(planned.ref)):
        trained = train(
            architecture,
            parameters,
            spec.train,
            dataset,
            seed=planned.ref.seed,
            device=materials.device,
            progress=lambda epoch, epochs: report_progress(1),
            teacher=None if planned.teacher is None else materials.model(planned.teacher),
        )
    description = {
        "name": str(planned.ref),
        "key": planned.key,
        "spec": spec.model_dump(mode="json"),
        "seed": planned.ref.seed,
        "data": fingerprint(dataset),
    }
    folder = materials.store.model(planned.key)
    for name in (MODEL_WEIGHTS, MODEL_RECORD):
        materials.store.make_room(folder / name)
    checkpoint.save(folder, trained, description)
    materials.store.forget_failure("models", planned.key)


@dataclass(frozen=True)
class ScoreBlock:
    """Comparisons to score together with one metric, by score key, and both representations' keys."""

    metric: Metric
    scores: Mapping[str, Comparison]
    representation_keys: Mapping[RepresentationRef, str]
    unavailable: Mapping[RepresentationRef, Score]
    """Score of comparisons with an unavailable representation: a skip or an error."""
    provenance: str

    @property
    def title(self) -> str:
        """The metric, and the number of its scores."""
        return f"{self.metric.label}, {len(self.scores)} score{'s' * (len(self.scores) != 1)}"


@dataclass(frozen=True)
class BlockEnd:
    """End of a block whose scores are stored: how many of them are to be tried again, and why it was stopped, if so."""

    unsettled: int = 0
    timeout: str | None = None


def scope_of(metric: Metric, ref: RepresentationRef, probe: Probe) -> Scope:
    """Return how much of a representation a metric is given."""
    if are_rows_enough(metric, ref, probe):
        return "rows"
    if reads_rows_only(metric):
        return "activations"
    return "fitted" if needs_fit(metric) else "modelled"


@ending_the_run
def score_blocks(materials: Materials, blocks: Sequence[ScoreBlock]) -> list[BlockEnd]:
    """Score blocks one after the other; values that their metrics share are memoised until the last block is done.

    Each end is also reported as a part of the task, so that a worker that dies later takes no finished block with it.
    """
    materials.load_plugins()

    @cache
    def kept(ref: RepresentationRef, scope: Scope) -> Representation:
        return materials.representation(ref, scope)

    def obtain(ref: RepresentationRef, metric: Metric) -> Representation:
        return kept(ref, scope_of(metric, ref, materials.suite.probe))

    with limited_memory(materials.memory_limit), memoising():
        ends: list[BlockEnd] = []
        for block in blocks:
            records = score_block(materials, block, obtain)
            stopped = next((record.reason for record in records if record.status == "timeout"), None)
            if stopped is not None:
                kept.cache_clear()
            ends.append(BlockEnd(sum(not record.settled for record in records), stopped))
            report_part(ends[-1])
            report_progress(1)
        return ends


def score_block(
    materials: Materials, block: ScoreBlock, obtain: Callable[[RepresentationRef, Metric], Representation]
) -> list[ScoreRecord]:
    """Score a block, store it as one file, and return its records; `obtain` returns what a metric is given.

    Their `seconds` are the metric's time on the block, divided evenly, without loading and importing. A block that is
    not scored within the time limit, which does not count loading, has timeouts only.
    """
    try:
        records = _scored(materials, block, obtain)
    except TimeLimitReached:
        forget_all()
        records = timed_out_records(materials, block)
    materials.store.write_block(records)
    return records


def _scored(
    materials: Materials, block: ScoreBlock, obtain: Callable[[RepresentationRef, Metric], Representation]
) -> list[ScoreRecord]:
    representations: dict[RepresentationRef, Representation] = {}
    failures = dict(block.unavailable)
    sides = dict.fromkeys(side for comparison in block.scores.values() for side in (comparison.a, comparison.b))
    with computing(f"{block.title}, loading"):
        for ref in (side for side in sides if side not in failures):
            try:
                representations[ref] = obtain(ref, block.metric)
            except NotApplicable as reason:
                failures[ref] = Score.skip(storable(f"{ref}: {reason}"))
            except SimbenchError as error:
                failures[ref] = Score.error(f"{ref}: {error}".splitlines()[0])
            except BaseException as error:
                if not is_failure(error):
                    raise
                failures[ref] = Score.error(f"{ref}: {described(error)}")
    index = {ref: position for position, ref in enumerate(representations)}
    possible = [c for c in block.scores.values() if c.a in representations and c.b in representations]
    pairs = [(index[comparison.a], index[comparison.b]) for comparison in possible]
    with computing(block.title, materials.time_limit), without_imports() as elapsed:
        compared = list(representations.values())
        scores = refuse_asymmetry(block.metric, compared, pairs, score_pairs(block.metric, compared, pairs))
    scored = dict(zip(possible, scores, strict=True))
    seconds = elapsed.seconds / max(1, len(possible))
    return [
        _record(materials, block, key, comparison, scored.get(comparison) or _without(comparison, failures), seconds)
        for key, comparison in block.scores.items()
    ]


def _without(comparison: Comparison, failures: Mapping[RepresentationRef, Score]) -> Score:
    """Return the score of a comparison with an unavailable side; an error outranks a skip."""
    sides = [failures[side] for side in (comparison.a, comparison.b) if side in failures]
    return next((side for side in sides if side.status == "error"), sides[0])


def _record(
    materials: Materials, block: ScoreBlock, key: str, comparison: Comparison, score: Score, seconds: float
) -> ScoreRecord:
    return ScoreRecord(
        key=key,
        metric=block.metric.identity,
        parameters=dict(block.metric.parameters),
        a=str(comparison.a),
        b=str(comparison.b),
        a_key=block.representation_keys[comparison.a],
        b_key=block.representation_keys[comparison.b],
        status=score.status,
        value=score.value,
        reason=score.reason,
        standard_error=score.standard_error,
        tiebreak=score.tiebreak,
        warnings=score.warnings,
        auxiliary=score.auxiliary,
        seconds=seconds,
        suite=materials.suite.title,
        provenance=block.provenance,
    )


def failed_records(materials: Materials, block: ScoreBlock, reason: str) -> list[ScoreRecord]:
    """Return the records of a block that could not be scored at all, so that the failure is visible and tried again."""
    return _all_records(materials, block, Score.error(reason))


def timed_out_records(materials: Materials, block: ScoreBlock) -> list[ScoreRecord]:
    """Return the records of a block that was stopped at the time limit, which the next run tries again."""
    return _all_records(materials, block, Score.timeout(timeout_reason(materials, block)))


def timeout_reason(materials: Materials, block: ScoreBlock) -> str:
    """Say that a block was stopped, and what gives it longer."""
    limit = f"{materials.time_limit:g} s"
    return f"{block.title}: stopped at the limit of {limit}; --time-limit SECONDS gives it longer"


def _all_records(materials: Materials, block: ScoreBlock, score: Score) -> list[ScoreRecord]:
    return [_record(materials, block, key, comparison, score, 0.0) for key, comparison in block.scores.items()]
