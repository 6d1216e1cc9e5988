"""Whatever is damaged in a store is named and made anew, and the scores are those of before."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.run.conftest import TINY

from simbench.results.store import Store
from simbench.run.events import Warned
from simbench.run.session import RunResult, run

Values = dict[str, tuple[float | None, str]]
METRICS = ("cka@1", "stitch_task@1")


def rescored(suite: Path, store: Path) -> tuple[RunResult, list[str]]:
    """Run the suite; return the result and all warnings."""
    heard: list[str] = []
    result = run(
        str(suite),
        store=store,
        engine="serial",
        device="cpu",
        listener=lambda event: heard.append(event.message) if isinstance(event, Warned) else None,
    )
    return result, heard


def values(store: Path) -> Values:
    return {
        f"{metric} {key}": (record.value, record.status)
        for metric in METRICS
        for key, record in Store(store).scores(metric).items()
    }


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory, trains: None) -> Path:
    path = tmp_path_factory.mktemp("suite") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def made(suite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete store."""
    store = tmp_path_factory.mktemp("made") / "store"
    rescored(suite, store)
    return store


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    """A copy of the complete store, to be damaged."""
    return shutil.copytree(made, tmp_path / "store")


def activations(store: Path) -> list[Path]:
    """Return the files of activations of block2, which both models have in the same shape."""
    return [path for path in sorted((store / "activations").rglob("*.safetensors")) if b"block2" in path.read_bytes()]


def copy_activations(store: Path) -> Path:
    first, second, *_ = activations(store)
    second.write_bytes(first.read_bytes())
    return second


def put_folder_in_place_of_activations(store: Path) -> Path:
    path = activations(store)[0]
    path.unlink()
    (path / "inside").mkdir(parents=True)
    return path


def put_file_in_place_of_the_folder_of_activations(store: Path) -> Path:
    folder = activations(store)[0].parent
    shutil.rmtree(folder)
    folder.write_text("in the way")
    return folder


def swap_models(store: Path) -> Path:
    first, second = sorted((store / "models").iterdir())
    first.rename(store / "aside")
    second.rename(first)
    (store / "aside").rename(second)
    return second


def put_folder_in_place_of_weights(store: Path) -> Path:
    path = sorted((store / "models").rglob("weights.safetensors"))[0]
    path.unlink()
    path.mkdir()
    return path


def put_folder_in_place_of_a_model_record(store: Path) -> Path:
    path = sorted((store / "models").rglob("model.json"))[0]
    path.unlink()
    path.mkdir()
    return path


def put_file_in_place_of_a_model(store: Path) -> Path:
    path = sorted((store / "models").iterdir())[0]
    shutil.rmtree(path)
    path.write_text("in the way")
    return path


@pytest.mark.parametrize(
    "damage",
    [
        copy_activations,
        put_folder_in_place_of_activations,
        put_file_in_place_of_the_folder_of_activations,
        swap_models,
        put_folder_in_place_of_weights,
        put_folder_in_place_of_a_model_record,
        put_file_in_place_of_a_model,
    ],
)
def test_models_and_activations_out_of_place_are_made_anew(
    damage: Callable[[Path], Path], suite: Path, store: Path
) -> None:
    before = values(store)
    shutil.rmtree(store / "scores")
    damaged = damage(store)
    result, heard = rescored(suite, store)
    assert any(str(damaged) in line for line in heard), heard
    assert values(store) == before
    assert result.complete
    shutil.rmtree(store / "scores")
    assert rescored(suite, store)[1] == []
    assert values(store) == before


def without_keys(store: Path) -> None:
    """Turn the activations of a store into those of a former version, which say no key."""
    import safetensors
    from safetensors.torch import save_file

    for path in (store / "activations").rglob("*.safetensors"):
        with safetensors.safe_open(path, framework="pt") as file:
            notes, tensor = file.metadata(), file.get_tensor("activations")
        save_file({"activations": tensor}, path, {k: v for k, v in notes.items() if k not in ("key", "header_sha256")})


def test_activations_of_a_former_version_are_used(suite: Path, store: Path) -> None:
    before = values(store)
    shutil.rmtree(store / "scores")
    without_keys(store)
    written = {path: path.stat().st_mtime_ns for path in activations(store)}
    assert rescored(suite, store)[1] == []
    assert values(store) == before
    assert {path: path.stat().st_mtime_ns for path in activations(store)} == written


def test_activations_of_a_former_version_are_held_against_what_they_say(suite: Path, store: Path) -> None:
    before = values(store)
    shutil.rmtree(store / "scores")
    without_keys(store)
    first, *others = activations(store)
    content = {path: path.read_bytes() for path in (first, *others)}
    for path in others:
        path.write_bytes(content[first])
    _, heard = rescored(suite, store)
    assert len(heard) == len(others)
    assert all(" holds " in line and line.endswith("it is made again") for line in heard)
    assert values(store) == before


def test_a_changed_digit_in_a_score_is_computed_again(suite: Path, store: Path) -> None:
    before = values(store)
    block = sorted((store / "scores" / "cka@1").iterdir())[0]
    document = json.loads(block.read_text())
    value = next(record["value"] for record in document["records"] if record["value"] not in (0.0, 1.0))
    block.write_text(block.read_text().replace(str(value), str(value / 2)))
    result, heard = rescored(suite, store)
    assert heard == [f"{block} fails its checksum; its scores are computed again"]
    assert result.work.scored == len(document["records"])
    assert values(store) == before
    assert rescored(suite, store)[1] == []


def test_damaged_provenance_is_named_and_written_again(suite: Path, store: Path) -> None:
    (path,) = (store / "provenance").iterdir()
    intact = path.read_text()
    path.write_text(intact.replace("float64", "float65"))
    result, heard = rescored(suite, store)
    assert len(heard) == 1
    assert str(path) in heard[0]
    assert path.read_text() == intact
    assert result.work.scored == 0


def test_a_file_in_place_of_a_folder_of_scores_is_replaced(suite: Path, store: Path) -> None:
    before = values(store)
    shutil.rmtree(store / "scores" / "cka@1")
    (store / "scores" / "cka@1").write_text("in the way")
    _, heard = rescored(suite, store)
    assert len(heard) == 1
    assert values(store) == before
