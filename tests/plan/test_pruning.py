"""What a choice removes from a store, what it spares, and what a key depends on."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from simbench.errors import SimbenchError
from simbench.metrics.metric import Metric
from simbench.plan.explain import explain, text_of
from simbench.plan.plan import Plan, make_plan
from simbench.plan.pruning import KINDS_BY_DEFAULT, Choice, Needs, carry_out, choose, needs_of
from simbench.results.inventory import KINDS, Kind, inventory
from simbench.results.lease import lease_files, leased
from simbench.results.record import ScoreRecord
from simbench.results.store import Store
from simbench.suite.schema import Suite

SuiteWith = Callable[..., Suite]
DAY = 86400.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def record(key: str, metric: str = "plain@1", provenance: str = "p") -> ScoreRecord:
    return ScoreRecord(
        key=key,
        metric=metric,
        parameters={},
        a="net/0 block1",
        b="net/0 block2",
        a_key="aa",
        b_key="bb",
        status="ok",
        value=1.0,
        seconds=0.0,
        suite="planned@1",
        provenance=provenance,
    )


def put(path: Path, age: float = 0.0, size: int = 10) -> Path:
    """Write a file of an age in days."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    made = time.time() - age * DAY
    os.utime(path, (made, made))
    return path


def put_model(store: Store, key: str, age: float = 0.0) -> Path:
    for name in ("weights.safetensors", "model.json"):
        put(store.model(key) / name, age)
    return store.model(key)


@pytest.fixture
def filled(store: Store) -> Store:
    """A store with two of each kind, the second of which is 40 days old."""
    for key, age in (("m1", 0.0), ("m2", 40.0)):
        put_model(store, key, age)
    for key, age in (("a1", 0.0), ("a2", 40.0)):
        put(store.activations(key), age)
    for key, age in (("s1", 0.0), ("s2", 40.0)):
        block = store.write_block([record(key, provenance=store.write_provenance({"run": key}))])
        os.utime(block, (time.time() - age * DAY,) * 2)
        put(store.root / "provenance" / f"{store.write_provenance({'run': key})}.json", age)
    for number, age in (("1", 0.0), ("2", 40.0)):
        put(store.root / "runs" / f"run{number}.json", age)
        put(store.root / "data" / f"data{number}.safetensors", age)
        put(store.root / "failures" / "models" / f"m{number}.txt", age)
    return store


def chosen(store: Store, **choice: object) -> set[str]:
    """Return kind and key of what a choice would remove; of provenance and blocks, which have ids, only the kind."""
    items = choose(store, Choice(**choice)).items  # type: ignore[arg-type]
    return {item.kind if item.kind in ("scores", "provenance") else f"{item.kind} {item.key}" for item in items}


def only(kind: Kind) -> Choice:
    """Choose everything of one kind."""
    return Choice(kinds=(kind,))


def test_every_kind_is_counted_with_its_size(filled: Store) -> None:
    items = inventory(filled)
    assert {kind: sum(item.kind == kind for item in items) for kind in KINDS} == {
        **dict.fromkeys(KINDS, 2),
        "temporary": 0,
    }
    assert [item.bytes for item in items if item.kind == "models"] == [20, 20]


def test_an_empty_store_has_nothing(store: Store) -> None:
    assert inventory(store) == []
    assert choose(store, Choice()).items == []


def test_by_age_only_what_is_older_goes(filled: Store) -> None:
    assert chosen(filled, older_than=30 * DAY) == {"models m2", "activations a2", "scores", "provenance", "failures m2"}
    assert chosen(filled, older_than=50 * DAY) == set()


def test_runs_and_data_go_only_where_they_are_named(filled: Store) -> None:
    assert not {"runs", "data"} & set(KINDS_BY_DEFAULT)
    assert chosen(filled, kinds=("runs", "data"), older_than=30 * DAY) == {"runs run2", "data data2.safetensors"}


def test_provenance_stays_while_a_score_that_stays_names_it(filled: Store) -> None:
    assert "provenance" not in chosen(filled, kinds=("provenance",))
    assert chosen(filled, kinds=("scores", "provenance")) == {"scores", "provenance"}


@pytest.mark.parametrize(
    ("orphans", "removed"),
    [
        (False, {"models m1", "activations a1", "scores", "failures m1"}),
        (True, {"models m2", "activations a2", "scores", "provenance", "failures m2"}),
    ],
)
def test_by_suite_goes_what_it_needs_or_what_it_does_not_need(orphans: bool, removed: set[str], filled: Store) -> None:
    assert chosen(filled, needs=Needs({"m1"}, {"a1"}, {"s1"}), orphans=orphans) == removed


@pytest.mark.parametrize("orphans", [False, True])
def test_a_block_with_scores_of_others_stays(orphans: bool, store: Store) -> None:
    store.write_block([record("s1"), record("s2")])
    pruning = choose(store, Choice(needs=Needs((), (), {"s1"}), orphans=orphans))
    assert (len(pruning.items), len(pruning.shared)) == (0, 1)


def test_carrying_out_removes_exactly_what_was_chosen(filled: Store) -> None:
    before = {item.path for item in inventory(filled)}
    pruning = choose(filled, Choice(older_than=30 * DAY))
    done = carry_out(filled, pruning)
    assert {item.path for item in inventory(filled)} == before - {item.path for item in pruning.items}
    assert [item.path for item in done.items] == [item.path for item in pruning.items]
    assert not filled.model("m2").exists()


def test_what_a_run_under_way_needs_stays(filled: Store) -> None:
    with leased(filled, "small@1", models=["m2"], activations=["a2"], metrics=["plain@1"], provenance="p"):
        pruning = choose(filled, Choice(kinds=KINDS))
        kept = {f"{item.kind} {item.key}" for item in pruning.in_use if item.kind != "scores"}
        data = {f"data data{number}.safetensors" for number in (1, 2)}
        assert kept == {"models m2", "activations a2", "failures m2"} | data
        assert sum(item.kind == "scores" for item in pruning.in_use) == 2
        assert "models m1" in {f"{item.kind} {item.key}" for item in pruning.items}


def test_a_run_that_begins_meanwhile_keeps_what_it_needs(filled: Store) -> None:
    pruning = choose(filled, only("models"))
    assert len(pruning.items) == 2
    with leased(filled, "small@1", models=["m1"], activations=[], metrics=[], provenance=""):
        done = carry_out(filled, pruning)
    assert [item.key for item in done.items] == ["m2"]
    assert [item.key for item in done.in_use] == ["m1"]
    assert filled.model("m1").is_dir()


def test_leases_that_have_expired_go_too(filled: Store) -> None:
    put(filled.root / "leases" / "dead.json", age=2)
    (filled.root / "leases" / "folder.json").mkdir()
    carry_out(filled, choose(filled, only("models")))
    assert lease_files(filled.root) == []


def test_of_files_in_writing_only_abandoned_ones_go(store: Store) -> None:
    from simbench.processes import this_machine

    own, dead = (f".m.{this_machine()}-{process}.x.tmp" for process in (os.getpid(), 2**22 + 1))
    for name, age in ((own, 9), (dead, 0), (".m.abc.tmp", 0), (".n.abc.tmp", 9), (".m.00000000-1.x.tmp", 9)):
        put(store.root / "scores" / "plain@1" / name, age)
    pruning = choose(store, only("temporary"))
    assert {item.path.name for item in pruning.items} == {dead, ".n.abc.tmp", ".m.00000000-1.x.tmp"}


def test_what_cannot_be_removed_is_said(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("simbench.plan.pruning.remove", refuse)
    done = carry_out(filled, choose(filled, only("activations")))
    assert done.items == []
    assert set(done.failed.values()) == {"Permission denied"}


@pytest.fixture
def plan(suite_with: SuiteWith, plain: Metric) -> Plan:
    return make_plan(suite_with(("seeds: [0, 1, 2]", "seeds: [0]")), [plain], ["same", "turned"])


def test_a_plan_needs_its_models_activations_and_scores(plan: Plan) -> None:
    needs = needs_of([plan])
    assert set(needs.models) == {model.key for model in plan.models.values()}
    assert set(needs.activations) == {key for planned in plan.activations.values() for key in planned.keys}
    assert set(needs.activations) > set(plan.activations)
    assert set(needs.scores) == {key for planned in plan.metrics for key in planned.scores}


def test_a_score_depends_on_all_that_its_suite_says(plan: Plan, store: Store) -> None:
    key, comparison = next(iter(plan.metrics[0].scores.items()))
    explanation = explain(key[:12], store, [plan])
    assert (explanation.key, explanation.kind) == (key, "score")
    assert explanation.depends_on["a"]["name"] == str(comparison.a)
    model = explanation.depends_on["a"]["probe"]["model"]
    assert (model["train"]["epochs"], model["seed"], model["data"]["name"]) == (2, 0, "digits")
    assert explanation.depends_on["a"]["spatial"] == {"mode": "positions", "rows": 400}
    json.dumps(explanation.to_dict(), allow_nan=False)


def test_every_key_of_a_plan_can_be_explained(plan: Plan, store: Store) -> None:
    kinds = {
        **{model.key: "model" for model in plan.models.values()},
        **dict.fromkeys(plan.activations, "activations"),
        **dict.fromkeys(plan.representation_keys.values(), "representation"),
        **{key: "score" for planned in plan.metrics for key in planned.scores},
    }
    assert set(kinds.values()) == {"model", "activations", "representation", "score"}
    for key, kind in kinds.items():
        assert explain(key, store, [plan]).kind == kind


def test_without_a_plan_the_store_says_what_it_knows(store: Store) -> None:
    path = store.write_block([record("0123456789")])
    explanation = explain("012345", store)
    assert (explanation.kind, explanation.name) == ("score", "plain@1: net/0 block1 → net/0 block2")
    assert explanation.depends_on["a"] == {"name": "net/0 block1", "key": "aa"}
    assert explanation.stored[0]["path"] == str(path)
    assert explanation.stored[0]["value"] == 1.0
    assert text_of(explanation).splitlines()[:3] == [
        "score 0123456789: plain@1: net/0 block1 → net/0 block2",
        "depends on",
        "  metric: plain@1",
    ]


@pytest.mark.parametrize(
    ("beginning", "message"),
    [
        ("01234", "too short for a key: give at least 6 characters"),
        ("abcdef", 'unknown key "abcdef"'),
        ("012345", '2 keys begin with "012345"'),
    ],
)
def test_a_key_that_is_not_one_key_is_said(beginning: str, message: str, store: Store) -> None:
    store.write_block([record("0123456789"), record("0123450000")])
    with pytest.raises(SimbenchError, match=message):
        explain(beginning, store)
