"""Templates of activations become files: layers are found on disk, and what does not fit is named in one line."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from simbench.errors import SimbenchError
from simbench.representations.array_files import READERS
from simbench.suite.array_outlines import LARGE, OUTLINES, read_outlines, refuse_bomb
from simbench.suite.given_files import in_natural_order
from simbench.suite.load import load_suite
from simbench.suite.schema import ModelSpec

Problems = Callable[[Path], list[str]]
SUITE = """\
suite: given
version: 1
models:
  net: {{{group}}}
tests: [{{id: same, kind: identity, models: [net]}}]
"""


def zeros(rows: int = 5, width: int = 3) -> np.ndarray:
    return np.zeros((rows, width), np.float32)


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write arrays to files, and a suite with one group."""

    def write(group: str, files: Mapping[str, Any]) -> Path:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".npy":
                np.save(path, content)
            elif path.suffix == ".npz":
                np.savez(path, **content)
            elif path.suffix == ".safetensors":
                save_file({key: torch.from_numpy(value) for key, value in content.items()}, path)
            else:
                torch.save(content, path)
        (tmp_path / "suite.yaml").write_text(SUITE.format(group=group))
        return tmp_path / "suite.yaml"

    return write


def group_of(path: Path) -> ModelSpec:
    return load_suite(str(path)).models["net"]


def relative(spec: ModelSpec, folder: Path) -> dict[str, dict[str, str]]:
    return {
        model.own_name: {
            layer: reference.replace(f"{folder.resolve()}/", "") for layer, reference in spec.arrays(model).items()
        }
        for model in spec.models("net")
    }


BY_FILE = {f"acts/{member}/{layer}.npy": zeros() for member in "ab" for layer in ("b2", "b10", "b1.conv")}


def test_layers_are_found_in_natural_order(written: Callable[..., Path], tmp_path: Path) -> None:
    spec = group_of(written('activations: "acts/{member}/{layer}.npy", members: [a, b]', BY_FILE))
    assert spec.layers == ["b1.conv", "b2", "b10"]
    assert spec.names == ("a", "b")
    assert relative(spec, tmp_path)["b"] == {layer: f"acts/b/{layer}.npy" for layer in spec.layers}


def test_layers_may_be_chosen_and_ordered(written: Callable[..., Path]) -> None:
    spec = group_of(written('activations: "acts/{member}/{layer}.npy", members: [a, b], layers: [b10, b2]', BY_FILE))
    assert spec.layers == ["b10", "b2"]


CONTENT = {"conv.1": zeros(), "conv.0": zeros(width=2), "head/out": zeros()}


@pytest.mark.parametrize(
    ("suffix", "content", "layers"),
    [
        (".npz", CONTENT, ["conv.1", "conv.0", "head/out"]),
        (".pt", {key: torch.from_numpy(value) for key, value in CONTENT.items()}, ["conv.1", "conv.0", "head/out"]),
        (".pth", {"conv": [torch.zeros(5, 3), torch.zeros(5, 2)]}, ["conv.0", "conv.1"]),
        (".safetensors", CONTENT, ["conv.0", "conv.1", "head/out"]),
    ],
)
def test_a_file_may_hold_all_layers(
    suffix: str, content: Any, layers: list[str], written: Callable[..., Path], tmp_path: Path
) -> None:
    spec = group_of(written(f'activations: "{{member}}{suffix}", members: [a]', {f"a{suffix}": content}))
    assert spec.layers == layers
    assert relative(spec, tmp_path)["a"] == {layer: f"a{suffix}:{layer}" for layer in layers}


@pytest.mark.parametrize(
    ("template", "files", "expected"),
    [
        ("x.npy", {"x.npy": zeros()}, {"activations": "x.npy"}),
        ("x.pt", {"x.pt": torch.zeros(5, 3)}, {"activations": "x.pt"}),
        ("{layer}/{seed}.npz", {"in/0.npz": {"x": zeros()}, "out/1.npz": {"x": zeros()}}, {"in": "in/0.npz:x"}),
        ("x.npz:out.{layer}", {"x.npz": {"out.1": zeros(), "in.1": zeros()}}, {"1": "x.npz:out.1"}),
        ("x.npz:out", {"x.npz": {"out": zeros(), "in": zeros()}}, {"out": "x.npz:out"}),
        ("acts/._{layer}.npy", {"acts/._1.npy": zeros()}, {"1": "acts/._1.npy"}),
        ("acts/{layer}.npy", {"acts/1.npy": zeros(), "acts/._1.npy": zeros()}, {"1": "acts/1.npy"}),
    ],
)
def test_templates(
    template: str, files: Any, expected: dict[str, str], written: Callable[..., Path], tmp_path: Path
) -> None:
    spec = group_of(written(f'activations: "{template}"', files))
    assert relative(spec, tmp_path) == {"0": expected}


def test_labels_and_numbers_beside_the_layers_are_none(written: Callable[..., Path]) -> None:
    content = {"x": zeros(), "labels": np.arange(5), "epoch": np.array(3), "names": np.array(["a"] * 5)}
    assert group_of(written("activations: a.npz", {"a.npz": content})).layers == ["x"]
    assert group_of(written("activations: a.npz, layers: [labels, x]", {})).layers == ["labels", "x"]
    assert group_of(written("activations: b.npz", {"b.npz": {"unit": np.arange(5)}})).layers == ["unit"]


def test_members_may_have_templates_or_files_of_their_own(written: Callable[..., Path], tmp_path: Path) -> None:
    files = {"x/1.npy": zeros(), "y.npz": {"one": zeros(), "two": zeros()}}
    spec = group_of(written('activations: {a: "x/{layer}.npy", b: {"1": "y.npz:two"}}', files))
    assert relative(spec, tmp_path) == {"a": {"1": "x/1.npy"}, "b": {"1": "y.npz:two"}}


def test_labels_and_inputs_to_fit_on(written: Callable[..., Path]) -> None:
    files = {
        "a.npz": {"x": zeros()},
        "fit/a.npz": {"x": zeros(9)},
        "y.npz": {"test": np.arange(5), "fit": np.arange(9)},
    }
    group = "activations: a.npz, fit: fit/a.npz, targets: 'y.npz:test', fit_targets: 'y.npz:fit'"
    spec = group_of(written(group, files))
    assert [str(path).endswith(end) for path, end in ((spec.targets, "y.npz:test"), (spec.fit_targets, ":fit"))]
    (model,) = spec.models("net")
    assert spec.arrays(model, "fit")["x"].endswith("fit/a.npz:x")


@pytest.mark.parametrize(
    ("group", "files", "said"),
    [
        ('activations: "{layer}.npy"', {}, "no such file: {folder}/{layer}.npy"),
        ('activations: "x/{layer}.npy"', {}, "no such folder: {folder}/x"),
        ("activations: x.npy", {}, "no such file: {folder}/x.npy"),
        ("activations: acts", {"acts/1.npy": zeros()}, "acts is a folder: write acts/{layer}.npy, or .npz, .pt or"),
        (
            'activations: "{member}.npz", members: [a, b, c]',
            {"a.npz": {"x": zeros()}},
            "net/b: no such file: {folder}/b.npz (and so with 1 more of 3 members)",
        ),
        (
            'activations: "{member}.npz", members: [a, b]',
            {"a.npz": {"x": zeros(), "y": zeros()}, "b.npz": {"x": zeros()}},
            "models.net: a has the layer y, and b has none of that name; members of a group have the same layers",
        ),
        (
            'activations: "{member}.npz", members: [a, b]',
            {"a.npz": {"x": zeros()}, "b.npz": {"x": zeros(4)}},
            "models.net: b has 4 rows in x ({folder}/b.npz:x), and a 5 in x; rows have to be the same inputs",
        ),
        (
            "activations: a.npz",
            {"a.npz": {"x": zeros(), "y": zeros(6)}},
            "models.net: 0 has 6 rows in y ({folder}/a.npz:y), and 0 5 in x",
        ),
        ("activations: a.npy", {"a.npy": np.array(["text"])}, "a.npy is an array of str128; real numbers are needed"),
        ("activations: a.npy", {"a.npy": np.array([{}, 1], object)}, "a.npy is an array of object; real numbers"),
        ("activations: a.npy", {"a.npy": np.zeros(3, complex)}, "a.npy is an array of complex128; real numbers"),
        ("activations: a.npy", {"a.npy": np.float32(1)}, "a.npy is a single number; an array with a row for every"),
        ("activations: a.pt", {"a.pt": torch.nn.Linear(1, 1)}, "a.pt holds more than tensors, so it is not unpickled"),
        ("activations: a.txt", {"a.txt": {}}, "a.txt: not a file of arrays; readable: .npy, .npz, .pt, .pth"),
        (
            'activations: "{layer}.npz"',
            {"a.npz": {"x": zeros(), "y": zeros()}},
            "a.npz holds 2 arrays (x, y); name one as {folder}/a.npz:NAME",
        ),
        ("activations: a.npz, layers: [z]", {"a.npz": {"x": zeros()}}, 'unknown layer in {folder}/a.npz "z"; valid: x'),
        ('activations: "{layer}.npy", layers: [blok1]', {"block1.npy": zeros()}, '"blok1"; did you mean "block1"?'),
        ("activations: a.npy, layout: {x: tokens}", {"a.npy": zeros()}, 'unknown layer of net "x"; valid: activations'),
        ("activations: a.npy, layers: [x, y]", {"a.npy": zeros()}, "a.npy holds one array, and `layers` are 2"),
        (
            "activations: a.npz, fit: b.npz",
            {"a.npz": {"x": zeros()}, "b.npz": {"x": zeros(width=4)}},
            "b.npz:x has the shape (5, 4), and {folder}/a.npz:x (5, 3); they differ in more than the number of inputs",
        ),
        (
            "activations: a.npy, targets: y.npy",
            {"a.npy": zeros(), "y.npy": np.arange(4)},
            "models.net.targets: {folder}/y.npy is an array of int64 of shape (4,); whole numbers of shape (5,) are",
        ),
        ("activations: a.npy, targets: y.npy", {"a.npy": zeros()}, "no such file: {folder}/y.npy"),
        ("activations: a.npy", {"a.npy": zeros(2)}, "a.npy has 2 rows, one for each input; at least 3 are needed"),
        ("activations: a.npz", {"a.npz": {"a\nb": zeros()}}, "a.npz: 'a\\nb' cannot name a layer"),
    ],
)
def test_what_does_not_fit_is_one_line(
    group: str, files: Any, said: str, written: Callable[..., Path], problems_of: Problems, tmp_path: Path
) -> None:
    (problem,) = problems_of(written(group, files))
    assert problem.startswith("suite.yaml:4:")
    assert said.replace("{folder}/", "") in problem.replace(f"{tmp_path.resolve()}/", "").replace(
        str(tmp_path.resolve()), ""
    )


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ("activations: a.npy, architecture: mlp", "`activations` have no `architecture`"),
        ("activations: a.npy, load: a.pt", "give one of `train`, `load` and `activations`"),
        ("activations: a.npy, members: [a], seeds: [0]", "give either `seeds` or `members`"),
        ('activations: "{member}.npy"', "`activations` has a place for {member}: give `members`"),
        ("architecture: mlp, load: a.pt, targets: y.npy", "`targets`, `fit` and `fit_targets` belong to `activations`"),
        ("load: a.pt", "an `architecture` is needed"),
        ("architecture: mlp, load: a.pt", 'key "dataset" is missing in probe: models.net reads its inputs'),
    ],
)
def test_contradictions_are_one_line(
    group: str, said: str, written: Callable[..., Path], problems_of: Problems
) -> None:
    path = written(group, {"a.npy": zeros()})
    if "dataset" not in said:
        path.write_text(path.read_text().replace("models:", "probe: {dataset: digits, inputs: 5}\nmodels:", 1))
    (problem,) = problems_of(path)
    assert said in problem


@pytest.mark.parametrize(
    "group",
    [
        "activations: {a: 3}",
        "activations: {a: {}}",
        "activations: {a: {x: 3}}",
        "activations: {1: [a.npy]}",
        "activations: {a: a.npy}, fit: {a: [x]}",
        "activations: a.npy, targets: {a: b}",
        "activations: a.npy, seeds: 3",
        "activations: a.npy, layers: [3]",
        "activations: a.npy, layers: []",
        "activations: 3",
        "architecture: mlp, load: '{seed}.pt', seeds: 3",
        "architecture: mlp, load: '{member}.pt', members: {a: 1}",
    ],
)
def test_values_of_other_types_are_mistakes(group: str, written: Callable[..., Path], problems_of: Problems) -> None:
    assert problems_of(written(group, {"a.npy": zeros()}))


def test_groups_of_other_rows_are_not_compared(written: Callable[..., Path], problems_of: Problems) -> None:
    path = written("activations: a.npy", {"a.npy": zeros(), "b.npy": zeros(6)})
    path.write_text(
        path.read_text().replace("tests:", "  other: {activations: b.npy}\ntests:").replace("[net]", "[net, other]")
    )
    (problem,) = problems_of(path)
    assert "tests[0]: net has 5 rows and other 6; rows have to be the same inputs" in problem


@pytest.mark.parametrize(("inputs", "fits"), [(5, True), (6, False)])
def test_rows_are_as_many_as_networks_read(
    inputs: int, fits: bool, written: Callable[..., Path], problems_of: Problems
) -> None:
    path = written("activations: a.npy", {"a.npy": zeros()})
    network = "  other: {architecture: mlp, train: {dataset: digits, epochs: 0}}\ntests:"
    text = path.read_text().replace("tests:", network).replace("[net]", "[other, net]")
    path.write_text(text.replace("models:", f"probe: {{dataset: digits, inputs: {inputs}}}\nmodels:", 1))
    if fits:
        load_suite(str(path))
    else:
        (problem,) = problems_of(path)
        assert "tests[0]: other has 6 rows and net 5; rows have to be the same inputs" in problem


def test_activations_are_taken_whole(written: Callable[..., Path], problems_of: Problems) -> None:
    path = written("activations: a.npy", {"a.npy": zeros()})
    text = path.read_text()
    path.write_text(text.replace("models:", "probe: {inputs: 4}\nmodels:", 1))
    (problem,) = problems_of(path)
    assert "probe: models.net has 5 rows, and activations are taken whole: leave out `inputs`" in problem
    path.write_text(text.replace("models:", "probe: {inputs: 5, spatial: pool}\nmodels:", 1))
    load_suite(str(path))


def test_activations_teach_nobody(written: Callable[..., Path], problems_of: Problems) -> None:
    path = written("activations: a.npy", {"a.npy": zeros(30)})
    student = "  other: {architecture: mlp, train: {dataset: digits, epochs: 0, distil: {teacher: net}}}\ntests:"
    text = path.read_text().replace("tests:", student)
    path.write_text(text.replace("models:", "probe: {dataset: digits, inputs: 30}\nmodels:", 1))
    (problem,) = problems_of(path)
    assert 'models.other: the teacher "net" is given as activations, without logits' in problem


def test_outlines_are_of_every_format_that_is_read() -> None:
    assert list(OUTLINES) == list(READERS)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16", "int8", "int64", "uint8", "bool"])
def test_types_have_the_same_names_in_all_formats(dtype: str, tmp_path: Path) -> None:
    tensor = torch.zeros((2, 3), dtype=getattr(torch, dtype))
    save_file({"x": tensor}, tmp_path / "x.safetensors")
    torch.save({"x": tensor}, tmp_path / "x.pt")
    torch.save({"x": tensor}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    names = ["x.safetensors", "x.pt", "old.pt"]
    if dtype != "bfloat16":
        np.savez(tmp_path / "x.npz", x=tensor.numpy())
        names.append("x.npz")
    for name in names:
        outline = read_outlines(tmp_path / name)["x"]
        assert (outline.shape, outline.dtype, outline.is_numeric) == ((2, 3), dtype, True)


def test_files_that_unpack_to_far_more_than_they_are_are_refused(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("x.npy")
    entry.file_size, entry.compress_size = LARGE + 1, LARGE // 1000
    with pytest.raises(SimbenchError, match=r"x.npy unpacks from 268435 bytes to 268435457; if it is yours, save it"):
        refuse_bomb(tmp_path, entry)
    entry.compress_size = LARGE // 100
    refuse_bomb(tmp_path, entry)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt", ".safetensors"])
def test_damaged_files_are_named(suffix: str, tmp_path: Path) -> None:
    for number, content in enumerate([b"", b"no arrays", io.BytesIO(b"PK\x03\x04").getvalue()]):
        path = tmp_path / f"{number}{suffix}"
        path.write_bytes(content)
        with pytest.raises(SimbenchError) as raised:
            read_outlines(path)
        assert str(path) in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt", ".safetensors"])
def test_files_that_end_too_early_are_named(suffix: str, tmp_path: Path, written: Callable[..., Path]) -> None:
    content: Any = {".npy": zeros(500), ".pt": {"x": torch.zeros(500, 3)}}.get(suffix, {"x": zeros(500)})
    written(f"activations: x{suffix}", {f"x{suffix}": content})
    path = tmp_path / f"x{suffix}"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(SimbenchError, match=f"x{suffix}: cannot be read: "):
        read_outlines(path)


def test_a_pickle_that_asks_for_all_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.pt"
    path.write_bytes(b"\x80\x02cbuiltins\nbytearray\n\x8a\x06\x00\x00\x00\x00\x00\x01\x85R.")
    with pytest.raises(SimbenchError, match="holds more than tensors"):
        read_outlines(path)


def test_numbers_in_names_count_as_numbers() -> None:
    assert in_natural_order(["b10", "a", "b2.10", "b2.9", "1", "b2"]) == ["1", "a", "b2", "b2.9", "b2.10", "b10"]
