"""What a bundle holds, that the same scores give the same bytes, and that nothing of the author's machine is in it."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from simbench.bundles.archive import MANIFEST, read_files, write_files, zipped
from simbench.bundles.contents import parse
from simbench.bundles.metric_record import MetricRecord, record_of, recorded_metric
from simbench.bundles.pack import bundle_of, recorded_plan, without_paths
from simbench.bundles.portable_suite import portable, read_suite, suite_bytes
from simbench.declaration import Declaration
from simbench.errors import SimbenchError
from simbench.plan.plan import make_plan
from simbench.registry import METRICS
from simbench.results.store import Store
from simbench.run.session import prepare
from simbench.suite.load import load_suite

Files = dict[str, bytes]


def test_the_same_scores_give_the_same_bytes(files: Files, made: Any) -> None:
    with METRICS.isolated():
        again = bundle_of(prepare(str(made.suite)), Store(made.store)).files
    assert zipped(again) == zipped(files)


def test_a_zip_holds_no_time(files: Files) -> None:
    with zipfile.ZipFile(io.BytesIO(zipped(files))) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_folder_and_a_zip_hold_the_same(files: Files, tmp_path: Path) -> None:
    assert read_files(write_files(tmp_path / "a.zip", files)) == read_files(write_files(tmp_path / "b", files)) == files


def test_the_manifest_has_the_checksum_of_every_file(files: Files) -> None:
    entries = json.loads(files[MANIFEST])["files"]
    assert {name: one["sha256"] for name, one in entries.items()} == {
        name: hashlib.sha256(content).hexdigest() for name, content in files.items() if name != MANIFEST
    }


def test_no_path_of_the_author_is_in_it(made: Any) -> None:
    everything = b"".join(
        content for name, content in made.with_models.items() if name.endswith(("json", "yaml", "jsonl"))
    )
    assert str(made.folder).encode() not in everything
    assert str(Path.home()).encode() + b"/" not in everything


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ("OSError: /home/me/lab/data.npz is empty", "OSError: …/data.npz is empty"),
        ("C:\\Users\\me\\x.npz: no", "…/x.npz: no"),
        ("no variance in block3/conv", "no variance in block3/conv"),
        ("a ratio of 1/2", "a ratio of 1/2"),
    ],
)
def test_messages_lose_the_folders_of_the_author(files: Files, message: str, kept: str) -> None:
    record = parse(files).scores["cka"][0].model_copy(update={"reason": message})
    assert without_paths(record).reason == kept


def test_a_third_party_metric_is_pointed_to_by_file_line_and_hash(files: Files, made: Any) -> None:
    record = next(one for one in json.loads(files["metrics.json"]) if one["label"] == "own")
    assert record["origin"] == "own.py"
    assert record["source"] == {
        "file": "own.py",
        "line": 4,
        "sha256": hashlib.sha256(made.own.read_bytes()).hexdigest(),
        "package": None,
    }


def test_no_code_is_in_it(files: Files, made: Any) -> None:
    assert not any(b"a.norm()" in content for content in files.values())


def test_the_suite_is_resolved(files: Files) -> None:
    suite = yaml.safe_load(files["suite.yaml"])
    assert suite["probe"]["spatial"] == "positions"
    assert suite["tests"][0]["pass_if"] == ">= 0.95"
    assert [one["name"] for one in suite["metrics"]] == ["cka", "procrustes", "stitch_task", "own"]


def test_a_suite_survives_the_way_there_and_back(made: Any) -> None:
    clean = portable(load_suite(str(made.suite)), [METRICS.get("cka")])
    assert read_suite(suite_bytes(clean)) == clean


def test_keys_follow_from_the_metadata_alone(made: Any, files: Files) -> None:
    with METRICS.isolated():
        plan = prepare(str(made.suite))
    contents = parse(files)
    assert "own" not in METRICS
    recorded = recorded_plan(contents.suite, contents.metrics)
    assert [set(one.scores) for one in recorded.metrics] == [set(one.scores) for one in plan.metrics]


@pytest.mark.parametrize("name", METRICS.names())
def test_every_metric_survives_being_recorded(name: str) -> None:
    metric = METRICS.get(name)
    read = MetricRecord.model_validate_json(record_of(metric).model_dump_json(), strict=True)
    stand_in = recorded_metric(read)
    declared = [field.name for field in fields(Declaration)]
    for attribute in (*declared, "parameters", "label", "identity", "interface", "summary"):
        assert getattr(stand_in, attribute) == getattr(metric, attribute), attribute
    assert record_of(stand_in) == read


def test_weights_are_in_it_only_if_asked_for(made: Any) -> None:
    assert not parse(made.files).model_keys
    assert len(parse(made.with_models).model_keys) == 2


def test_weights_of_ones_own_are_named_by_their_hash(made: Any, tmp_path: Path) -> None:
    weights = tmp_path / "mine.safetensors"
    weights.write_bytes(b"weights")
    text = made.suite.read_text().replace(
        "train: {dataset: digits, epochs: 2, learning_rate: 0.01}", f"load: {weights}"
    )
    (path := tmp_path / "loaded.yaml").write_text(text.replace(", own.py", ""))
    suite = load_suite(str(path))
    clean = portable(suite, [])
    assert clean.models["mlp"].load == hashlib.sha256(b"weights").hexdigest()
    keys = [
        [one.key for one in prepare(suite_).models.values()]
        for suite_ in (suite, clean.model_copy(update={"metrics": suite.metrics}))
    ]
    assert keys[0] == keys[1]


@pytest.mark.parametrize("load", ['"{seed}.pt", seeds: [0, 1]', '"{member}.pt", members: ["1", "0"]', "{a: 0.pt}"])
def test_every_member_is_named_by_the_hash_of_its_file(load: str, tmp_path: Path) -> None:
    hashes = {}
    for name in ("0", "1"):
        (tmp_path / f"{name}.pt").write_bytes(name.encode())
        hashes[name] = hashlib.sha256(name.encode()).hexdigest()
    (tmp_path / "suite.yaml").write_text(
        "suite: x\nversion: 1\nprobe: {dataset: digits, inputs: 60}\n"
        f"models: {{net: {{architecture: mlp, load: {load}}}}}\n"
        "metrics: [cka]\ntests: [{id: same, kind: identity, models: [net]}]\n"
    )
    suite = load_suite(str(tmp_path / "suite.yaml"))
    clean = portable(suite, [METRICS.get("cka")])
    expected = {"a": hashes["0"]} if "a" in load else hashes
    assert clean.models["net"].load == expected
    read = read_suite(suite_bytes(clean))
    assert read == clean
    plans = [make_plan(each, [METRICS.get("cka")]) for each in (suite, read)]
    assert {str(ref): one.key for ref, one in plans[0].models.items()} == {
        str(ref): one.key for ref, one in plans[1].models.items()
    }
    assert set(plans[0].metrics[0].scores) == set(plans[1].metrics[0].scores)


def test_data_from_a_file_of_ones_own_cannot_be_bundled(made: Any, tmp_path: Path) -> None:
    suite = load_suite(str(made.suite))
    probe = suite.probe.model_copy(update={"dataset": suite.probe.dataset.model_copy(update={"name": "arrays"})})
    with pytest.raises(SimbenchError, match="nobody else could check"):
        portable(suite.model_copy(update={"probe": probe}), [])
