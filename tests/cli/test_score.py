"""`score` puts metrics to arrays from files; what cannot be scored has a reason, and never a number."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from simbench.errors import ExitCode
from simbench.registry import METRICS


@pytest.fixture
def arrays(tmp_path):
    """Two related arrays, as files of every kind."""
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 5))
    y = x @ random.normal(size=(5, 4)) + random.normal(size=(60, 4))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    np.savez(tmp_path / "both.npz", a=x, b=y)
    np.savez(tmp_path / "one.npz", only=y)
    torch.save(torch.tensor(y), tmp_path / "y.pt")
    torch.save({"a": torch.tensor(x), "b": torch.tensor(y), "epoch": 3}, tmp_path / "both.pth")
    save_file({"a": torch.tensor(x), "b": torch.tensor(y)}, tmp_path / "both.safetensors")
    return x, y


def scores(done):
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def test_the_json_has_the_shape_that_others_build_on(invoke, arrays):
    listed = scores(invoke("score", "x.npy", "y.npy", "--metric", "cka", "--metric", "svcca", "--json"))
    assert [one["metric"] for one in listed] == ["cka", "svcca"]
    assert all(list(one) == ["metric", "status", "value", "reason", "seconds"] for one in listed)
    assert all(one["status"] == "ok" and one["reason"] is None and 0 <= one["value"] <= 1 for one in listed)


@pytest.mark.parametrize(
    "reference", ["both.npz:b", "one.npz", "one.npz:only", "y.pt", "both.pth:b", "both.safetensors:b"]
)
def test_every_kind_of_file_holds_the_same_array(invoke, arrays, reference):
    expected = scores(invoke("score", "x.npy", "y.npy", "-m", "cka", "--json"))[0]["value"]
    assert scores(invoke("score", "x.npy", reference, "-m", "cka", "--json"))[0]["value"] == expected


def test_without_metrics_all_default_ones_that_need_two_matrices_are_scored(invoke, arrays):
    expected = [metric.label for _, metric in METRICS if metric.default and not metric.needs]
    assert [one["metric"] for one in scores(invoke("score", "x.npy", "y.npy", "--json"))] == expected


def test_parameters_and_wrappers_stand_in_brackets(invoke, arrays):
    labels = ["svcca(variance=0.9)", "cka(calibrate={permutations: 20})"]
    plain, calibrated = scores(invoke("score", "x.npy", "y.npy", "-m", labels[0], "-m", labels[1], "--json"))
    assert [plain["metric"], calibrated["metric"]] == labels
    assert plain.keys() == {"metric", "status", "value", "reason", "seconds"}
    assert calibrated["auxiliary"].keys() == {"raw", "p_value", "threshold", "null_mean"}


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("cka(calibrat=permutation)", 'metric cka: unknown parameter "calibrat"; did you mean "calibrate"?'),
        ("cka(calibrate={)", "parameters are written as name(parameter=value, …)"),
        ("mutual_knn(minibatch=8)", "mutual_knn is no function of sums over rows; those that are: cca"),
    ],
)
def test_a_wrapper_that_cannot_be_is_one_clear_line(invoke, arrays, metric, said):
    done = invoke("score", "x.npy", "y.npy", "-m", metric)
    assert done.exit_code == ExitCode.USAGE
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_metric_that_needs_a_model_is_skipped_with_the_reason(invoke, arrays):
    (one,) = scores(invoke("score", "x.npy", "y.npy", "-m", "stitch_task", "--json"))
    assert (one["status"], one["value"]) == ("skip", None)
    assert "needs a" in one["reason"]


def test_a_metric_that_raises_is_an_error_row_and_leaves_the_others_alone(invoke, arrays, metric_file):
    path = metric_file("raising", 'raise RuntimeError("boom")')
    done = invoke("score", "x.npy", "y.npy", "-m", path, "-m", "cka", "--json")
    first, second = json.loads(done.stdout)
    assert done.exit_code == ExitCode.INCOMPLETE
    assert (first["status"], first["value"]) == ("error", None)
    line = next(n for n, text in enumerate(Path(path).read_text().splitlines(), 1) if "boom" in text)
    assert first["reason"] == f"RuntimeError: boom ({Path(path).name}:{line})"
    assert second["status"] == "ok"


def test_a_constant_array_is_skipped_rather_than_scored(invoke, arrays, tmp_path):
    np.save(tmp_path / "constant.npy", np.ones((60, 3)))
    (one,) = scores(invoke("score", "x.npy", "constant.npy", "-m", "cka", "--json"))
    assert (one["status"], one["reason"]) == ("skip", "no variance in constant.npy")


def test_nothing_but_the_document_reaches_standard_output(shell, arrays, metric_file):
    path = metric_file("loud", 'import os; print("print"); os.system("echo child"); return 0.5')
    done = shell("score", "x.npy", "y.npy", "-m", path, "--json")
    assert json.loads(done.stdout)[0]["value"] == 0.5
    assert "print" in done.stderr
    assert "child" in done.stderr


def test_the_table_says_which_way_is_similar(invoke, arrays):
    text = invoke("score", "x.npy", "y.npy", "-m", "procrustes").stdout
    assert "lower is more similar" in text


def test_the_table_says_what_came_with_a_score(invoke, arrays, metric_file):
    path = metric_file(
        "exact", "from simbench import Score; return Score(0.5, standard_error=0.125, warnings=('ties',))"
    )
    text = " ".join(invoke("score", "x.npy", "y.npy", "-m", path).stdout.split())
    assert "standard error 0.125; ties" in text


def test_files_of_the_same_name_in_two_folders_are_compared(invoke, arrays, tmp_path):
    for folder, names in (("a", ("block1", "block2", "left")), ("b", ("block1", "block2", "right"))):
        (tmp_path / folder).mkdir()
        for name in names:
            np.save(tmp_path / folder / f"{name}.npy", arrays[folder == "b"])
    done = invoke("score", "a", "b", "-m", "cka", "--json")
    assert [(one["name"], one["metric"]) for one in scores(done)] == [("block1.npy", "cka"), ("block2.npy", "cka")]
    assert "left out: left.npy is in a only" in done.stderr


def test_a_file_of_a_folder_that_cannot_be_compared_is_an_error_of_its_own(invoke, arrays, tmp_path):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "good.npy", arrays[folder == "b"])
        np.save(tmp_path / folder / "maps.npy", np.zeros((60, 5, 4)))
        (tmp_path / folder / "damaged.npy").write_text("no array")
    np.save(tmp_path / "a" / "rows.npy", arrays[0])
    np.save(tmp_path / "b" / "rows.npy", arrays[1][:50])
    done = invoke("score", "a", "b", "-m", "cka", "-m", "cca", "--json")
    assert done.exit_code == ExitCode.INCOMPLETE
    assert done.stderr == ""
    by_name = {(record["name"], record["metric"]): record for record in json.loads(done.stdout)}
    assert len(by_name) == 8
    (alone,) = scores(invoke("score", "x.npy", "y.npy", "-m", "cka", "--json"))
    assert by_name["good.npy", "cka"]["value"] == alone["value"]
    reasons = {"damaged.npy": "cannot be read", "maps.npy": "give its layout", "rows.npy": "b/rows.npy has 50"}
    for (name, _), record in by_name.items():
        assert (record["status"], record["value"] is None) == (("ok", False) if name == "good.npy" else ("error", True))
        assert reasons.get(name, "") in (record["reason"] or "")
    assert "give its layout" in " ".join(invoke("score", "a", "b", "-m", "cka").stdout.split())
    assert invoke("score", "a", "b", "-m", "cka", "--spatial", "pol").exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("x.npy", "missing.npy", "no such file: missing.npy"),
        ("x.npy", "short.npy", "x.npy has 60 rows and short.npy has 50"),
        ("x.npy", "damaged.npy", "damaged.npy: cannot be read"),
        ("x.npy", "damaged.safetensors", "damaged.safetensors: cannot be read"),
        ("x.npy", "notes.txt", "not a file of arrays; readable: .npy"),
        ("x.npy", "both.npz", "both.npz holds 2 arrays (a, b); name one as both.npz:NAME"),
        ("x.npy", "both.npz:c", 'unknown array in both.npz "c"'),
        ("x.npy", "y.npy:b", "holds one array without a name"),
        ("x.npy", "objects.pt", "holds more than tensors"),
        ("x.npy", "text.npy", "an array of numbers is needed"),
        ("x.npy", "deep.npy", "deep.npy: a real array of at most 4 dimensions is needed"),
        ("x.npy", "folder", "x.npy is not a folder"),
        ("folder", "folder", "no array files with the same name"),
    ],
)
def test_what_cannot_be_read_is_one_clear_line(invoke, arrays, tmp_path, first, second, said):
    np.save(tmp_path / "short.npy", arrays[1][:50])
    np.save(tmp_path / "text.npy", np.array([["a", "b"]] * 60))
    np.save(tmp_path / "deep.npy", np.zeros((60, 2, 2, 2, 2)))
    torch.save(print, tmp_path / "objects.pt")
    for name in ("damaged.npy", "damaged.safetensors", "notes.txt"):
        (tmp_path / name).write_text("this is no array")
    (tmp_path / "folder").mkdir()
    done = invoke("score", first, second, "--metric", "cka")
    assert done.exit_code == ExitCode.USAGE
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_unknown_metric_is_a_usage_error_with_the_nearest_name(invoke, arrays):
    done = invoke("score", "x.npy", "y.npy", "-m", "prcrustes", "--json")
    assert (done.exit_code, done.stdout) == (ExitCode.USAGE, "")
    assert 'did you mean "procrustes"?' in done.stderr


def test_the_json_says_that_a_value_is_forced(invoke, tmp_path):
    random = np.random.default_rng(0)
    np.savez(tmp_path / "few.npz", x=random.normal(size=(12, 40)), y=random.normal(size=(12, 40)))
    forced, free = scores(invoke("score", "few.npz:x", "few.npz:y", "-m", "cca", "-m", "cka", "--json"))
    assert forced["warnings"] == ["saturated: ranks 11 and 11 of 12 rows force 11 of 11 correlations to 1"]
    assert "warnings" not in free


@pytest.fixture
def maps(tmp_path):
    """Maps of convolutions, channels first and channels last, and maps of which sizes do not tell which."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(60, 5, 4, 4)), random.normal(size=(60, 3, 4, 4))
    np.savez(tmp_path / "maps.npz", x=x, y=y, last=y.transpose(0, 2, 3, 1), cube=random.normal(size=(60, 4, 4, 4)))
    return x, y


def test_the_rule_and_the_layouts_are_said(invoke, maps):
    (record,) = scores(invoke("score", "maps.npz:x", "maps.npz:last", "-m", "cka", "--json"))
    assert (record["spatial"], record["layouts"]) == ("positions", ["channels_first", "channels_last"])
    shown = " ".join(invoke("score", "maps.npz:x", "maps.npz:last", "-m", "cka", "--spatial", "pool").stdout.split())
    assert "maps.npz:x (60, 5, 4, 4) channels_first, maps.npz:last (60, 4, 4, 3) channels_last; pool: rows are" in shown


@pytest.mark.parametrize(("rule", "axes"), [("pool", (2, 3)), ("flatten", None)])
def test_the_rule_is_chosen(invoke, maps, tmp_path, rule, axes):
    sides = [side.mean(axes) if axes else side.reshape(60, -1) for side in maps]
    np.savez(tmp_path / "rows.npz", x=sides[0], y=sides[1])
    (expected,) = scores(invoke("score", "rows.npz:x", "rows.npz:y", "-m", "cka", "--json"))
    (record,) = scores(invoke("score", "maps.npz:x", "maps.npz:y", "-m", "cka", "--spatial", rule, "--json"))
    assert record["value"] == pytest.approx(expected["value"], abs=1e-12)


def test_a_layout_that_cannot_be_told_is_asked_for(invoke, maps):
    done = invoke("score", "maps.npz:cube", "maps.npz:cube", "-m", "cka")
    assert done.exit_code == ExitCode.USAGE
    assert "maps.npz:cube: which axis of (60, 4, 4, 4) holds the features cannot be told" in done.stderr
    both = ["--layout", "channels_last", "--layout", "channels_first"]
    (record,) = scores(invoke("score", "maps.npz:cube", "maps.npz:cube", "-m", "cka", *both, "--json"))
    assert record["layouts"] == ["channels_last", "channels_first"]
