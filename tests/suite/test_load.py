"""What a suite file may say, and what it means."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from simbench.errors import SuiteError
from simbench.registry import METRICS, TEST_KINDS
from simbench.suite.json_schema import suite_schema
from simbench.suite.load import bundled_suites, load_suite
from simbench.suite.schema import DeclaredTest
from simbench.suite.yaml_nodes import read_document

Changed = Callable[[str, str], Path]
Problems = Callable[[Path], list[str]]

METRIC_FILE = """\
import simbench

@simbench.metric("{name}", higher_is_more_similar=True)
def measure(x, y):
    return 1.0
"""


@pytest.mark.parametrize("name", bundled_suites())
def test_every_bundled_suite_loads(name: str) -> None:
    assert load_suite(name).suite == name


@pytest.mark.parametrize("name", bundled_suites())
def test_a_bundled_suite_uses_only_keys_of_the_schema(name: str) -> None:
    schema = suite_schema()
    data = read_document(bundled_suites()[name]).data
    assert set(data) <= set(schema["properties"])
    for test in data.get("tests", []):
        assert set(test) <= set(schema["$defs"][f"test_{test['kind']}"]["properties"])


def test_the_schema_knows_every_test_kind() -> None:
    kinds = suite_schema()["properties"]["tests"]["items"]["anyOf"]
    assert {kind["$ref"] for kind in kinds} == {f"#/$defs/test_{name}" for name in TEST_KINDS.names()}


def test_the_schema_takes_one_metric_in_place_of_a_list() -> None:
    assert {"type": "string"} in suite_schema()["properties"]["metrics"]["anyOf"]


@pytest.mark.parametrize("number", ["1e-3", "1E-3", "0.1e-2", ".1e-2", "0.001", "1.0e-3"])
def test_numbers_with_an_exponent_are_numbers(number: str, changed: Changed) -> None:
    suite = load_suite(str(changed("epochs: 1}", f"epochs: 1, learning_rate: {number}}}")))
    training = suite.models["net"].train
    assert training is not None
    assert training.learning_rate == 0.001


@pytest.mark.parametrize("word", ["on", "yes", "no", "off"])
def test_words_that_older_yaml_takes_for_booleans_are_words(word: str, changed: Changed) -> None:
    assert load_suite(str(changed("suite: small", f"suite: {word}"))).suite == word


def test_an_integer_is_a_valid_float_and_a_float_no_valid_integer(changed: Changed, problems_of: Problems) -> None:
    load_suite(str(changed("epochs: 1}", "epochs: 1, learning_rate: 1}")))
    assert len(problems_of(changed("epochs: 1}", "epochs: 1.0}"))) == 1


def test_a_component_may_be_its_bare_name(changed: Changed) -> None:
    suite = load_suite(str(changed("{name: mlp, width: 8, depth: 3}", "mlp")))
    assert suite.models["net"].architecture.name == "mlp"


@pytest.mark.parametrize(
    ("declared", "names"),
    [
        ("default", ["default"]),
        ("[default, {name: svcca, variance: 0.9}]", ["default", "svcca"]),
        ("[cka, kl]", ["cka", "kl"]),
        ("cka", ["cka"]),
    ],
)
def test_metrics_may_be_a_name_or_a_list_with_parameters(declared: str, names: list[str], changed: Changed) -> None:
    suite = load_suite(str(changed("metrics: [cka]", f"metrics: {declared}")))
    assert [choice.name for choice in suite.metrics] == names


def test_without_metrics_the_default_ones_are_meant(changed: Changed) -> None:
    suite = load_suite(str(changed("metrics: [cka]\n", "")))
    assert [choice.name for choice in suite.metrics] == ["default"]


def test_an_empty_list_of_metrics_is_a_mistake(changed: Changed, problems_of: Problems) -> None:
    assert problems_of(changed("[cka]", "[]"))[0].startswith("suite.yaml:8:10: metrics:")


def test_a_test_kind_that_generates_its_models_needs_none(changed: Changed) -> None:
    suite = load_suite(str(changed("kind: identity\n    models: [net]", "kind: distribution_sensitivity")))
    assert suite.tests[0].models == []


@pytest.mark.parametrize(
    ("threshold", "grade", "passes"),
    [(">= 0.9", 0.9, True), ("> 0.9", 0.9, False), ("<= 0.5", 0.6, False), ("<.5", 0.4, True)],
)
def test_pass_if_compares_with_the_grade(threshold: str, grade: float, passes: bool) -> None:
    assert DeclaredTest(id="x", kind="x", pass_if=threshold).passes(grade) is passes


class TestExtends:
    """`extends` puts a suite on top of another."""

    @pytest.fixture
    def folder(self, tmp_path: Path, valid: str) -> Path:
        (tmp_path / "base.yaml").write_text(valid)
        return tmp_path

    def extended(self, folder: Path, text: str) -> Path:
        path = folder / "suite.yaml"
        path.write_text(text)
        return path

    def test_mappings_are_merged_and_everything_else_is_replaced(self, folder: Path) -> None:
        text = (
            "extends: base.yaml\nsuite: top\nmodels: {net: {seeds: [3, 4]}, other: {load: w.pt, architecture: mlp}}\n"
        )
        suite = load_suite(str(self.extended(folder, f"{text}metrics: [kl]\n")))
        assert suite.suite == "top"
        assert suite.version == 1
        assert suite.models["net"].seeds == [3, 4]
        assert suite.models["net"].architecture.parameters == {"width": 8, "depth": 3}
        assert set(suite.models) == {"net", "other"}
        assert [choice.name for choice in suite.metrics] == ["kl"]

    def test_a_component_under_another_name_keeps_no_parameters(self, folder: Path) -> None:
        text = "extends: base.yaml\nmodels: {net: {architecture: {name: conv2d, kernel_size: 3}}}\n"
        suite = load_suite(str(self.extended(folder, text)))
        assert suite.models["net"].architecture.parameters == {"kernel_size": 3}

    def test_an_inherited_mistake_names_the_base_file(self, folder: Path, valid: str, problems_of: Problems) -> None:
        (folder / "base.yaml").write_text(valid.replace("epochs: 1", "epochs: 1, epoch: 1"))
        path = self.extended(folder, "extends: base.yaml\ncolour: red\nmodels: {net: {seeds: [1, 2]}}\n")
        assert [line.split(": ")[0] for line in problems_of(path)] == ["suite.yaml:2:1", "base.yaml:7:41"]

    def test_a_mistake_that_is_replaced_is_none(self, folder: Path, valid: str) -> None:
        (folder / "base.yaml").write_text(valid.replace("[cka]", "[ckaa]"))
        load_suite(str(self.extended(folder, "extends: base.yaml\nmetrics: [cka]\n")))

    def test_a_mistake_in_a_list_that_is_replaced_is_not_placed_in_the_base(
        self, folder: Path, valid: str, problems_of: Problems
    ) -> None:
        (folder / "base.yaml").write_text(valid.replace("kind: identity", "kind: invariance\n    transforms: [affine]"))
        path = self.extended(folder, "extends: base.yaml\ntests:\n  - {id: only, kind: invariance, models: [net]}\n")
        assert problems_of(path) == ['suite.yaml:3:5: key "transforms" is missing in tests[0]']

    def test_a_bundled_suite_may_be_extended_by_its_name(self, folder: Path) -> None:
        suite = load_suite(str(self.extended(folder, "extends: quick\nsuite: mine\n")))
        assert suite.suite == "mine"
        assert suite.tests == load_suite("quick").tests

    def test_a_suite_may_extend_one_that_extends(self, folder: Path) -> None:
        (folder / "middle.yaml").write_text("extends: base.yaml\nversion: 2\n")
        suite = load_suite(str(self.extended(folder, "extends: middle.yaml\nsuite: top\n")))
        assert (suite.suite, suite.version) == ("top", 2)

    def test_a_missing_base_is_one_line(self, folder: Path, problems_of: Problems) -> None:
        path = self.extended(folder, "suite: top\nextends: bse.yaml\n")
        assert problems_of(path) == ["suite.yaml:2:10: no such file: bse.yaml"]

    def test_the_base_is_looked_for_beside_the_suite_only(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, problems_of: Problems
    ) -> None:
        (folder / "elsewhere").mkdir()
        monkeypatch.chdir(folder)
        path = self.extended(folder / "elsewhere", "extends: base.yaml\n")
        assert problems_of(path) == ["suite.yaml:1:10: no such file: base.yaml"]

    def test_a_misspelt_name_gets_the_nearest(self, folder: Path, problems_of: Problems) -> None:
        path = self.extended(folder, "extends: sanitty\n")
        assert problems_of(path) == ['suite.yaml:1:10: unknown suite "sanitty"; did you mean "sanity"?']

    def test_a_circle_is_one_line(self, folder: Path, problems_of: Problems) -> None:
        (folder / "base.yaml").write_text("extends: suite.yaml\n")
        path = self.extended(folder, "extends: base.yaml\n")
        assert problems_of(path) == ["suite.yaml:1:10: this suite extends itself"]

    def test_extends_takes_one_name(self, folder: Path, problems_of: Problems) -> None:
        path = self.extended(folder, "extends: [base.yaml]\n")
        assert problems_of(path) == ['suite.yaml:1:10: "extends" takes the name or the path of one suite']


class TestFilesBesideTheSuite:
    """What a suite names by file lies beside the suite, wherever simbench is started."""

    def test_a_plugin_may_bring_what_the_suite_uses(self, changed: Changed, tmp_path: Path) -> None:
        (tmp_path / "plugin.py").write_text(METRIC_FILE.format(name="of_a_plugin"))
        text = "version: 1\nplugins: [./plugin.py]\n"
        path = changed("version: 1\n", text)
        path.write_text(path.read_text().replace("[cka]", "[of_a_plugin]"))
        load_suite(str(path))
        assert "of_a_plugin" in METRICS

    def test_a_plugin_that_raises_is_one_line_with_its_own_line(
        self, changed: Changed, tmp_path: Path, problems_of: Problems
    ) -> None:
        (tmp_path / "plugin.py").write_text("a = 1\nb = a / 0\n")
        (line,) = problems_of(changed("version: 1\n", "version: 1\nplugins: [plugin.py]\n"))
        assert line.startswith("suite.yaml:3:11: ")
        assert line.endswith("plugin.py:2: cannot be imported: ZeroDivisionError: division by zero")

    def test_a_plugin_cannot_take_the_name_of_a_built_in_metric(
        self, changed: Changed, tmp_path: Path, problems_of: Problems
    ) -> None:
        (tmp_path / "plugin.py").write_text(METRIC_FILE.format(name="cka"))
        (line,) = problems_of(changed("version: 1\n", "version: 1\nplugins: [plugin.py]\n"))
        assert line.startswith('suite.yaml:3:11: metric "cka" is defined twice: at ')

    def test_a_module_that_raises_is_one_line(
        self, changed: Changed, tmp_path: Path, problems_of: Problems, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "raising_module.py").write_text("raise ValueError('no')\n")
        monkeypatch.syspath_prepend(tmp_path)
        (line,) = problems_of(changed("version: 1\n", "version: 1\nplugins: [raising_module]\n"))
        assert line == 'suite.yaml:3:11: cannot import "raising_module": ValueError: no'

    def test_a_metric_in_a_file_is_found_from_any_folder(self, changed: Changed, tmp_path: Path) -> None:
        (tmp_path / "mine.py").write_text(METRIC_FILE.format(name="of_a_file"))
        suite = load_suite(str(changed("[cka]", "[cka, ./mine.py:measure]")))
        assert suite.metrics[1].name == f"{tmp_path.resolve() / 'mine.py'}:measure"

    def test_weights_are_found_from_any_folder(self, changed: Changed, tmp_path: Path) -> None:
        (tmp_path / "w.pt").touch()
        suite = load_suite(str(changed("train: {dataset: digits, epochs: 1}", "load: w.pt")))
        assert suite.models["net"].load == str(tmp_path.resolve() / "w.pt")

    def test_a_dataset_in_a_file_is_found_from_any_folder(self, changed: Changed, tmp_path: Path) -> None:
        (tmp_path / "data.npz").touch()
        suite = load_suite(str(changed("probe: {dataset: digits", "probe: {dataset: {name: arrays, path: data.npz}")))
        assert suite.probe.dataset.parameters["path"] == str(tmp_path.resolve() / "data.npz")

    def test_a_name_that_is_no_file_beside_the_suite_stays_a_name(self, changed: Changed) -> None:
        suite = load_suite(str(changed("train: {dataset: digits, epochs: 1}", "load: DEFAULT")))
        assert suite.models["net"].load == "DEFAULT"


def test_a_relative_path_and_an_absolute_one_give_the_same_suite(
    changed: Changed, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = changed("version: 1", "version: 2")
    monkeypatch.chdir(path.parent)
    assert load_suite(path.name) == load_suite(os.fspath(path))


def test_the_error_is_a_usage_error(changed: Changed) -> None:
    with pytest.raises(SuiteError) as raised:
        load_suite(str(changed("version: 1", "version: one")))
    assert raised.value.exit_code == 2
