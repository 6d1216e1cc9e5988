"""The store: immutable blocks, of which the newest settled record counts, whoever writes and whatever is damaged."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simbench.models.model_record import CorruptError, read_record
from simbench.results.inventory import inventory
from simbench.results.lease import live_leases
from simbench.results.provenance import identifier
from simbench.results.record import Block, ScoreRecord
from simbench.results.store import MODEL_RECORD, Store, StoreWarning, default_root

MakeRecord = Callable[..., ScoreRecord]


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time passes between any two blocks."""
    now = iter(range(10**6))
    monkeypatch.setattr(time, "time", lambda: float(next(now)))


def error(record: MakeRecord, reason: str = "broken") -> ScoreRecord:
    return record(status="error", value=None, reason=reason)


def test_an_empty_store_has_no_scores(store: Store) -> None:
    assert store.scores("cka@1") == {}


def test_scores_are_found_by_metric_and_key(store: Store, record: MakeRecord) -> None:
    store.write_block([record("one", 0.1), record("two", 0.2)])
    store.write_block([record("three", 0.3, metric="cca@1")])
    assert {key: found.value for key, found in store.scores("cka@1").items()} == {"one": 0.1, "two": 0.2}
    assert {key: found.value for key, found in store.scores("cca@1").items()} == {"three": 0.3}


@pytest.mark.parametrize("metric", ["mine@source-0a1b", "lab/cka@1", "dépôt@2", "../../escape@1"])
def test_any_metric_identity_has_a_folder_inside_the_store(metric: str, store: Store, record: MakeRecord) -> None:
    path = store.write_block([record(metric=metric)])
    assert path.is_relative_to(store.root / "scores")
    assert path.parent.parent == store.root / "scores"
    assert set(store.scores(metric)) == {"k"}


@pytest.mark.usefixtures("ticking")
def test_the_newest_record_counts(store: Store, record: MakeRecord) -> None:
    for value in (0.1, 0.2, 0.3):
        store.write_block([record(value=value)])
    assert store.scores("cka@1")["k"].value == 0.3


def test_the_newest_record_counts_whatever_its_file_is_called(store: Store, record: MakeRecord) -> None:
    for created, name, value in ((2.0, "a", 0.2), (1.0, "z", 0.1)):
        path = store.write_block([record(value=value)])
        block = Block(created=created, records=(record(value=value),))
        path.write_text(block.model_dump_json())
        path.rename(path.with_name(f"{name}.json"))
    assert store.scores("cka@1")["k"].value == 0.2


@pytest.mark.usefixtures("ticking")
@pytest.mark.parametrize("order", [["ok", "error"], ["error", "ok"], ["ok", "error", "error"], ["skip", "error"]])
def test_a_settled_record_counts_before_any_failure(order: list[str], store: Store, record: MakeRecord) -> None:
    settled = record() if "ok" in order else record(status="skip", value=None, reason="no model")
    for status in order:
        store.write_block([error(record) if status == "error" else settled])
    assert store.scores("cka@1")["k"] == settled


@pytest.mark.usefixtures("ticking")
def test_the_newest_failure_says_why(store: Store, record: MakeRecord) -> None:
    store.write_block([error(record, "first")])
    store.write_block([error(record, "second")])
    found = store.scores("cka@1")["k"]
    assert (found.reason, found.settled) == ("second", False)


@pytest.mark.parametrize("damage", ["", "{", '{"created": 1}', "\x00\x01", "[]", "null"])
def test_a_damaged_block_is_ignored_and_the_others_are_read(damage: str, store: Store, record: MakeRecord) -> None:
    damaged = store.write_block([record("lost")])
    store.write_block([record("kept")])
    damaged.write_text(damage)
    assert set(store.scores("cka@1")) == {"kept"}


def test_a_block_with_one_bad_record_is_no_whole_block(store: Store, record: MakeRecord) -> None:
    path = store.write_block([record("one"), record("two")])
    document = json.loads(path.read_text())
    document["records"][1]["value"] = None
    path.write_text(json.dumps(document))
    assert store.scores("cka@1") == {}


def test_a_block_that_is_being_written_is_not_read(store: Store, record: MakeRecord) -> None:
    path = store.write_block([record("one")])
    path.with_name(f".{path.name}.abc.tmp").write_text("half")
    assert set(store.scores("cka@1")) == {"one"}


def write_many(root: Path, writer: int, count: int) -> None:
    store = Store(root)
    for number in range(count):
        record = ScoreRecord(
            key=f"{writer}-{number}",
            metric="cka@1",
            parameters={},
            a="a",
            b="b",
            a_key="a",
            b_key="b",
            status="ok",
            value=float(number),
            seconds=0.0,
            suite="small@1",
            provenance="p",
        )
        store.write_block([record])
        store.write_provenance({"writer": "any"})


@pytest.mark.process
def test_two_processes_may_write_at_once(store: Store) -> None:
    context: Any = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn")
    writers = [context.Process(target=write_many, args=(store.root, writer, 40)) for writer in range(2)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert all(found.value is not None for found in store.scores("cka@1").values())
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert len(store.scores("cka@1")) == 80
    assert store.provenance(identifier({"writer": "any"})) == {"writer": "any"}


def test_no_temporary_file_is_left(store: Store, record: MakeRecord) -> None:
    store.write_block([record()])
    store.write_provenance({})
    store.write_run("small-1", {"rows": []})
    store.record_failure("models", "k", "why")
    files = [path for path in store.root.rglob("*") if path.is_file()]
    assert len(files) == 4
    assert not [path for path in files if path.name.startswith(".") or path.suffix == ".tmp"]


def test_a_model_is_there_once_its_description_is(store: Store) -> None:
    store.model("k").mkdir(parents=True)
    (store.model("k") / "weights.safetensors").touch()
    assert not store.has_model("k")
    (store.model("k") / "model.json").touch()
    assert store.has_model("k")


def test_a_failure_is_remembered_until_it_is_forgotten(store: Store) -> None:
    assert store.failure("models", "k") is None
    store.record_failure("models", "k", "diverged: ∞")
    assert store.failure("models", "k") == "diverged: ∞"
    assert not store.has_model("k")
    store.forget_failure("models", "k")
    store.forget_failure("models", "k")
    assert store.failure("models", "k") is None


def test_provenance_is_written_once_and_read_back(store: Store) -> None:
    key = store.write_provenance({"python": "3.11"})
    path = store.root / "provenance" / f"{key}.json"
    written = path.stat().st_mtime_ns, path.stat().st_ino
    assert store.write_provenance({"python": "3.11"}) == key
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == written
    assert store.provenance(key) == {"python": "3.11"}


@pytest.mark.parametrize("content", [None, "", "{", "[1]", '{"python": "3.12"}', "[" * 100_000])
@pytest.mark.filterwarnings("ignore::simbench.results.store.StoreWarning")
def test_provenance_that_is_missing_or_damaged_is_empty(content: str | None, store: Store) -> None:
    key = identifier({"python": "3.11"})
    if content is not None:
        store.write_provenance({"python": "3.11"})
        (store.root / "provenance" / f"{key}.json").write_text(content)
    assert store.provenance(key) == {}


class TestDamage:
    """Whatever is damaged is named once, does not count, and is removed by a store that mends."""

    @pytest.fixture
    def said(self) -> list[str]:
        return []

    @pytest.fixture
    def mending(self, store: Store, said: list[str]) -> Store:
        return Store(store.root, warn=said.append, mends=True)

    @pytest.fixture
    def reading(self, store: Store, said: list[str]) -> Store:
        return Store(store.root, warn=said.append)

    def test_any_changed_byte_of_a_block_is_damage(self, store: Store, record: MakeRecord) -> None:
        path = store.write_block([record(value=0.25)])
        content = path.read_bytes()
        for position in range(len(content)):
            for flip in (0x01, 0x10):
                changed = bytearray(content)
                changed[position] ^= flip
                path.write_bytes(changed)
                with pytest.warns(StoreWarning):
                    assert Store(store.root).scores("cka@1") == {}, changed

    def test_a_changed_digit_is_named_once_and_the_block_dropped(
        self, mending: Store, said: list[str], record: MakeRecord
    ) -> None:
        path = mending.write_block([record(value=0.25)])
        path.write_text(path.read_text().replace('"value":0.25', '"value":0.26'))
        assert mending.scores("cka@1") == mending.scores("cka@1") == {}
        assert said == [f"{path} fails its checksum; its scores are computed again"]
        assert not path.exists()

    def test_a_store_that_is_only_read_keeps_what_is_damaged(
        self, reading: Store, said: list[str], record: MakeRecord
    ) -> None:
        path = reading.write_block([record(value=0.25)])
        path.write_text(path.read_text().replace('"value":0.25', '"value":0.26'))
        assert reading.scores("cka@1") == reading.scores("cka@1") == {}
        assert len(said) == 1
        assert path.exists()

    def test_blocks_of_former_versions_have_no_checksum_and_count(
        self, mending: Store, said: list[str], record: MakeRecord
    ) -> None:
        path = mending.write_block([record(value=0.25)])
        path.write_text(Block(created=1.0, records=(record(value=0.25),)).model_dump_json())
        assert mending.scores("cka@1")["k"].value == 0.25
        assert said == []

    def test_a_block_of_another_metric_is_out_of_place(
        self, mending: Store, said: list[str], record: MakeRecord
    ) -> None:
        path = mending.write_block([record(metric="cca@1")])
        copied = mending.write_block([record("other")]).with_name("copied.json")
        copied.write_bytes(path.read_bytes())
        assert set(mending.scores("cka@1")) == {"other"}
        assert said == [f"{copied} holds scores of cca@1, and does not belong here; its scores are computed again"]

    def test_metrics_that_share_a_folder_do_not_share_scores(
        self, reading: Store, said: list[str], record: MakeRecord
    ) -> None:
        reading.write_block([record(metric="lab/cka@1")])
        assert reading.scores("lab_cka@1") == {}
        assert set(reading.scores("lab/cka@1")) == {"k"}
        assert said == []

    def test_a_folder_in_place_of_a_block_is_named_and_removed(
        self, mending: Store, said: list[str], record: MakeRecord
    ) -> None:
        path = mending.write_block([record()])
        path.unlink()
        (path / "inside").mkdir(parents=True)
        assert mending.scores("cka@1") == {}
        assert said == [f"{path} is a folder; its scores are computed again"]
        assert not path.exists()

    @pytest.mark.parametrize("damage", ['{"jobs": 3}', "", "[]"])
    def test_damaged_provenance_is_taken_from_the_document_of_a_run(
        self, damage: str, mending: Store, said: list[str]
    ) -> None:
        facts = {"jobs": 2, "versions": {"torch": "2.4"}}
        key = mending.write_provenance(facts)
        mending.write_run("small-1", {"provenance": {"runs": {key: facts}}})
        path = mending.root / "provenance" / f"{key}.json"
        path.write_text(damage)
        assert mending.provenance(key) == facts
        assert said == [f"{path} is damaged; its facts are taken from the document of a run in this store"]
        assert json.loads(path.read_text()) == facts

    def test_damaged_provenance_that_no_run_holds_is_given_up(self, mending: Store, said: list[str]) -> None:
        key = mending.write_provenance({"jobs": 2})
        path = mending.root / "provenance" / f"{key}.json"
        path.write_text('{"jobs": 3}')
        mending.write_run("small-1", {"provenance": {"runs": {key: {"jobs": 3}}}})
        assert mending.provenance(key) == {}
        assert len(said) == 1
        assert "no run here holds its facts" in said[0]
        assert not path.exists()
        assert mending.provenance(key) == {}

    def test_damaged_provenance_of_this_run_is_written_again(self, mending: Store, said: list[str]) -> None:
        key = mending.write_provenance({"jobs": 2})
        path = mending.root / "provenance" / f"{key}.json"
        path.write_text('{"jobs": 3}')
        assert mending.write_provenance({"jobs": 2}) == key
        assert said == [f"{path} is damaged; its facts are those of this run, and are written again"]
        assert mending.provenance(key) == {"jobs": 2}


class TestDefaultRoot:
    """Where the store lies when nobody says."""

    @pytest.fixture(autouse=True)
    def clean(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SIMBENCH_STORE", raising=False)
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setenv("HOME", "/home/somebody")

    def test_it_is_the_users_cache(self) -> None:
        assert default_root() == Path("/home/somebody/.cache/simbench")

    def test_it_follows_the_cache_folder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
        assert default_root() == Path("/caches/simbench")

    def test_its_own_variable_comes_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
        monkeypatch.setenv("SIMBENCH_STORE", "~/store")
        assert default_root() == Path("/home/somebody/store")

    def test_an_empty_variable_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SIMBENCH_STORE", "")
        assert default_root() == Path("/home/somebody/.cache/simbench")

    def test_a_store_of_ones_own_is_resolved_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        store = Store(Path("here"))
        monkeypatch.chdir("/")
        assert store.root == tmp_path.resolve() / "here"


NO_FILES: dict[str, Callable[[Path], object]] = {
    "a pipe": lambda path: os.mkfifo(path),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nowhere": lambda path: path.symlink_to(path.parent / "nowhere"),
}


@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_is_never_read_and_gives_way(kind: str, tmp_path: Path, record: MakeRecord) -> None:
    said: list[str] = []
    store = Store(tmp_path, warn=said.append)
    facts = {"python": "3.11"}
    lost, kept = store.write_block([record("lost")]), store.write_block([record("kept")])
    places = [lost, store.root / "provenance" / f"{store.write_provenance(facts)}.json"]
    places += [store.model("m") / MODEL_RECORD, store.activations("aa"), store.root / "leases" / "0.json"]
    for path in places:
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        NO_FILES[kind](path)
    assert set(store.scores("cka@1")) == {"kept"}
    assert store.provenance(identifier(facts)) == {}
    assert not store.has_model("m")
    with pytest.raises(CorruptError):
        read_record(store.model("m"))
    assert live_leases(store.root) == []
    assert kept in {item.path for item in inventory(store)}
    assert store.make_room(store.activations("aa")) == store.activations("aa")
    assert not os.path.lexists(store.activations("aa"))
    assert "a link, a pipe or a device, where a file belongs" in said[-1]
