"""All layers of one network against all of another: table, JSON, heat map, and what cannot be scored."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import simbench
from simbench.errors import ExitCode, SimbenchError
from simbench.metrics import layer_pairs, scoring
from simbench.registry import METRICS

ROWS = ["stem", "block2", "block10"]
COLUMNS = ["features.0", "features.3"]


@pytest.fixture
def networks(tmp_path):
    """Two folders of layers under other names; `features.3` is a rotation of `block2`."""
    random = np.random.default_rng(0)
    layers: dict[str, Any] = {name: random.normal(size=(40, 5)) for name in ROWS}
    rotation, _ = np.linalg.qr(random.normal(size=(5, 5)))
    others = {"features.0": random.normal(size=(40, 7)), "features.3": layers["block2"] @ rotation}
    for folder, arrays in (("a", layers), ("b", others)):
        (tmp_path / folder).mkdir()
        for name, array in arrays.items():
            np.save(tmp_path / folder / f"{name}.npy", array)
    np.savez(tmp_path / "a.npz", **layers, labels=np.arange(40), epoch=np.array(3))
    torch.save({name: torch.from_numpy(array) for name, array in others.items()}, tmp_path / "b.pt")
    save_file({name: torch.from_numpy(array.copy()) for name, array in layers.items()}, tmp_path / "a.safetensors")
    return layers, others


def documents(done):
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def test_the_matrix_and_its_maxima(invoke, networks):
    layers, others = networks
    (matrix,) = documents(invoke("score", "a", "b", "--all-pairs", "-m", "cka", "--json"))
    assert matrix["rows"] == ["block2", "block10", "stem"]  # numbers count as numbers
    assert matrix["columns"] == COLUMNS
    for row, values in zip(matrix["rows"], matrix["values"], strict=True):
        for column, value in zip(COLUMNS, values, strict=True):
            assert value == pytest.approx(simbench.score(layers[row], others[column], "cka"), abs=1e-12)
    best = {"row": "block2", "column": "features.3", "value": pytest.approx(1.0)}
    assert matrix["most_similar"] == matrix["most_similar_by_row"][0] == matrix["most_similar_by_column"][1] == best


def test_a_distance_is_most_similar_where_it_is_least(invoke, networks):
    (matrix,) = documents(invoke("score", "a", "b", "--all-pairs", "-m", "procrustes", "--json"))
    assert matrix["most_similar"]["row"] == "block2"
    assert matrix["most_similar"]["value"] == np.min(matrix["values"])


@pytest.mark.parametrize(
    ("first", "rows"), [("a.npz", ROWS), ("a.safetensors", ["block2", "block10", "stem"]), ("a.npz:stem", ["stem"])]
)
def test_files_of_several_arrays(invoke, networks, first, rows):
    (matrix,) = documents(invoke("score", first, "b.pt", "--all-pairs", "-m", "cka", "--json"))
    assert (matrix["rows"], matrix["columns"]) == (rows, COLUMNS)
    (folders,) = documents(invoke("score", "a", "b", "--all-pairs", "-m", "cka", "--json"))
    values = dict(zip(folders["rows"], folders["values"], strict=True))
    assert np.allclose(matrix["values"], [values[row] for row in rows], atol=1e-12)


def test_folders_without_a_common_name_are_compared_so_anyway(invoke, networks):
    done = invoke("score", "a", "b", "-m", "cka")
    assert done.exit_code == 0
    assert "a and b have no files of the same name: all pairs of layers are scored" in done.stderr
    assert "most similar: block2 and features.3, 1" in done.stdout
    assert [line.split()[0] for line in done.stdout.splitlines()[2:5]] == ["block2", "block10", "stem"]


@pytest.mark.parametrize("suffix", ["png", "svg", "PDF"])
def test_a_heat_map(invoke, networks, tmp_path, suffix):
    pytest.importorskip("matplotlib")
    path = tmp_path / "out" / f"map.{suffix}"
    documents(invoke("score", "a", "b", "--all-pairs", "-m", "cka", "-m", "procrustes", "--json", "--plot", str(path)))
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix.lower()]
    assert path.read_bytes().startswith(start)


def test_what_cannot_be_read_is_an_error_of_its_own_pairs(invoke, networks, tmp_path):
    (tmp_path / "b" / "damaged.npy").write_text("this is no array")
    (tmp_path / "b" / "._features.0.npy").write_text("what macOS writes beside a file")
    np.save(tmp_path / "b" / "short.npy", np.zeros((30, 3)) + np.arange(3))
    np.save(tmp_path / "b" / "constant.npy", np.zeros((40, 3)))
    done = invoke("score", "a", "b", "--all-pairs", "-m", "cka", "--json")
    assert done.exit_code == ExitCode.INCOMPLETE
    (matrix,) = json.loads(done.stdout)
    assert matrix["columns"] == ["constant", "damaged", *COLUMNS, "short"]
    assert matrix["values"][0][:2] == [None, None]
    reasons = {problem["column"]: problem["reason"] for problem in matrix["problems"]}
    assert reasons["constant"] == "no variance in constant"
    assert "damaged.npy: cannot be read" in reasons["damaged"]
    assert matrix["most_similar"]["column"] == "features.3"


def test_positions_are_read_by_one_rule_that_is_said(invoke, networks, tmp_path):
    np.save(tmp_path / "b" / "conv.npy", np.random.default_rng(0).normal(size=(40, 3, 4, 4)))
    arguments = ("score", "a", "b", "--all-pairs", "-m", "cka", "--spatial", "pool")
    (matrix,) = documents(invoke(*arguments, "--json"))
    assert matrix["spatial"] == "pool"
    assert matrix["column_layouts"] == ["channels_first", "vector", "vector"]
    assert "read conv channels_first; pool: rows are inputs, averaged over positions" in invoke(*arguments).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("x.npy", "b", "--all-pairs"), "no such file: x.npy"),
        (("empty", "b", "--all-pairs"), "empty holds no arrays"),
        (("a", "b", "--all-pairs", "--plot", "map.gif"), "--plot writes png, svg, pdf, by the suffix of the file"),
        (("a.npz:stem", "b.pt:features.0", "--plot", "map.png"), "--plot draws the heat map of --all-pairs"),
        (("a", "b", "--all-pairs", "--layout", "sideways"), 'unknown layout "sideways"'),
    ],
)
def test_mistakes_are_one_line(invoke, networks, tmp_path, arguments, said):
    (tmp_path / "empty").mkdir()
    done = invoke("score", *arguments, "-m", "cka")
    assert done.exit_code == ExitCode.USAGE
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_many_columns_are_left_to_json(invoke, tmp_path):
    layers: dict[str, Any] = {f"l{n}": np.random.default_rng(n).normal(size=(20, 3)) for n in range(20)}
    np.savez(tmp_path / "wide.npz", **layers)
    shown = invoke("score", "wide.npz", "wide.npz", "--all-pairs", "-m", "cka").stdout
    assert "20 columns: --json has all values, --plot FILE draws them" in shown
    assert "l7   l7 1" in shown


def watch(monkeypatch, read):
    """Note how many representations are held at a time."""
    score_pairs = scoring.score_pairs

    def noting(metric, representations, pairs):
        read.append(len(representations))
        return score_pairs(metric, representations, pairs)

    monkeypatch.setattr(layer_pairs, "score_pairs", noting)


class TestFromPython:
    def test_arrays_by_name(self, networks):
        layers, others = networks
        scores = simbench.score_layers(layers, others, "cka")
        assert scores.values.shape == (3, 2)
        assert scores.rows == tuple(ROWS)
        assert scores.most_similar == ("block2", "features.3", pytest.approx(1.0))
        assert [pair.row for pair in scores.most_similar_by_column][1] == "block2"
        assert scores.problems == ()
        assert repr(scores) == "<LayerScores cka, 3 × 2 layers; most similar: block2 and features.3, 1>"
        assert json.loads(json.dumps(scores.to_dict()))["values"][0] == scores.values[0].tolist()

    def test_parameters_and_metrics_that_need_a_model(self, networks):
        layers, others = networks
        assert simbench.score_layers(layers, others, "svcca", variance=0.5).metric.label == "svcca(variance=0.5)"
        scores = simbench.score_layers(layers, others, "kl")
        assert np.isnan(scores.values).all()
        assert scores.most_similar is None
        assert all(score.status == "skip" for _, _, score in scores.problems)

    def test_no_layers(self):
        with pytest.raises(SimbenchError, match="x holds no arrays"):
            simbench.score_layers({}, {}, "cka")
        ((_, _, score),) = simbench.score_layers({"a": np.array(["text"])}, {"a": np.eye(3)}, "cka").problems
        assert score.status == "error"
        assert score.reason is not None
        assert "x, a: an array of numbers is needed" in score.reason

    def test_little_memory_gives_the_same_from_tiles(self, networks, monkeypatch):
        layers, others = networks
        read: list[int] = []
        whole = simbench.score_layers(layers, others, "cka")
        watch(monkeypatch, read)
        tiled = simbench.score_layers(layers, others, "cka", memory_limit=2 * 40 * 5 * 16)
        assert np.allclose(whole.values, tiled.values, atol=1e-12)
        assert read == [2] * 6

    def test_a_network_against_itself_is_prepared_once(self, networks, monkeypatch):
        layers, _ = networks
        prepared: list[int] = []
        cka = METRICS.get("cka")
        watch(monkeypatch, prepared)
        scores = simbench.score_layers(layers, layers, cka)
        assert prepared == [3]
        assert np.allclose(np.diag(scores.values), 1.0)
