"""Steps of a run: obtain the models, read their layers, score what is missing."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from simbench.errors import NotApplicable, SimbenchError, StorageError
from simbench.metrics.kernels.memory import DEFAULT
from simbench.metrics.metric import Metric, Score
from simbench.models.checkpoint import verified
from simbench.models.model_record import CorruptError, read_record
from simbench.plan.obtainable import COPIES, copy_problems
from simbench.plan.plan import Plan, PlannedActivations, PlannedModel, needs_fit
from simbench.plan.reduction import are_rows_enough
from simbench.process_state import preserved_state
from simbench.references import Comparison, ModelRef, RepresentationRef
from simbench.representations.storage import DamagedError, read_header
from simbench.results.store import MODEL_RECORD, MODEL_WEIGHTS, Store
from simbench.run.blocks import blocks_of, bundles_of
from simbench.run.engines import Engine, Outcome, Report, Task
from simbench.run.events import Advanced, Computing, Listener, Stage, StageFinished, StageStarted, Warned
from simbench.run.extraction import Wanted, extract, find_damage
from simbench.run.materials import TIME_LIMIT, Materials
from simbench.run.same_weights import same_weights
from simbench.run.tasks import (
    BlockEnd,
    ScoreBlock,
    Unwritable,
    failed_records,
    score_blocks,
    timed_out_records,
    timeout_reason,
    train_model,
)
from simbench.suite.schema import Probe

# Files of activations that one task holds against their checksums.
CHECKED_AT_ONCE = 32
# Tuple (model, layer, reparametrisation, inputs) that names activations.
Place = tuple[Any, ...]
# Scores to compute: for each metric, comparisons by score key.
Missing = list[tuple[Metric, dict[str, Comparison]]]


def _references(missing: Missing) -> set[RepresentationRef]:
    return {side for _, wanted in missing for comparison in wanted.values() for side in (comparison.a, comparison.b)}


class Steps:
    """Steps of one run, each of which does what is missing and reports failures without stopping the rest."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        engine: Engine,
        listener: Listener,
        device: str,
        provenance: str,
        memory_limit: int = DEFAULT,
        time_limit: float | None = None,
    ) -> None:
        """Prepare the steps of a plan.

        Args:
            plan: the plan.
            store: the store to read from and to write to.
            engine: the engine that runs the tasks.
            listener: the receiver of the events.
            device: `cpu` or `cuda`.
            provenance: the id of the run's provenance.
            memory_limit: bytes that the metrics of one worker may hold besides the representations.
            time_limit: seconds after which a block of scores is stopped.
        """
        self.plan, self.store, self.engine, self.listener = plan, store, engine, listener
        self.provenance = provenance
        self.materials = Materials.of(plan, store, device, memory_limit, time_limit or TIME_LIMIT)
        self._keys = {str(model.ref): model.key for model in plan.models.values()}
        self.models_cached = 0
        self.failures: list[str] = []

    def missing_scores(self, *, force: bool) -> Missing:
        """Return the scores that the store does not have (or, with `force`, all of them), by metric."""
        missing: Missing = []
        for planned in self.plan.metrics:
            stored = {} if force else self.store.scores(planned.metric.identity)
            wanted = {key: c for key, c in planned.scores.items() if key not in stored or not stored[key].settled}
            missing.append((planned.metric, wanted))
        return missing

    def prepare(self, missing: Missing, facts: Mapping[str, Any]) -> None:
        """Store the provenance of scores to come, and the data; raise `StorageError` before anything is computed."""
        if any(wanted for _, wanted in missing):
            self.store.write_provenance(facts)
            self._prepare_data()

    def obtain_models(self, missing_scores: Missing) -> tuple[int, dict[ModelRef, str]]:
        """Train the models that missing scores need; return their number, and the reasons of those that failed."""
        wanted = [
            model for model in self.plan.models.values() if model.spec is not None and model.spec.train is not None
        ]
        needed = {ref.model for ref in _references(missing_scores)}
        missing = [model for model in wanted if model.ref in needed and not self._has_model(model)]
        teachers = {model.teacher for model in missing} - {model.ref for model in missing}
        missing += [model for model in wanted if model.ref in teachers and not self._has_model(model)]
        self.models_cached = len(wanted) - len(missing)
        epochs = {str(model.ref): model.spec.train.epochs for model in wanted if model.spec and model.spec.train}
        done = sum(epochs[str(model.ref)] for model in wanted if model not in missing)
        keys = {str(model.ref): model for model in missing}
        failed: dict[ModelRef, str] = {}
        self.listener(StageStarted("models", sum(epochs.values()), done))
        students = [model for model in missing if model.teacher is not None]
        trained = _Reports(self.listener, "models", lambda name, units: self.listener(Advanced("models", units, name)))
        for wave in ([model for model in missing if model.teacher is None], students):  # teachers have none themselves
            tasks = [Task(str(model.ref), train_model, (self.materials, model)) for model in wave]
            for outcome in self._run(tasks, trained):
                if outcome.reason is not None:
                    model = keys[outcome.task.name]
                    failed[model.ref] = self._failed(f"training {outcome.task.name}", outcome.reason)
                    self.store.record_failure("models", model.key, outcome.reason)
        self.listener(StageFinished("models", len(failed)))
        return len(missing) - len(failed), failed

    def refuse_copies(self) -> None:
        """Raise `SimbenchError` if two members of a group have the same weights: they are one network."""
        for group, problem in copy_problems(self.plan.suite).items():
            if any(model.ref.group == group for model in self.plan.models.values()):
                raise SimbenchError(problem)
        for group in dict.fromkeys(model.ref.group for model in self.plan.models.values()):
            copies = same_weights(self.plan.suite, group)
            if copies is not None:
                raise SimbenchError(f"models.{group}: {copies[0]} and {copies[1]} have the same weights; {COPIES}")
        members: dict[tuple[str, str], ModelRef] = {}
        for model in self.plan.models.values():
            if model.spec is None or model.spec.train is None or not self.store.has_model(model.key):
                continue
            try:
                digest = read_record(self.store.model(model.key), model.key).weights_sha256
            except CorruptError:  # was reported where it was needed, and is trained again
                continue
            same = members.setdefault((model.ref.group, digest), model.ref)
            if same != model.ref:
                raise SimbenchError(
                    f"{same} and {model.ref} have the same weights, and the members of a group are different networks: "
                    "the architecture does not heed the seed; leave one of them out"
                )

    def extract(self, missing: Missing, failed_models: Mapping[ModelRef, str]) -> dict[Place, Score]:
        """Store the activations that are missing; return those that are unavailable, each with a skip or an error."""
        unavailable: dict[Place, Score] = {}
        needed = _needed(missing, self.plan.suite.probe)
        obtainable: list[Wanted] = []
        for planned in self.plan.activations.values():
            if _place(planned)[:3] not in needed:
                continue
            if planned.model in failed_models:
                reason = f"{planned.model} could not be trained: {failed_models[planned.model]}"
                unavailable[_place(planned)] = Score.error(reason)
            else:
                whole = planned.inputs == "fit" or needed[_place(planned)[:3]]
                obtainable.append(Wanted(planned, whole))
        groups: dict[Place, list[Wanted]] = {}
        for each in self._not_stored(obtainable):
            planned = each.planned
            groups.setdefault((planned.model, planned.reparametrisation, planned.inputs), []).append(each)
        tasks = [Task(str(number), extract, (self.materials, group)) for number, group in enumerate(groups.values())]
        by_name = dict(zip((task.name for task in tasks), groups.values(), strict=True))
        total = sum(len(group) for group in groups.values())
        self.listener(StageStarted("representations", total, 0))
        for outcome in self._run(tasks, _Reports(self.listener, "representations")):
            group = [each.planned for each in by_name[outcome.task.name]]
            if outcome.skipped:
                unavailable.update({_place(planned): Score.skip(str(outcome.reason)) for planned in group})
            elif outcome.reason is not None:
                reason = self._failed(f"reading {group[0].model}", outcome.reason)
                unavailable.update({_place(planned): Score.error(reason) for planned in group})
            else:
                for planned in group:
                    if planned.layer in outcome.value:
                        reason = self._failed(f"reading {planned.model} {planned.layer}", outcome.value[planned.layer])
                        unavailable[_place(planned)] = Score.error(reason)
            self.listener(Advanced("representations", len(group), str(group[0].model)))
        failed = sum(score.status == "error" for score in unavailable.values())
        self.listener(StageFinished("representations", failed))
        return unavailable

    def score(self, missing: Missing, unavailable: Mapping[Place, Score]) -> int:
        """Score the missing comparisons block by block; return the number of new scores."""
        blocks: list[ScoreBlock] = []
        for metric, wanted in missing:
            refs = _references([(metric, wanted)])
            sides = ("probe", "fit") if needs_fit(metric) else ("probe",)
            failed = {ref: reason for ref in refs if (reason := _unavailable(ref, unavailable, sides)) is not None}
            blocks.extend(blocks_of(self.plan, metric, wanted, failed, self.provenance))
        total = sum(len(planned.scores) for planned in self.plan.metrics)
        missing_total = sum(len(wanted) for _, wanted in missing)
        self.listener(StageStarted("scores", total, total - missing_total))
        failures = self._score_bundles(bundles_of(blocks))
        self.listener(StageFinished("scores", failures))
        return missing_total

    def _run(self, tasks: Sequence[Task], report: Report) -> Iterator[Outcome]:
        """Run tasks; raise `StorageError` as soon as one cannot store its result."""
        for outcome in self.engine.run(tasks, report):
            if isinstance(outcome.value, Unwritable):
                raise StorageError(outcome.value.reason)
            yield outcome

    def _score_bundles(self, bundles: Sequence[Sequence[ScoreBlock]]) -> int:
        """Score bundles; of a bundle that fails, try the blocks that are not done again. Return the failed scores."""
        failures = 0
        again: list[Sequence[ScoreBlock]] = []
        shown: Counter[str] = Counter()

        def advance(name: str, units: float) -> None:
            if shown[name] < len(bundles[int(name)]):
                block = bundles[int(name)][shown[name]]
                shown[name] += 1
                self.listener(Advanced("scores", len(block.scores), block.metric.label))

        tasks = [Task(str(number), score_blocks, (self.materials, bundle)) for number, bundle in enumerate(bundles)]
        for outcome in self._run(tasks, _Reports(self.listener, "scores", advance)):
            bundle = outcome.task.arguments[1]
            ends: Sequence[BlockEnd] = outcome.value if outcome.reason is None else outcome.parts
            failures += sum(end.unsettled for end in ends)
            for end in ends:
                if end.timeout is not None:
                    self.listener(Warned(end.timeout))
            left = bundle[len(ends) :]
            if left and outcome.timed_out:  # it was killed, since it did not stop
                failures += len(left[0].scores)
                self.listener(Warned(timeout_reason(self.materials, left[0])))
                self.store.write_block(timed_out_records(self.materials, left[0]))
                left = left[1:]
                again += [left] if left else []
            elif left and len(bundle) > 1:
                again += [[block] for block in left]
            elif left:
                failures += len(left[0].scores)
                self._failed(f"scoring with {left[0].metric.label}", str(outcome.reason))
                self.store.write_block(failed_records(self.materials, left[0], str(outcome.reason)))
                left = ()
            while shown[outcome.task.name] < len(bundle) - len(left):
                advance(outcome.task.name, 1)
        return failures + (self._score_bundles(again) if again else 0)

    def _prepare_data(self) -> None:
        """Put the datasets into the cache before workers start, so that each is made only once."""
        with preserved_state(usual=True), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for side in dict.fromkeys(model.inputs for model in self.plan.activations.values()):
                with suppress(NotApplicable):  # concerns those alone who read it
                    self.materials.inputs(side)
            for model in self.plan.models.values():
                if model.spec is not None and model.spec.train is not None:
                    self.materials.dataset(model.spec.train.dataset)
        for message in dict.fromkeys(str(warning.message) for warning in caught):
            self.listener(Warned(message))

    def _has_model(self, planned: PlannedModel) -> bool:
        """Tell whether a checkpoint exists, is intact and is that of this model; name one that is not."""
        folder = self.store.model(planned.key)
        if any(self.store.is_blocked(folder / name) for name in (MODEL_WEIGHTS, MODEL_RECORD)):
            return False
        if not self.store.has_model(planned.key):
            return False
        try:
            verified(folder, planned.key)
        except CorruptError as error:
            self.listener(Warned(f"{error}; it is trained again"))
            return False
        return True

    def _not_stored(self, obtainable: Sequence[Wanted]) -> list[Wanted]:
        """Return what is to be read anew: what is missing, and what is damaged, which workers find out."""
        keys = {each.planned.key: self._stored_key(each) for each in obtainable}
        files = [(self.store.activations(key), key) for key in keys.values() if key is not None]
        batches = [files[start : start + CHECKED_AT_ONCE] for start in range(0, len(files), CHECKED_AT_ONCE)]
        tasks = [Task(str(number), find_damage, (batch,)) for number, batch in enumerate(batches)]
        damage: dict[str, str] = {}
        for outcome in self._run(tasks, _Reports(self.listener, "representations")):
            all_of_them = {key: f"{path}: {outcome.reason}" for path, key in outcome.task.arguments[0]}
            damage |= outcome.value if outcome.reason is None else all_of_them
        for problem in damage.values():
            self.listener(Warned(f"{problem}; it is made again"))
        return [each for each in obtainable if (key := keys[each.planned.key]) is None or key in damage]

    def _stored_key(self, wanted: Wanted) -> str | None:
        """Return the key of the file that holds activations, by what its header says; name one that is damaged."""
        planned = wanted.planned
        for key in (planned.key,) if wanted.whole else planned.keys:
            path = self.store.activations(key)
            if self.store.is_blocked(path):
                continue
            try:
                notes = read_header(path, key)
                if "key" not in notes and (elsewhere := self._elsewhere(planned, notes)):
                    raise DamagedError(f"{path}: {elsewhere}")
            except FileNotFoundError:
                continue
            except DamagedError as error:
                self.listener(Warned(f"{error}; it is made again"))
                return None
            return key
        return None

    def _elsewhere(self, planned: PlannedActivations, notes: Mapping[str, str]) -> str | None:
        """Return why activations of a former version, which say no key, are not those planned; None if they may be."""
        name, key = notes.get("model", str(planned.model)), self.plan.models[planned.model].key
        if self._keys.get(name, key) != key:
            return f"holds activations of {name}, not of {planned.model}"
        # Another suite may have called the group otherwise; the seed is part of the key.
        if name.rpartition("/")[2] != planned.model.own_name:
            return f"holds activations of {name}, not of seed {planned.model.own_name}"
        for what, wanted in (("layer", planned.layer), ("inputs", planned.inputs)):
            if notes.get(what, wanted) != wanted:
                return f"holds the {what} {notes[what]}, not {wanted}"
        if ("largest_log_probability_change" in notes) != (planned.reparametrisation is not None):
            return "differs from what is planned in whether the weights were reparametrised"
        return None

    def _failed(self, what: str, reason: str) -> str:
        self.failures.append(f"{what}: {reason}")
        self.listener(Warned(f"{what} failed: {reason}"))
        return reason


class _Reports:
    """Receiver of the reports of one stage's tasks: passes on what they compute, and what they have done."""

    def __init__(self, listener: Listener, stage: Stage, advance: Report = lambda name, units: None) -> None:
        """Pass units of work to `advance`, and what is computed to the listener."""
        self._listener, self._stage, self._advance = listener, stage, advance

    def __call__(self, name: str, units: float) -> None:
        """Pass on the work done by a task."""
        self._advance(name, units)

    def computing(self, name: str, what: str | None) -> None:
        """Pass on what a task computes from now on; None at its end."""
        self._listener(Computing(self._stage, name, what))


def _needed(missing: Missing, probe: Probe) -> dict[Place, bool]:
    """Return the places that missing scores need, and whether a metric reads more there than the rows."""
    needed: dict[Place, bool] = {}
    for metric, wanted in missing:
        for ref in _references([(metric, wanted)]):
            place = (ref.model, ref.layer, ref.reparametrisation)
            needed[place] = needed.get(place, False) or not are_rows_enough(metric, ref, probe)
    return needed


def _place(planned: PlannedActivations) -> Place:
    return (planned.model, planned.layer, planned.reparametrisation, planned.inputs)


def _unavailable(ref: RepresentationRef, unavailable: Mapping[Place, Score], sides: Sequence[str]) -> Score | None:
    place = (ref.model, ref.layer, ref.reparametrisation)
    return next((unavailable[(*place, side)] for side in sides if (*place, side) in unavailable), None)
