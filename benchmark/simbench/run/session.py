"""Run a suite: models, representations, scores, leaderboard. Only what is missing in the store is computed."""

from __future__ import annotations

import multiprocessing
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simbench.board.board import Board
from simbench.board.document import to_document
from simbench.board.dominance import is_owed
from simbench.board.scores import ScoreRow
from simbench.errors import ExitCode, SimbenchError, StorageError
from simbench.grading import grade, runs_behind, score_table, stored_records
from simbench.metrics.kernels.memory import DEFAULT
from simbench.metrics.resolve import MetricLike, gather_given, without
from simbench.plan.plan import Plan, make_plan
from simbench.plan.suite_metrics import gather_metrics
from simbench.results.lease import Holder, leased
from simbench.results.provenance import collect, cpu_name, made_with
from simbench.results.store import Store
from simbench.results.temporary import remove_abandoned
from simbench.run.engines import default_jobs, make_engine
from simbench.run.events import Event, Listener, Warned, ignore
from simbench.run.worker import WORKER
from simbench.suite.load import load_suite
from simbench.suite.schema import Suite
from simbench.verdicts.verdict import LACKING

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True)
class Work:
    """Numbers of artifacts that a run made, and that it found in the store."""

    trained: int
    models_cached: int
    scored: int
    scores_cached: int
    failures: tuple[str, ...] = ()


# Outcomes that trip each value of `--fail-on`.
TRIPPING = {"fail": ("fail",), "undecided": ("fail", "undecided", "partly")}


@dataclass(frozen=True)
class RunResult:
    """Result of a run: the leaderboard, the work done, and the files written."""

    board: Board
    work: Work
    path: Path | None
    """The document of the run; None where the store cannot be written."""
    store: Path
    seconds: float
    warnings: tuple[str, ...] = field(default=())

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for was computed, without an error."""
        statuses = {verdict.status for entry in self.board.rows for verdict in entry.row.verdicts.values()}
        return not self.work.failures and not statuses & set(LACKING)

    def exit_code(self, fail_on: str = "never") -> ExitCode:
        """Return the exit code.

        With `fail_on="fail"` it tells whether a metric failed a test that it owes, with "undecided" whether any such
        verdict is no pass.
        """
        if not self.complete:
            return ExitCode.INCOMPLETE
        return ExitCode.VERDICT_FAILED if self.failures(fail_on) else ExitCode.OK

    def failures(self, fail_on: str) -> list[str]:
        """Return what trips `fail_on`: a line per metric with such verdicts, and per test that grades nobody."""
        tripping = TRIPPING.get(fail_on, ())
        if not tripping:
            return []
        lines = []
        for entry in self.board.rows:
            verdicts = {test.id: entry.row.verdicts[test.id] for test in self.board.tests}
            tripped = [
                name if verdict.outcome == "fail" else f"{name} ({verdict.outcome})"
                for name, verdict in verdicts.items()
                if verdict.outcome in tripping and is_owed(verdict)
            ]
            lines += [f"{entry.row.metric.label}: {', '.join(tripped)}"] if tripped else []
        for test in self.board.tests:
            verdicts_of_test = [entry.row.verdicts[test.id] for entry in self.board.rows]
            if not any(verdict.status == "ok" for verdict in verdicts_of_test):
                lines.append(f"{test.id}: no metric could be graded on it")
        return lines

    def __repr__(self) -> str:
        """Return one line; `_repr_html_` and rich show the board."""
        board, name = self.board, type(self).__name__
        state = "complete" if self.complete else "incomplete"
        size = f"{_counted(len(board.tests), 'test')} of {_counted(len(board.rows), 'metric')}"
        return f"<{name} {board.suite}@{board.version}: {size}, {state}; {self.path or 'not recorded'}>"

    def to_dict(self) -> dict[str, Any]:
        """Return the leaderboard document as plain data."""
        return to_document(self.board)

    def __rich__(self) -> RenderableType:
        """Return the board as a table for rich."""
        from simbench.publish.terminal import table

        return table(self.board)

    def _repr_html_(self) -> str:
        from simbench.publish.page import fragment

        return fragment(self.board)


def run(
    suite: str | Path | Suite,
    *,
    metrics: Sequence[MetricLike] = (),
    suite_metrics: bool = True,
    excluded: Sequence[str] = (),
    only: Sequence[str] = (),
    device: str = "auto",
    jobs: int | None = None,
    engine: str = "processes",
    force: bool = False,
    store: str | Path | None = None,
    memory_limit: int | None = None,
    time_limit: float | None = None,
    listener: Listener = ignore,
) -> RunResult:
    """Score every metric of a suite, and further ones, against the suite's tests; resume by default.

    Args:
        suite: the name of a bundled suite, the path of a YAML file, or a loaded suite.
        metrics: metrics to score besides the suite's own: names, `all`, `family:CKA`, `file.py[:attr]`,
            `pkg.mod:attr`, or functions decorated with `@simbench.metric`.
        suite_metrics: whether to score the suite's own metrics.
        excluded: metrics to leave out, by name, by label or as `family:CKA`.
        only: ids of the tests to run; all by default.
        device: `auto`, `cpu` or `cuda`.
        jobs: worker processes; one per core by default.
        engine: `processes` or `serial`.
        force: whether to compute scores again that are in the store (trained models are kept).
        store: folder of the store; `$SIMBENCH_STORE` or the user's cache by default.
        memory_limit: bytes that the metrics of one worker may hold besides the representations; 2 GiB by default.
        time_limit: seconds after which a block of scores of one metric is stopped, so that its scores are timeouts,
            which the next run tries again; six hours by default.
        listener: called with the events of `simbench.run.events`.
    """
    from simbench.run.steps import Steps  # imports torch, which `publish` and `plan` do not need

    if multiprocessing.current_process().name == WORKER:
        raise SimbenchError(
            "a worker of a run cannot run a suite: in a file with metrics, simbench.run belongs under "
            'if __name__ == "__main__"'
        )
    started = time.perf_counter()
    place = Store(
        Path(store) if store is not None else None, warn=lambda message: listener(Warned(message)), mends=True
    )
    plan = prepare(suite, metrics, only, suite_metrics=suite_metrics, excluded=excluded)
    chosen, device_name = choose_device(device)
    workers = jobs or default_jobs()
    facts = collect(device=chosen, device_name=device_name, jobs=workers, engine=engine)
    provenance = place.remember_provenance(facts)
    with _lease_of(plan, place, provenance) as lease:

        def listen(event: Event) -> None:
            lease.touch()
            listener(event)

        running = make_engine(engine, workers)
        try:
            steps = Steps(plan, place, running, listen, chosen, provenance, memory_limit or DEFAULT, time_limit)
            missing = steps.missing_scores(force=force)
            if any(wanted for _, wanted in missing):
                lease.require()  # before hours of work that could not be stored
            steps.prepare(missing, facts)
            steps.refuse_copies()
            trained, failed_models = steps.obtain_models(missing)
            if trained:
                steps.refuse_copies()
            unavailable = steps.extract(missing, failed_models)
            scored = steps.score(missing, unavailable)
        except BaseException:
            running.close()
            remove_abandoned(place.root)  # of workers that were ended in the middle of writing
            raise
        finally:
            running.close()
        records = stored_records(plan, place)
        runs = runs_behind(place, records)
    asked = sum(len(planned.scores) for planned in plan.metrics)
    work = Work(trained, steps.models_cached, scored, asked - scored, tuple(steps.failures))
    board = grade(plan, records, {"runs": runs})
    try:
        path = _recorded(to_document(board, score_table(plan, records)), place)
    except StorageError as error:  # the board can be shown all the same
        listener(Warned(f"the run is not recorded: {error}"))
        path = None
    return RunResult(board, work, path, place.root, time.perf_counter() - started)


def _lease_of(plan: Plan, store: Store, provenance: str) -> AbstractContextManager[Holder]:
    """Hold all that a plan needs of the store, so that `simbench cache` spares it."""
    return leased(
        store,
        plan.suite.title,
        models=[model.key for model in plan.models.values()],
        activations=[key for planned in plan.activations.values() for key in planned.keys],
        metrics=[planned.metric.identity for planned in plan.metrics],
        provenance=provenance,
    )


def prepare(
    suite: str | Path | Suite,
    metrics: Sequence[MetricLike] = (),
    only: Sequence[str] = (),
    *,
    suite_metrics: bool = True,
    excluded: Sequence[str] = (),
) -> Plan:
    """Load a suite, gather the given metrics and, unless `suite_metrics` is false, its own, and make a plan."""
    loaded = suite if isinstance(suite, Suite) else load_suite(str(suite))
    if not suite_metrics and not metrics:
        raise SimbenchError("without the suite's metrics there is nothing to score: give one by --metric")
    gathered = gather_metrics(loaded, metrics) if suite_metrics else gather_given(metrics)
    left = without(gathered, excluded)
    if gathered and not left:
        raise SimbenchError(f"without {', '.join(excluded)} no metric is left to score")
    return make_plan(loaded, left, only)


def stored_results(
    suite: str | Path | Suite,
    *,
    metrics: Sequence[MetricLike] = (),
    suite_metrics: bool = True,
    excluded: Sequence[str] = (),
    only: Sequence[str] = (),
    store: Store | str | Path | None = None,
) -> tuple[Board, list[ScoreRow]]:
    """Return the leaderboard of a suite and its scores from the store; only verdicts are computed."""
    place = store if isinstance(store, Store) else Store(Path(store) if store is not None else None)
    plan = prepare(suite, metrics, only, suite_metrics=suite_metrics, excluded=excluded)
    records = stored_records(plan, place)
    provenance = {"made_with": made_with(), "runs": runs_behind(place, records)}
    return grade(plan, records, provenance), score_table(plan, records)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def choose_device(device: str) -> tuple[str, str]:
    """Return (`cpu` or `cuda`, its name); raise `SimbenchError` if CUDA is asked for but not available."""
    import torch

    if device not in ("auto", "cpu", "cuda"):
        raise SimbenchError(f'unknown device "{device}"; valid: auto, cpu, cuda')
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise SimbenchError("--device cuda: there is no CUDA device here (or torch is a CPU build); use --device cpu")
    if device == "cpu" or not available:
        return "cpu", cpu_name()
    return "cuda", torch.cuda.get_device_name()


def _recorded(document: Mapping[str, Any], store: Store) -> Path:
    """Write a run's document into the store, under a new id."""
    run_id = f"{document['suite']}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    return store.write_run(run_id, dict(document))
