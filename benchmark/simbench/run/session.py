"""A run, from a suite to a leaderboard: models, representations, scores, verdicts. Only what is missing is done."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simbench.errors import ExitCode, SimbenchError
from simbench.leaderboard.board import Board
from simbench.leaderboard.document import to_document
from simbench.leaderboard.scores import ScoreRow
from simbench.metrics.metric import Metric
from simbench.metrics.resolve import MetricLike, gather_metrics
from simbench.plan.plan import Plan, PlannedActivations, PlannedModel, make_plan
from simbench.plan.references import Comparison, ModelRef, RepresentationRef
from simbench.results.provenance import collect, identifier
from simbench.results.record import ScoreRecord
from simbench.results.store import Store
from simbench.run.engine import Engine, Task, default_jobs, make_engine
from simbench.run.events import Advanced, Listener, StageFinished, StageStarted, Warned, ignore
from simbench.run.grading import grade, score_table
from simbench.suite.load import load_suite
from simbench.suite.schema import Suite

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True)
class Work:
    """How much of a run was done, and how much was there already."""

    trained: int
    models_cached: int
    scored: int
    scores_cached: int
    failures: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunResult:
    """What a run ends with: the leaderboard, what was done, and where everything lies."""

    board: Board
    work: Work
    path: Path
    store: Path
    seconds: float
    warnings: tuple[str, ...] = field(default=())

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for was computed: no error, nothing missing."""
        statuses = {verdict.status for ranked in self.board.rows for verdict in ranked.row.verdicts.values()}
        return not self.work.failures and not statuses & {"error", "missing"}

    def exit_code(self, fail_on: str = "never") -> ExitCode:
        """What the shell is told; `fail_on` is `never`, or `fail`: any verdict that did not pass."""
        if not self.complete:
            return ExitCode.INCOMPLETE
        failed = any(
            ranked.row.verdicts[test.id].status == "ok" and ranked.row.verdicts[test.id].passed is not True
            for ranked in self.board.rows
            for test in self.board.tests
        )
        return ExitCode.VERDICT_FAILED if fail_on == "fail" and failed else ExitCode.OK

    def to_dict(self) -> dict[str, Any]:
        """The leaderboard document, as plain data."""
        return to_document(self.board)

    def __rich__(self) -> RenderableType:
        from simbench.leaderboard.terminal import table

        return table(self.board)

    def _repr_html_(self) -> str:
        from simbench.leaderboard.html import fragment

        return fragment(self.board)


def run(
    suite: str | Suite,
    *,
    metrics: Sequence[MetricLike] = (),
    only: Sequence[str] = (),
    device: str = "auto",
    jobs: int | None = None,
    engine: str = "processes",
    force: bool = False,
    store: str | Path | None = None,
    listener: Listener = ignore,
) -> RunResult:
    """Score every metric of a suite, and those given beside them, against the suite's tests; resumes by default.

    Args:
        suite: the name of a bundled suite, the path of a YAML file, or a loaded suite.
        metrics: metrics to score besides the suite's own: names, `file.py[:attr]`, `pkg.mod:attr`, or functions
            decorated with `@simbench.metric`.
        only: ids of the tests to run; all by default.
        device: `auto`, `cpu` or `cuda`.
        jobs: worker processes; one per core by default.
        engine: `processes` or `serial`.
        force: score again what is in the store (trained models are kept).
        store: folder of the store; `$SIMBENCH_STORE` or the user's cache by default.
        listener: called with the events of `simbench.run.events`.
    """
    started = time.perf_counter()
    place = Store(Path(store) if store is not None else None)
    plan = prepare(suite, metrics, only)
    chosen, device_name = choose_device(device)
    workers = jobs or default_jobs()
    facts = collect(device=chosen, device_name=device_name, jobs=workers, engine=engine)
    place.write_provenance(identifier(facts), facts)
    running = make_engine(engine, workers)
    try:
        context = _Context(plan, place, running, listener, chosen, identifier(facts))
        missing = context.missing_scores(force=force)
        trained, failed_models = context.obtain_models(missing)
        unavailable = context.extract(missing, failed_models)
        scored = context.score(missing, unavailable)
    finally:
        running.close()
    records = stored_records(plan, place)
    asked = sum(len(planned.scores) for planned in plan.metrics)
    work = Work(trained, context.models_cached, scored, asked - scored, tuple(context.failures))
    board = grade(plan, records, _board_provenance(place, records))
    return _recorded(board, work, place, time.perf_counter() - started)


def prepare(suite: str | Suite, metrics: Sequence[MetricLike] = (), only: Sequence[str] = ()) -> Plan:
    """Load a suite, gather its metrics and those given, and plan."""
    loaded = load_suite(suite) if isinstance(suite, str) else suite
    return make_plan(loaded, gather_metrics(loaded, metrics), only)


def stored_board(suite: str | Suite, *, metrics: Sequence[MetricLike] = (), store: str | Path | None = None) -> Board:
    """The leaderboard of a suite from what is in the store; nothing is computed but the verdicts."""
    return stored_results(suite, metrics=metrics, store=store)[0]


def stored_results(
    suite: str | Suite, *, metrics: Sequence[MetricLike] = (), store: str | Path | None = None
) -> tuple[Board, list[ScoreRow]]:
    """The same with the scores behind it."""
    place = Store(Path(store) if store is not None else None)
    plan = prepare(suite, metrics)
    records = stored_records(plan, place)
    return grade(plan, records, _board_provenance(place, records)), score_table(plan, records)


def stored_records(plan: Plan, store: Store) -> dict[str, dict[str, ScoreRecord]]:
    """Per metric label, the records of the plan's scores that are in the store."""
    found: dict[str, dict[str, ScoreRecord]] = {}
    for planned in plan.metrics:
        known = store.scores(planned.metric.identity)
        found[planned.metric.label] = {key: known[key] for key in planned.scores if key in known}
    return found


def choose_device(device: str) -> tuple[str, str]:
    """(`cpu` or `cuda`, its name); one clear line where CUDA is asked for and not there."""
    import torch

    from simbench.results.provenance import _cpu_name

    if device not in ("auto", "cpu", "cuda"):
        raise SimbenchError(f'unknown device "{device}"; valid: auto, cpu, cuda')
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise SimbenchError("--device cuda: there is no CUDA device here (or torch is a CPU build); use --device cpu")
    if device == "cpu" or not available:
        return "cpu", _cpu_name()
    return "cuda", torch.cuda.get_device_name()


Missing = list[tuple[Metric, dict[str, Comparison]]]
"""Per metric, the scores to compute, by key."""


def _references(missing: Missing) -> set[RepresentationRef]:
    return {side for _, wanted in missing for comparison in wanted.values() for side in (comparison.a, comparison.b)}


class _Context:
    """The steps of one run; each does what is missing, and reports what failed without stopping the rest."""

    def __init__(
        self, plan: Plan, store: Store, engine: Engine, listener: Listener, device: str, provenance: str
    ) -> None:
        from simbench.run.materials import Materials

        self.plan, self.store, self.engine, self.listener = plan, store, engine, listener
        self.provenance = provenance
        self.materials = Materials.of(plan, store, device)
        self.models_cached = 0
        self.failures: list[str] = []

    def missing_scores(self, *, force: bool) -> Missing:
        """Per metric, the scores that the store does not hold (or, with `force`, all of them)."""
        missing: Missing = []
        for planned in self.plan.metrics:
            known = {} if force else self.store.scores(planned.metric.identity)
            wanted = {key: c for key, c in planned.scores.items() if key not in known or not known[key].settled}
            missing.append((planned.metric, wanted))
        if any(wanted for _, wanted in missing):
            self._prepare_data()
        return missing

    def obtain_models(self, missing_scores: Missing) -> tuple[int, dict[ModelRef, str]]:
        """Train what missing scores need; returns how many were, and the models that could not be had."""
        from simbench.run.tasks import train_model

        wanted = [one for one in self.plan.models.values() if one.spec is not None and one.spec.train is not None]
        needed = {ref.model for ref in _references(missing_scores)}
        missing = [one for one in wanted if one.ref in needed and not self._has_model(one)]
        self.models_cached = len(wanted) - len(missing)
        epochs = {str(one.ref): one.spec.train.epochs for one in wanted if one.spec and one.spec.train}
        done = sum(epochs[str(one.ref)] for one in wanted if one not in missing)
        tasks = [Task(str(one.ref), train_model, (self.materials, one)) for one in missing]
        keys = {str(one.ref): one for one in missing}
        failed: dict[ModelRef, str] = {}
        self.listener(StageStarted("models", sum(epochs.values()), done))
        for outcome in self.engine.run(tasks, lambda name, units: self.listener(Advanced("models", units, name))):
            if outcome.reason is not None:
                model = keys[outcome.task.name]
                failed[model.ref] = self._failed(f"training {outcome.task.name}", outcome.reason)
                self.store.record_failure("models", model.key, outcome.reason)
        self.listener(StageFinished("models", len(failed)))
        return len(missing) - len(failed), failed

    def extract(self, missing: Missing, failed_models: Mapping[ModelRef, str]) -> dict[tuple[Any, ...], str]:
        """Store the activations that are missing; returns those that could not be had, and why."""
        from simbench.run.tasks import extract

        unavailable: dict[tuple[Any, ...], str] = {}
        groups: dict[tuple[Any, ...], list[PlannedActivations]] = {}
        needed = {(ref.model, ref.layer, ref.reparametrisation) for ref in _references(missing)}
        for one in self.plan.activations.values():
            if _place(one)[:3] not in needed:
                continue
            if one.model in failed_models:
                unavailable[_place(one)] = f"{one.model} could not be trained: {failed_models[one.model]}"
            elif not self._is_stored(one):
                groups.setdefault((one.model, one.reparametrisation, one.inputs), []).append(one)
        tasks = [Task(str(number), extract, (self.materials, group)) for number, group in enumerate(groups.values())]
        by_name = dict(zip((task.name for task in tasks), groups.values(), strict=True))
        total = sum(len(group) for group in groups.values())
        self.listener(StageStarted("representations", total, 0))
        for outcome in self.engine.run(tasks, lambda name, units: None):
            group = by_name[outcome.task.name]
            if outcome.reason is not None:
                reason = self._failed(f"reading {group[0].model}", outcome.reason)
                unavailable.update({_place(one): reason for one in group})
            self.listener(Advanced("representations", len(group), str(group[0].model)))
        self.listener(StageFinished("representations", len(unavailable)))
        return unavailable

    def score(self, missing: Missing, unavailable: Mapping[tuple[Any, ...], str]) -> int:
        """Score what is missing, block by block; returns the number of new scores."""
        from simbench.run.blocks import blocks_of
        from simbench.run.tasks import score_block

        tasks: list[Task] = []
        for metric, wanted in missing:
            refs = _references([(metric, wanted)])
            failed = {ref: reason for ref in refs if (reason := _unavailable(ref, unavailable)) is not None}
            for block in blocks_of(self.plan, metric, wanted, failed, self.provenance):
                tasks.append(Task(f"{metric.label}#{len(tasks)}", score_block, (self.materials, block)))
        total = sum(len(planned.scores) for planned in self.plan.metrics)
        missing_total = sum(len(wanted) for _, wanted in missing)
        self.listener(StageStarted("scores", total, total - missing_total))
        failures = 0
        for outcome in self.engine.run(_longest_first(tasks), lambda name, units: None):
            block, label = outcome.task.arguments[1], outcome.task.name.partition("#")[0]
            if outcome.reason is not None:
                failures += len(block.scores)
                self._failed(f"scoring with {label}", outcome.reason)
                self._record_failed_block(block, outcome.reason)
            else:
                failures += sum(not record.settled for record in outcome.value)
            self.listener(Advanced("scores", len(block.scores), label))
        self.listener(StageFinished("scores", failures))
        return missing_total

    def _prepare_data(self) -> None:
        """Have the datasets in the cache before workers start, so that each is made once."""
        for side in dict.fromkeys(one.inputs for one in self.plan.activations.values()):
            self.materials.inputs(side)
        for one in self.plan.models.values():
            if one.spec is not None and one.spec.train is not None:
                self.materials.dataset(one.spec.train.dataset)

    def _has_model(self, one: PlannedModel) -> bool:
        """Whether a checkpoint is there and whole; a damaged one is made again, with a warning."""
        from simbench.models.checkpoint import CorruptError, verified

        if not self.store.has_model(one.key):
            return False
        try:
            verified(self.store.model(one.key))
        except CorruptError as error:
            self.listener(Warned(f"{error}; it is trained again"))
            return False
        return True

    def _is_stored(self, one: PlannedActivations) -> bool:
        """Whether activations are there and whole; damaged ones are made again, with a warning."""
        from simbench.representations.storage import DamagedError, load_activations

        path = self.store.activations(one.key)
        try:
            load_activations(path)
        except FileNotFoundError:
            return False
        except DamagedError as error:
            self.listener(Warned(f"{error}; it is made again"))
            return False
        return True

    def _failed(self, what: str, reason: str) -> str:
        self.failures.append(f"{what}: {reason}")
        self.listener(Warned(f"{what} failed: {reason}"))
        return reason

    def _record_failed_block(self, block: Any, reason: str) -> None:
        from simbench.run.tasks import failed_records

        self.store.write_block(failed_records(self.materials, block, reason))


def _place(one: PlannedActivations) -> tuple[Any, ...]:
    return (one.model, one.layer, one.reparametrisation, one.inputs)


def _unavailable(ref: RepresentationRef, unavailable: Mapping[tuple[Any, ...], str]) -> str | None:
    place = (ref.model, ref.layer, ref.reparametrisation)
    return next((unavailable[(*place, side)] for side in ("probe", "fit") if (*place, side) in unavailable), None)


def _longest_first(tasks: Sequence[Task]) -> list[Task]:
    """Blocks that train maps first: the short ones fill the gaps at the end."""
    return sorted(tasks, key=lambda task: task.arguments[1].metric.cost != "heavy")


def _board_provenance(store: Store, records: Mapping[str, Mapping[str, ScoreRecord]]) -> dict[str, Any]:
    """Where the scores were computed: the facts of every run that any of them came from."""
    made_in = sorted({record.provenance for known in records.values() for record in known.values()})
    return {"runs": {run: store.provenance(run) for run in made_in}}


def _recorded(board: Board, work: Work, store: Store, seconds: float) -> RunResult:
    """Write the run's conclusion beside its scores."""
    run_id = f"{board.suite}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    path = store.write_run(run_id, to_document(board))
    return RunResult(board, work, path, store.root, seconds)
