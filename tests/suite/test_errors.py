"""Every mistake in a suite is one line: file:line:column, what is wrong, the nearest valid thing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from simbench.errors import UnknownNameError
from simbench.suite.load import load_suite

Changed = Callable[[str, str], Path]
Problems = Callable[[Path], list[str]]

MISTAKES = {
    "unknown key at the top": (
        "version: 1\n",
        "version: 1\nabuot: me\n",
        '3:1: unknown key "abuot"; did you mean "about"?',
    ),
    "unknown key in a test": (
        "kind: identity\n",
        "kind: identity\n    pas_if: '>= 1'\n",
        '12:5: unknown key "pas_if" in tests[0]; did you mean "pass_if"?',
    ),
    "unknown key in a model": (
        "    train: {",
        "    sedes: [1]\n    train: {",
        '7:5: unknown key "sedes" in models.net; did you mean "seeds"?',
    ),
    "unknown key in train": (
        "epochs: 1}",
        "epochs: 1, epoch: 2}",
        '7:41: unknown key "epoch" in models.net.train; did you mean "epochs"?',
    ),
    "unknown key in the fitting probe": (
        "inputs: 100}",
        "inputs: 100, fit: {splt: train}}",
        '3:45: unknown key "splt" in probe.fit; did you mean "split"?',
    ),
    "unknown teacher": (
        "epochs: 1}",
        "epochs: 1, distil: {teacher: ned}}",
        '7:59: unknown model "ned"; did you mean "net"?',
    ),
    "a teacher that has a teacher": (
        "epochs: 1}",
        "epochs: 1, distil: {teacher: net}}",
        '7:59: models.net: the teacher "net" has a teacher itself',
    ),
    "wrong type": ("version: 1", "version: one", "2:10: version: input should be a valid integer"),
    "wrong type in a union": (
        "transforms: [permutation]",
        "transforms: [permutation]\n    layers: {}",
        "17:13: tests[1].layers: input should be a valid integer, or input should be a valid list",
    ),
    "a scalar for a mapping": (
        "train: {dataset: digits, epochs: 1}",
        "train: digits",
        "7:12: models.net.train: a mapping is needed",
    ),
    "unknown choice": (
        "inputs: 100}",
        "inputs: 100, spatial: poll}",
        "3:48: probe.spatial: input should be 'positions', 'pool', 'last', 'cls' or 'flatten'; did you mean \"pool\"?",
    ),
    "number out of bounds": ("epochs: 1}", "epochs: -1}", "7:38: models.net.train.epochs: input should be greater"),
    "missing key": ("version: 1\n", "", '1:1: key "version" is missing'),
    "missing key in a test": ("    kind: identity\n", "", '10:5: key "kind" is missing in tests[0]'),
    "missing key in train": (", epochs: 1", "", '7:5: key "epochs" is missing in models.net.train'),
    "unknown metric": ("[cka]", "[cka, ckaa]", '8:16: unknown metric "ckaa"; did you mean "cka"?'),
    "unknown metric in place of a list": ("[cka]", "ckaa", '8:10: unknown metric "ckaa"; did you mean "cka"?'),
    "misspelt wrapper": (
        "[cka]",
        "[{name: cka, calibrat: permutation}]",
        '8:23: metric cka: unknown parameter "calibrat"; did you mean "calibrate"?',
    ),
    "wrapper that does not fit": (
        "[cka]",
        "[{name: mutual_knn, minibatch: 64}]",
        '8:30: metric mutual_knn: parameter "minibatch": mutual_knn is no function of sums over rows',
    ),
    "unknown metric parameter": (
        "[cka]",
        "[{name: svcca, varianc: 0.9}]",
        '8:25: metric svcca: unknown parameter "varianc"; did you mean "variance"?',
    ),
    "metric parameter of a wrong type": (
        "[cka]",
        "[{name: svcca, variance: much}]",
        '8:25: metric svcca: parameter "variance"',
    ),
    "unknown architecture": (
        "name: mlp",
        "name: mpl",
        '6:26: unknown architecture "mpl"; did you mean "mlp"?',
    ),
    "unknown architecture parameter": (
        "width: 8",
        "widht: 8",
        '6:31: architecture mlp: unknown parameter "widht"; did you mean "width"?',
    ),
    "unknown probe dataset": (
        "probe: {dataset: digits",
        "probe: {dataset: digit",
        '3:18: unknown dataset "digit"; did you mean "digits"?',
    ),
    "unknown training dataset": (
        "train: {dataset: digits",
        "train: {dataset: digist",
        '7:22: unknown dataset "digist"; did you mean "digits"?',
    ),
    "unknown dataset parameter": (
        "probe: {dataset: digits",
        "probe: {dataset: {name: digits, split_sed: 1}",
        '3:33: dataset digits: unknown parameter "split_sed"; did you mean "split_seed"?',
    ),
    "unknown test kind": (
        "kind: identity",
        "kind: idntity",
        '11:11: unknown test kind "idntity"; did you mean "identity"?',
    ),
    "unknown transform": (
        "[permutation]",
        "[permutaton]",
        '16:18: unknown transform "permutaton"; did you mean "permutation"?',
    ),
    "a transform that is not function-preserving": (
        "[permutation]",
        "[permutation, noise]",
        '16:31: tests[1].transforms[1]: "noise" is not function-preserving; valid: affine, block_rotation, copy, ',
    ),
    "such a transform with parameters": (
        "[permutation]",
        "[{name: noise, ratio: 2.0}]",
        '16:18: tests[1].transforms[0]: "noise" is not function-preserving; valid: affine, ',
    ),
    "unknown transform with parameters": (
        "[permutation]",
        "[{name: afine, condition: 2}]",
        '16:25: unknown transform "afine"; did you mean "affine"?',
    ),
    "unknown transform parameter": (
        "[permutation]",
        "[{name: invertible_linear, conditon: 100}]",
        '16:44: transform invertible_linear: unknown parameter "conditon"; did you mean "condition"?',
    ),
    "transform parameter out of bounds": (
        "[permutation]",
        "[{name: invertible_linear, condition: 0.5}]",
        '16:44: transform invertible_linear: parameter "condition": Input should be greater than or equal to 1',
    ),
    "a transform without a name": (
        "[permutation]",
        "[{condition: 100}]",
        '16:18: key "name" is missing in tests[1].transforms[0]',
    ),
    "a transform named twice": (
        "[permutation]",
        "[invertible_linear, {name: invertible_linear, condition: 10}]",
        "16:17: tests[1].transforms: a transform appears twice",
    ),
    "unknown model": (
        "identity\n    models: [net]",
        "identity\n    models: [nett]",
        '12:14: unknown model "nett"; did you mean "net"?',
    ),
    "unknown layer of an architecture": (
        "    train: {",
        "    layers: [block1, blok2]\n    train: {",
        '7:22: unknown layer of mlp "blok2"; did you mean',
    ),
    "unknown layer in a test": (
        "transforms: [permutation]",
        "transforms: [permutation]\n    layers: [block4]",
        '17:14: unknown layer of net "block4"; did you mean',
    ),
    "unknown layer where a test looks at one": (
        "kind: identity\n",
        "kind: group_separation\n    layer: block4\n",
        '12:12: unknown layer of net "block4"; did you mean',
    ),
    "unknown reference variable to hold similarity against": (
        "kind: identity\n",
        "kind: output_correlation\n    against: [kl, disagrement]\n",
        '12:19: unknown metric "disagrement"; did you mean "disagreement"?',
    ),
    "a similarity to hold similarity against": (
        "kind: identity\n",
        "kind: output_correlation\n    against: [kl, cka]\n",
        '12:19: metric "cka" is a similarity; a distance is needed here',
    ),
    "a group of models named twice": (
        "kind: identity\n    models: [net]\n",
        "kind: identity\n    models: [net, net]\n",
        "10:5: tests[0]: a group of models appears twice in `models`",
    ),
    "a grade that cannot be": (
        "kind: identity\n",
        'kind: identity\n    pass_if: "> 2"\n',
        "10:5: tests[0]: no grade is > 2: grades are in [0, 1]",
    ),
    "unknown distance to bound": (
        "kind: identity\n",
        "kind: upper_bound\n    bounds: {d_repp: {by: logit_distance}}\n",
        '12:14: unknown metric "d_repp"; did you mean "d_rep"?',
    ),
    "unknown distance to bound by": (
        "kind: identity\n",
        "kind: upper_bound\n    bounds: {d_rep: {by: logit_distanc}}\n",
        '12:26: unknown metric "logit_distanc"; did you mean "logit_distance"?',
    ),
    "a layer that the suite does not list": (
        "    train: {dataset: digits, epochs: 1}\nmetrics: [cka]\ntests:\n",
        "    train: {dataset: digits, epochs: 1}\n    layers: [block1, block2]\nmetrics: [cka]\ntests:\n"
        "  - {id: third, kind: invariance, models: [net], transforms: [permutation], layers: [block3]}\n",
        '11:86: unknown layer of net "block3"; did you mean',
    ),
    "the same key twice": (
        "version: 1\n",
        "version: 1\nversion: 2\n",
        '3:1: key "version" appears twice',
    ),
    "the same id twice": ("id: second", "id: first", '13:9: id "first" is also that of tests[0]'),
    "the same seed twice": (
        "    train: {",
        "    seeds: [1, 1]\n    train: {",
        "7:12: models.net.seeds: a seed appears twice",
    ),
    "an architecture that names no layers, and none listed": (
        "architecture: {name: mlp, width: 8, depth: 3}",
        "architecture: {name: torchvision, model: resnet18}",
        '5:3: models.net: architecture "torchvision" needs `layers:`',
    ),
    "a layout of a layer that is not there": (
        "    train: {",
        "    layout: {blok2: tokens}\n    train: {",
        '7:14: unknown layer of net "blok2"; did you mean "block2"',
    ),
    "a layout that there is not": (
        "    train: {",
        "    layout: sideways\n    train: {",
        "7:13: models.net.layout",
    ),
    "neither train nor load": (
        "    train: {dataset: digits, epochs: 1}\n",
        "",
        "6:5: models.net: give one of `train`, `load` and `activations`",
    ),
    "both train and load": (
        "    train: {",
        "    load: weights.pt\n    train: {",
        "6:5: models.net: give one of `train`, `load` and `activations`",
    ),
    "a test that names no models": (
        "kind: identity\n    models: [net]\n",
        "kind: identity\n",
        '10:5: test "first" names no models; a test of kind identity needs some',
    ),
    "a test that is no mapping": (
        "  - id: second\n    kind: invariance\n    models: [net]\n    transforms: [permutation]\n",
        "  - second\n",
        "13:5: tests[1]: a test is a mapping with `id` and `kind`",
    ),
    "a threshold that is no comparison": (
        "kind: identity\n",
        "kind: identity\n    pass_if: 0.9 or so\n",
        "12:14: tests[0].pass_if: string should match pattern",
    ),
    "a plugin that is not there": (
        "version: 1\n",
        "version: 1\nplugins: [./missing.py]\n",
        "3:11: no such file: missing.py",
    ),
    "a metric's file that is not there": ("[cka]", "[cka, missing.py:mine]", "8:16: no such file: missing.py"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_with_its_place(mistake: str, changed: Changed, problems_of: Problems) -> None:
    old, new, expected = MISTAKES[mistake]
    found = problems_of(changed(old, new))
    assert len(found) == 1, found
    assert found[0].startswith(f"suite.yaml:{expected}")


def test_an_empty_list_of_tests_is_a_mistake(tmp_path: Path, valid: str, problems_of: Problems) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(valid[: valid.index("tests:")] + "tests: []\n")
    assert problems_of(path) == ["suite.yaml:9:8: tests: list should have at least 1 item after validation, not 0"]


def test_invalid_yaml_is_one_line_with_its_place(tmp_path: Path, problems_of: Problems) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text("suite: x\nprobe: {dataset: digits\ntests: []\n")
    (line,) = problems_of(path)
    assert line.startswith("suite.yaml:3:6: not valid YAML:")


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words\n"])
def test_a_file_that_is_no_mapping_says_so(text: str, tmp_path: Path, problems_of: Problems) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(text)
    assert problems_of(path) == ["suite.yaml:1:1: a suite is a mapping of keys to values"]


def test_a_file_that_is_no_text_says_so(tmp_path: Path, problems_of: Problems) -> None:
    path = tmp_path / "suite.yaml"
    path.write_bytes(b"\xff\xfe\x00\x01")
    (line,) = problems_of(path)
    assert line.startswith("suite.yaml: not valid YAML:")


def test_an_alias_inside_of_what_it_names_is_one_line(tmp_path: Path, problems_of: Problems) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text("suite: x\ntests: &again [*again]\n")
    assert problems_of(path) == ["suite.yaml:2:8: not valid YAML: an alias stands inside of what it names"]


def test_a_python_object_is_not_built(tmp_path: Path, problems_of: Problems, valid: str) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(valid.replace("suite: small", "suite: !!python/object/apply:os.getcwd []"))
    lines = problems_of(path)
    assert lines[0].startswith("suite.yaml:1:8: suite: input should be a valid string")


def test_a_suite_that_does_not_exist_gets_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match=r'unknown suite "qiuck"; did you mean "quick"\?'):
        load_suite("qiuck")


TEN_MISTAKES = """\
suite: small
version: one
colour: red
probe: {dataset: digist, inputs: 100, spatial: poll}
models:
  net:
    architecture: {name: mlp, widht: 8}
    train: {dataset: digits, epochs: 1, epoch: 2}
metrics: [ckaa]
tests:
  - id: first
    kind: idntity
    models: [nett]
  - id: first
    kind: invariance
    models: [net]
    transforms: [permutaton]
"""
TEN_PLACES = ["2:10", "3:1", "4:18", "4:48", "7:31", "8:41", "9:11", "12:11", "13:14", "14:9", "17:18"]


def test_all_mistakes_of_a_file_are_reported_at_once_from_top_to_bottom(tmp_path: Path, problems_of: Problems) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(TEN_MISTAKES)
    assert [line.split(": ")[0].removeprefix("suite.yaml:") for line in problems_of(path)] == TEN_PLACES
