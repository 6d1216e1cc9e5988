"""Write a suite into a bundle: resolved and without paths; read it without importing a plugin."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import PurePath
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from simbench.bounds import MOST_INPUTS, MOST_LAYERS
from simbench.bundles.archive import SUITE, BadBundleError, sha256
from simbench.bundles.portable_models import check_portable, portable_group
from simbench.errors import ExitCode, SimbenchError, SuiteError
from simbench.metrics.metric import Metric
from simbench.parameters import ParameterError
from simbench.plan.plan import model_group
from simbench.registry import ARCHITECTURES, DATASETS, TEST_KINDS, TRANSFORMS
from simbench.sanity.kind import SanityTest
from simbench.suite.bounded_yaml import FLOAT, FLOAT_PATTERN, FLOAT_STARTS
from simbench.suite.load import too_many_models
from simbench.suite.schema import Component, Suite
from simbench.suite.yaml_nodes import parse_document

MOST_QUESTIONS = 2_000_000


def _not_called(x: Any, y: Any) -> float:
    raise NotImplementedError


# Stands for any metric of layers: the questions of a suite are counted before its metrics are looked at.
OF_LAYERS = Metric("any", _not_called, higher_is_more_similar=True)


class CannotCheckError(SimbenchError):
    """A component that a check needs is not installed here: no fault of the bundle."""

    exit_code = ExitCode.INCOMPLETE


class _Plain(yaml.SafeDumper):
    """A dumper without anchors: the reader refuses aliases, since a few of them can stand for gigabytes."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


# So that a text that reads as a float of YAML 1.2 is quoted.
_Plain.add_implicit_resolver(FLOAT, FLOAT_PATTERN, FLOAT_STARTS)


def portable(suite: Suite, metrics: Sequence[Metric]) -> Suite:
    """Return the suite with these metrics by name, its weights by the hash of their file, its plugins without folders.

    Raises:
        SimbenchError: it reads data, or takes an architecture, from a file, which a bundle cannot name.
    """
    for component in _datasets(suite):
        if DATASETS.get(component.name).files:
            raise SimbenchError(
                f'dataset "{component.name}" is read from a file of yours: nobody else could check a bundle of it'
            )
    for spec in suite.models.values():
        if spec.architecture is not None and ARCHITECTURES.locates(spec.architecture.name):
            place = ARCHITECTURES.get(spec.architecture.name).name
            raise SimbenchError(f"architecture {place} is code of yours: nobody else could check a bundle of it")
    models = {name: portable_group(name, spec) for name, spec in suite.models.items()}
    named = [Component(name=metric.name, **dict(metric.parameters)) for metric in metrics]
    plugins = [PurePath(reference).name if "/" in reference else reference for reference in suite.plugins]
    return suite.model_copy(update={"models": models, "metrics": named, "plugins": plugins})


def _datasets(suite: Suite) -> list[Component]:
    """List the datasets that a suite names."""
    declared = [suite.probe.dataset, *(spec.train.dataset for spec in suite.models.values() if spec.train)]
    return [component for component in declared if component is not None]


def suite_bytes(suite: Suite) -> bytes:
    """Return a suite as YAML; the same suite gives the same bytes."""
    text = yaml.dump(suite_data(suite), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=100)
    return text.encode()


def suite_data(suite: Suite) -> dict[str, Any]:
    """Return the suite as plain data, with every default filled in."""
    data = suite.model_dump(mode="json", exclude={"tests"})
    data["tests"] = [test.model_dump(mode="json") for test in suite.tests]
    return data


def read_suite(content: bytes) -> Suite:
    """Read the suite of a bundle. Its plugins are not imported: code comes only from what is installed here.

    Raises:
        BadBundleError: it is no suite, or not one that a bundle may hold.
        CannotCheckError: it needs a component that is not installed here.
    """
    try:
        document = parse_document(SUITE, content, aliases=False)
    except SuiteError as error:
        raise BadBundleError(str(error).partition("\n")[0]) from None
    data = document.data
    if document.problems:
        raise BadBundleError(str(document.problems[0]))
    if not isinstance(data.get("tests"), list):
        raise BadBundleError(f"{SUITE}: not a suite")
    _check_numbers(data)
    try:
        tests = [_test(raw) for raw in data["tests"]]
        # What a stranger's suite names as plugins is never imported: no later step gets to see it.
        suite = Suite.model_validate({**data, "tests": tests, "plugins": []})
    except (ValidationError, RecursionError) as error:
        first = error.errors(include_input=False)[0] if isinstance(error, ValidationError) else None
        what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}" if first else "nested too deep"
        raise BadBundleError(f"{SUITE}: {what}") from None
    _check_components(suite)
    _check_size(suite)
    return suite


def suite_differences(left: Suite, right: Suite) -> list[str]:
    """Return the places in which two suites differ, but for metrics and plugins, which decide no verdict."""
    first, second = _deciding(left), _deciding(right)
    return sorted(place for name in first for place in _differences(name, first[name], second[name]))


def suite_digest(suite: Suite) -> str:
    """Return the checksum of all of a suite that decides verdicts: two suites have the same if they do not differ."""
    return sha256(json.dumps(_deciding(suite), sort_keys=True).encode())


def _deciding(suite: Suite) -> dict[str, Any]:
    return {name: value for name, value in suite_data(suite).items() if name not in ("metrics", "plugins", "about")}


def _differences(place: str, left: Any, right: Any) -> list[str]:
    if isinstance(left, dict) and isinstance(right, dict):
        names = dict.fromkeys([*left, *right])
        return [inner for name in names for inner in _differences(f"{place}.{name}", left.get(name), right.get(name))]
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        pairs = enumerate(zip(left, right, strict=True))
        return [inner for index, (a, b) in pairs for inner in _differences(f"{place}[{index}]", a, b)]
    return [] if left == right else [place]


def _test(raw: Any) -> BaseModel:
    if not isinstance(raw, dict) or not isinstance(raw.get("kind"), str):
        raise BadBundleError(f"{SUITE}: a test without a kind")
    if raw["kind"] not in TEST_KINDS:
        raise CannotCheckError(f'no test kind "{raw["kind"]}" here: install the plugin that brings it')
    return TEST_KINDS.get(raw["kind"]).model_validate(raw)


def _check_numbers(data: Any) -> None:
    """Raise `BadBundleError` for a number with which a few bytes could ask for more memory than there is."""
    if isinstance(data, dict | list):
        for inner in data.values() if isinstance(data, dict) else data:
            _check_numbers(inner)
    elif isinstance(data, int | float) and not isinstance(data, bool) and not abs(data) <= MOST_INPUTS:
        raise BadBundleError(f"{SUITE}: {data} is larger than any number that a bundle's suite may hold")


def _check_components(suite: Suite) -> None:
    """Raise an error unless everything that the suite names is known here and none of it is a path."""
    for component in _datasets(suite):
        if component.name not in DATASETS:
            raise CannotCheckError(f'no dataset "{component.name}" here: install the plugin that brings it')
        if DATASETS.get(component.name).files:
            raise BadBundleError(f'{SUITE}: dataset "{component.name}" is read from a file, which no bundle may name')
    for name, spec in suite.models.items():
        if spec.architecture is not None and ARCHITECTURES.locates(spec.architecture.name):
            # never import what a stranger names
            raise BadBundleError(f"{SUITE}: models.{name}: the architecture is code, which no bundle may name")
        if spec.architecture is not None and spec.architecture.name not in ARCHITECTURES:
            raise CannotCheckError(
                f'no architecture "{spec.architecture.name}" here: install the plugin that brings it'
            )
        if spec.teacher is not None and (
            spec.teacher not in suite.models
            or suite.models[spec.teacher].teacher is not None
            or suite.models[spec.teacher].activations is not None
        ):
            raise BadBundleError(f'{SUITE}: models.{name}: "{spec.teacher}" cannot be its teacher')
        if suite.probe.dataset is None and spec.activations is None:
            raise BadBundleError(f"{SUITE}: no dataset for models.{name} to read")
    check_portable(suite)
    for test in suite.tests:
        for transform in getattr(test, "transforms", ()):
            _check_transform(transform if isinstance(transform, Component) else Component(name=transform), test.id)
        for name in test.models:
            if name not in suite.models:
                raise BadBundleError(f'{SUITE}: test "{test.id}" names the model "{name}", which is not there')


def _check_transform(transform: Component, test: str) -> None:
    if transform.name not in TRANSFORMS:
        raise CannotCheckError(f'no transform "{transform.name}" here: install the plugin that brings it')
    try:
        TRANSFORMS.get(transform.name).declared(transform.parameters)
    except ParameterError as error:
        raise BadBundleError(f'{SUITE}: test "{test}": transform {transform.name}: {error}') from None


def _check_size(suite: Suite) -> None:
    """Raise `BadBundleError` unless the plan of this suite fits into memory, before it is made."""
    try:
        groups = {name: model_group(suite, name) for name in suite.models}
        too_many = too_many_models(suite)
    except SimbenchError as error:
        raise BadBundleError(f"{SUITE}: {error}") from None
    if too_many is not None:
        raise BadBundleError(f"{SUITE}: {too_many}")
    if any(len(group.layers) > MOST_LAYERS or len(group.models) > MOST_LAYERS for group in groups.values()):
        raise BadBundleError(f"{SUITE}: a model with more than {MOST_LAYERS} layers or seeds")
    left = MOST_QUESTIONS
    for test in suite.tests:
        assert isinstance(test, SanityTest)
        asked = test.questions([groups[name] for name in test.models], OF_LAYERS)
        left -= sum(len(question.comparisons) for question in islice(asked, left))
        if left <= 0:
            raise BadBundleError(f"{SUITE}: its tests ask more than {MOST_QUESTIONS} questions")
