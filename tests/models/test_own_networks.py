"""Networks of the user's own, named by their place in code."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from simbench.errors import SimbenchError
from simbench.models.trial import trial_problem
from simbench.parameters import ParameterError
from simbench.registry import ARCHITECTURES

Write = Callable[..., Path]
MY_NET = """\
from __future__ import annotations
from torch import nn
from layers import Block
print("imported")

class MyNet(nn.Module):
    def __init__(self, width: int = 8, act: type[nn.Module] = nn.ReLU, name: str = None,
                 *, classes: int, sizes: tuple[int, ...] = (1, 2)):
        super().__init__()
        print("built")
        self.width, self.sizes = width, sizes
        self.stem = nn.Sequential(nn.Flatten(), nn.Linear(64, width), act())
        self.block, self.head = Block(width), nn.Linear(width, classes)

    def forward(self, x):
        print("read")
        return self.head(self.block(self.stem(x)))

def make(input_shape, width: int, **more):
    return MyNet(width, classes=input_shape[-1], **more)

net = MyNet(classes=3)
size = 3
def broken(): raise RuntimeError("no luck")
def number(): return 3
def again(): return net
def by_place(width, /): return net
"""
LAYERS = "from torch import nn\nclass Block(nn.Linear):\n    def __init__(self, w): super().__init__(w, w)\n"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(folder: str = ".", **files: str) -> Path:
        (tmp_path / folder).mkdir(exist_ok=True)
        for name, text in files.items():
            (tmp_path / folder / f"{name}.py").write_text(text)
        return tmp_path / folder

    return write


@pytest.fixture
def place(write: Write) -> str:
    return str(write(my_net=MY_NET, layers=LAYERS) / "my_net.py")


def build(place: str, **parameters: Any) -> Any:
    return ARCHITECTURES.get(place).build((1, 8, 8), 10, **parameters)


def refusal(place: str, **parameters: Any) -> str:
    with pytest.raises(SimbenchError) as caught:
        build(place, **parameters)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_class_is_given_the_parameters_of_the_suite_and_the_classes(place: str) -> None:
    network = build(f"{place}:MyNet", width=4, sizes=[3, 4])
    assert (network.width, network.sizes, network.head.out_features) == (4, (3, 4), 10)
    assert build(f"{place}:MyNet", classes=5).head.out_features == 5
    assert f"{place}:MyNet" in ARCHITECTURES


def test_a_function_is_given_the_shape_and_any_parameters_it_takes(place: str) -> None:
    network = build(f"{place}:make", width=4, sizes=[3])
    assert (network.width, network.sizes, network.head.out_features) == (4, [3], 8)


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("MyNet", {"widht": 3}, 'unknown parameter "widht"; did you mean "width"?'),
        ("MyNet", {"width": "big"}, 'parameter "width": Input should be a valid integer'),
        ("make", {}, 'parameter "width" is missing'),
    ],
)
def test_parameters_that_do_not_fit_are_named(place: str, name: str, parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterError) as caught:
        ARCHITECTURES.get(f"{place}:{name}").checked(parameters)
    assert str(caught.value) == said


def test_parameters_stand_in_keys_with_the_defaults_that_a_suite_could_give(place: str) -> None:
    checked = ARCHITECTURES.get(f"{place}:MyNet").checked({"sizes": [3]})
    assert checked == {"width": 8, "name": None, "sizes": [3]}
    assert json.dumps(checked)


def test_what_code_prints_leaves_standard_output_alone(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    build(f"{place}:MyNet")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        ("", "architecture my_net.py: name the class or the function in it, such as my_net.py:MyNet"),
        (":net", "architecture my_net.py:net is a network, not what makes one: give a class or a function"),
        (":size", "architecture my_net.py:size is a int, neither a class nor a function"),
        (":by_place", 'architecture my_net.py:by_place: its parameter "width" cannot be given by name'),
        (":broken", "my_net.py:broken raises RuntimeError: no luck (my_net.py:24)"),
        (":number", "my_net.py:number returns a int, not a torch.nn.Module"),
    ],
)
def test_what_makes_no_network_is_one_line(place: str, ending: str, said: str) -> None:
    assert refusal(place + ending).startswith(said)


def test_a_name_that_is_not_there_is_told_the_nearest(place: str) -> None:
    assert refusal(f"{place}:MyNot").endswith('did you mean "MyNet"?')
    assert f"{place}:MyNot" not in ARCHITECTURES
    assert refusal("nowhere.py:MyNet") == "no such file: nowhere.py"
    assert refusal("no_such_package.nets:MyNet").startswith('cannot import "no_such_package.nets"')


def test_a_script_that_fails_runs_once_until_it_is_edited(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    place = f"{write(script='print(1)' + chr(10) + 'raise SystemExit(2)')}/script.py:make"
    for _ in range(3):
        assert place not in ARCHITECTURES
        assert refusal(place).endswith("script.py:2: cannot be imported: SystemExit: 2")
    assert capsys.readouterr().err == "1\n"
    write(script="from torch import nn\ndef make(): return nn.Flatten()")
    assert place in ARCHITECTURES


def test_a_network_that_was_returned_before_is_refused(place: str) -> None:
    build(f"{place}:again")
    assert "returned before" in refusal(f"{place}:again")


def test_the_identity_follows_from_the_code_and_not_from_the_folder(write: Write) -> None:
    first = write("first", my_net=MY_NET, layers=LAYERS)
    second = write("second", my_net=f"# a comment\n{MY_NET}", layers=LAYERS)
    third = write("third", my_net=MY_NET, layers=LAYERS.replace("(w, w)", "(w, w, bias=False)"))
    identities = [ARCHITECTURES.get(f"{folder}/my_net.py:MyNet").identity for folder in (first, second, third)]
    assert identities[0] == identities[1] != identities[2]
    assert identities[0].startswith("MyNet@source-")


def test_folders_have_neighbours_of_their_own(write: Write) -> None:
    wide = LAYERS.replace("super().__init__(w, w)", "super().__init__(w, w, bias=False)")
    places = [write("one", my_net=MY_NET, layers=LAYERS), write("two", my_net=MY_NET, layers=wide)]
    assert [build(f"{folder}/my_net.py:MyNet").block.bias is None for folder in places] == [False, True]


def test_what_is_installed_is_identified_by_its_version() -> None:
    assert ARCHITECTURES.get("torch.nn:Linear").identity == f"Linear@torch-{importlib.metadata.version('torch')}"
    assert isinstance(build("torch.nn:Linear", in_features=3, out_features=2), nn.Linear)


@pytest.mark.parametrize(
    "place", ["os:system", "builtins:exec", "subprocess:run", "torch.hub:load", "torch:save", "shutil:rmtree"]
)
def test_a_suite_alone_cannot_call_whatever_is_installed(place: str) -> None:
    with pytest.raises(SimbenchError, match=f"architecture {place}"):
        ARCHITECTURES.get(place)


def test_a_name_that_a_file_only_imports_is_no_more_its_own(write: Write) -> None:
    folder = write(net="from os import system\nfrom torchvision.models import squeezenet1_1")
    assert "is installed, and neither a class of modules" in refusal(f"{folder}/net.py:system", command="true")
    network = ARCHITECTURES.get(f"{folder}/net.py:squeezenet1_1").build((3, 64, 64), 10, num_classes=3)
    assert isinstance(network, nn.Module)


def test_a_network_in_wrappers_is_taken_out_of_them(write: Write) -> None:
    text = (
        "import torch\nfrom torch import nn\n"
        "def make():\n"
        "    inner = torch.compile(nn.Linear(64, 4))\n"
        "    return torch.compile(nn.DataParallel(nn.Sequential(nn.Flatten(), inner)))\n"
    )
    network = build(f"{write(net=text) / 'net.py'}:make")
    assert [name for name, _ in network.named_modules()] == ["", "0", "1"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("nn.Sequential(nn.Flatten(), nn.Linear(64, classes))", None),
        ("nn.Sequential(nn.Flatten(), nn.Linear(63, classes))", "reads no inputs of shape (n, 1, 8, 8): RuntimeError"),
        # values are looked at, which there are none of without weights
        ("nn.Sequential(nn.Flatten(), nn.Linear(int(torch.ones(64).sum()), classes))", None),
        ("nn.Sequential(nn.Flatten(), nn.Embedding(5, classes))", None),
        ("1 / 0", "raises ZeroDivisionError: division by zero (net.py:4)"),
    ],
)
def test_code_is_tried_before_anything_is_trained(write: Write, code: str, said: str | None) -> None:
    place = write(net=f"import torch\nfrom torch import nn\ndef make(classes):\n    return {code}\n") / "net.py"
    problem = trial_problem(ARCHITECTURES.get(f"{place}:make"), {}, (1, 8, 8))
    assert problem is None if said is None else said in str(problem)


def test_code_with_a_preprocessing_of_its_own_is_not_tried_on_numbers(write: Write) -> None:
    code = "def make():\n    made = nn.Linear(63, 2)\n    made.preprocess = len\n    return made\n"
    place = write(net=f"from torch import nn\n{code}") / "net.py"
    assert trial_problem(ARCHITECTURES.get(f"{place}:make"), {}, (1, 8, 8)) is None
