"""The wrappers over any metric, declared like a parameter: `{name: cka, calibrate: permutation}`.

* `calibrate: permutation`, for `{by: permutation, permutations: 100, level: 0.95, seed: 0}`: a score less chance;
* `bootstrap: inputs`, for `{over: inputs, draws: 100, level: 0.95, seed: 0}`: the score, its error and an interval;
* `minibatch: 256`, for `{rows: 256}`: the score, from a few rows at a time.

One wrapper at a time. A parameter of the metric's own that has the name of a wrapper is that parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from simbench.errors import SimbenchError
from simbench.metrics.metric import Metric
from simbench.metrics.wrappers.base import WrappedMetric
from simbench.metrics.wrappers.bootstrap import bootstrapped
from simbench.metrics.wrappers.calibration import calibrated
from simbench.metrics.wrappers.minibatch import in_minibatches
from simbench.parameters import ParameterError, checked_parameters, parameters_model


@dataclass(frozen=True)
class Declaration:
    """How a wrapper is declared: the function that makes it, whose keyword-only arguments are its options."""

    make: Callable[..., WrappedMetric]
    short: str
    """The option that a plain value in place of a mapping means."""

    def options(self, name: str, given: Any) -> dict[str, Any]:
        """All options, defaults filled in; `ParameterError` under the wrapper's name, with all that is wrong."""
        if isinstance(given, Mapping) and not all(isinstance(key, str) for key in given):
            raise ParameterError({name: f'parameter "{name}": the names of options are strings'})
        try:
            return checked_parameters(self.make, given if isinstance(given, Mapping) else {self.short: given})
        except ParameterError as error:
            named = {option: f"{name}.{option}" for option in error.problems}
            if not isinstance(given, Mapping):
                named[self.short] = name
            told = (text.replace(f'"{key}"', f'"{named[key]}"', 1) for key, text in error.problems.items())
            raise ParameterError({name: "; ".join(told)}) from None

    def setting(self, name: str, options: Mapping[str, Any]) -> str:
        """As it may be declared on the command line, without defaults: `calibrate={permutations: 200}`."""
        known = parameters_model(self.make).model_fields
        changed = {key: value for key, value in options.items() if value != known[key].default}
        if changed.keys() <= {self.short}:
            return f"{name}={options[self.short]}"
        return f"{name}={{{', '.join(f'{key}: {value}' for key, value in changed.items())}}}"


WRAPPERS: Mapping[str, Declaration] = {
    "calibrate": Declaration(calibrated, "by"),
    "bootstrap": Declaration(bootstrapped, "over"),
    "minibatch": Declaration(in_minibatches, "rows"),
}


def with_parameters(metric: Metric, given: Mapping[str, Any]) -> Metric:
    """`metric` with some parameters set, wrapped if one of them says so; `ParameterError` names every bad one."""
    own = parameters_model(metric.function).model_fields
    wrapping = {name: value for name, value in given.items() if name in WRAPPERS and name not in own}
    plain = {name: value for name, value in given.items() if name not in wrapping}
    problems: dict[str, str] = {}
    made = metric
    try:
        made = replace(metric, parameters=checked_parameters(metric.function, plain, beside=WRAPPERS))
    except ParameterError as error:
        problems.update(error.problems)
    if wrapping:
        first, *others = wrapping
        problems.update({name: f'"{name}" cannot be combined with "{first}"' for name in others})
        try:
            made = _wrapped(made, first, wrapping[first])
        except ParameterError as error:
            problems.update(error.problems)
    if problems:
        raise ParameterError(problems)
    return made


def _wrapped(metric: Metric, name: str, value: Any) -> Metric:
    declaration = WRAPPERS[name]
    options = declaration.options(name, value)
    try:
        return declaration.make(metric, declaration.setting(name, options), **options)
    except SimbenchError as refusal:
        raise ParameterError({name: f'parameter "{name}": {refusal}'}) from None
