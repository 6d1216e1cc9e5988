"""What the decorator makes of a function: metadata, parameters, label, identity."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from simbench.declaration import INVARIANCES
from simbench.errors import SimbenchError, UnknownNameError
from simbench.metrics.metric import ATTRIBUTE, Metric, metric
from simbench.parameters import ParameterError
from simbench.registry import METRICS, import_reference


@pytest.fixture(autouse=True)
def registry_as_before() -> Iterator[None]:
    with METRICS.isolated():
        yield


def power_mean(x: Tensor, y: Tensor, *, power: float = 2.0, rounds: int = 1) -> float:
    """Mean of powers.

    Not a serious metric.
    """
    return power * rounds


def declared(**changes: Any) -> Metric:
    metric("power_mean", higher_is_more_similar=True, **changes)(power_mean)
    return METRICS.get("power_mean")


def test_the_function_comes_back_unchanged_with_its_metric_attached() -> None:
    found = metric("power_mean", higher_is_more_similar=True)(power_mean)
    assert found is power_mean
    assert getattr(found, ATTRIBUTE) is METRICS.get("power_mean")


def test_everything_declared_is_kept() -> None:
    bounds = (0.0, 9.0)
    given = declared(version=3, symmetric=True, value_range=bounds, invariant_to={"affine"}, family="f", formula="x")
    assert (given.version, given.symmetric, given.value_range) == (3, True, bounds)
    assert (given.invariant_to, given.family, given.formula) == (frozenset({"affine"}), "f", "x")
    assert given.summary == "Mean of powers."
    assert Path(given.origin.file) == Path(__file__)


def test_a_class_may_carry_the_batched_interface() -> None:
    @metric("with_class", higher_is_more_similar=True)
    class WithClass:
        def __call__(self, x: Tensor, y: Tensor, *, power: float = 2.0) -> float:
            return power

        def prepare(self, representation: object, *, power: float) -> float:
            return power

        def compare_many(self, prepared: list[float], pairs: list[tuple[int, int]], *, power: float) -> list[float]:
            return [prepared[a] for a, _ in pairs]

    found = METRICS.get("with_class")
    assert found.prepare is not None
    assert found.prepare(None, power=3.0) == 3.0
    assert found.compare_many is not None
    assert found.parameters == {"power": 2.0}


@pytest.mark.parametrize(
    ("argument", "value"), [("invariant_to", {"rotation"}), ("needs", {"heads"}), ("needs", "head")]
)
def test_a_declaration_that_does_not_exist_is_an_error(argument: str, value: object) -> None:
    with pytest.raises(SimbenchError, match=argument):
        declared(**{argument: value})


def test_parameters_are_the_keyword_only_arguments_with_their_defaults() -> None:
    assert declared().parameters == {"power": 2.0, "rounds": 1}


def test_parameters_can_be_set() -> None:
    assert declared().with_parameters({"power": 3}).parameters == {"power": 3.0, "rounds": 1}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"powr": 3.0}, 'unknown parameter "powr"; did you mean "power"'),
        ({"power": "two"}, 'parameter "power"'),
        ({"rounds": 1.5}, 'parameter "rounds"'),
        ({"rounds": True}, 'parameter "rounds"'),
    ],
)
def test_a_bad_parameter_is_an_error_that_names_it(given: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        declared().with_parameters(given)


def test_all_bad_parameters_are_named_at_once() -> None:
    with pytest.raises(ParameterError) as raised:
        declared().with_parameters({"powr": 3.0, "rounds": "x"})
    assert set(raised.value.problems) == {"powr", "rounds"}


def test_annotations_of_other_arguments_may_exist_for_type_checkers_only() -> None:
    def function(x: DoesNotExist, y: DoesNotExist, *, power: float = 2.0) -> DoesNotExist:  # type: ignore[name-defined]  # noqa: F821
        return x

    metric("typed", higher_is_more_similar=True)(function)
    assert METRICS.get("typed").parameters == {"power": 2.0}


def test_the_label_names_what_differs_from_the_defaults() -> None:
    found = declared()
    assert found.label == "power_mean"
    assert found.with_parameters({"power": 3.0}).label == "power_mean(power=3.0)"
    assert found.with_parameters({"power": 2.0}).label == "power_mean"


def test_the_identity_is_name_and_version() -> None:
    assert declared(version=4).identity == "power_mean@4"


SOURCE = """
from simbench.metrics.metric import metric

@metric("from_file", higher_is_more_similar=True)
def from_file(x, y):
    return helper()

def helper():
    return {value}
"""


def identity_of_file(path: Path, text: str) -> str:
    path.write_text(text)
    import_reference(str(path))
    return METRICS.get("from_file").identity


def test_without_a_version_the_identity_follows_the_source_helpers_included(tmp_path: Path) -> None:
    identities = []
    for folder, value in (("first", 1), ("second", 1), ("third", 2)):
        (tmp_path / folder).mkdir()
        with METRICS.isolated():
            identities.append(identity_of_file(tmp_path / folder / "mine.py", SOURCE.format(value=value)))
    assert identities[0] == identities[1] != identities[2]
    assert identities[0].startswith("from_file@source-")


def test_the_same_name_from_two_files_is_an_error_that_names_both(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(SOURCE.format(value=1))
    import_reference(str(tmp_path / "first" / "mine.py"))
    with pytest.raises(SimbenchError, match=r"(?s)first.*second"):
        import_reference(str(tmp_path / "second" / "mine.py"))


def test_an_unknown_metric_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match='did you mean "svcca"'):
        METRICS.get("svca")


def test_the_similarity_of_a_distance_is_its_negative() -> None:
    assert METRICS.get("procrustes").similarity(0.5) == -0.5
    assert METRICS.get("cka").similarity(0.5) == 0.5


@pytest.mark.parametrize(
    ("name", "implied"),
    [("cca", set(INVARIANCES)), ("cka", {"orthogonal", "permutation", "isotropic_scaling", "translation"})],
)
def test_a_declared_invariance_implies_those_of_its_subgroups(name: str, implied: set[str]) -> None:
    found = METRICS.get(name)
    assert {transform for transform in INVARIANCES if found.is_invariant_to(transform)} == implied


def documented() -> list[Metric]:
    return [found for _, found in METRICS if found.origin.module.startswith("simbench.metrics.")]


@pytest.mark.parametrize("found", documented(), ids=lambda found: found.name)
def test_every_built_in_metric_says_what_it_is(found: Metric) -> None:
    assert found.version is not None
    assert all([found.family, found.formula, found.reference, found.summary])


def test_no_two_names_stand_for_one_function() -> None:
    functions = [found.function for _, found in METRICS]
    assert len(set(functions)) == len(functions)
