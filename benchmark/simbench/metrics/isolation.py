"""Isolation of metrics: code from elsewhere is given private copies, and what it changes in them is its own error.

Built-in metrics are given the representations themselves: tests hold that none of them changes any. Any other metric is
given a copy of the matrix, or of the representation with its inputs, labels and network, and after every call the copy
is held against what it was. So a metric that works in place spoils neither another metric nor its own next score.
"""

from __future__ import annotations

import copy
import functools
import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import CellType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import simbench
from simbench.errors import is_failure
from simbench.lazy import lazy_import
from simbench.metrics.classes import OfClass
from simbench.metrics.kernels.memoisation import not_memoising
from simbench.metrics.kernels.memory import half_of_limit
from simbench.metrics.metric import Metric, Pairs, Preparation
from simbench.metrics.snapshot import Snapshot, digest
from simbench.process_state import preserved_state

if TYPE_CHECKING:
    import torch

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")

PACKAGE = f"{Path(simbench.__file__).parent}{os.sep}"  # else `simbench_lab`, installed beside it, would be a part of it
ADVICE = "compute on a copy, as x = x - x.mean(0) does"
# Values of a representation that are made from its activations at first use.
DERIVED = ("matrix", "logits", "log_probabilities")
# Parts of a representation that a metric might write to.
PARTS = ("activations", "inputs", "targets", "mask", "model")


class ChangedInputError(Exception):
    """A metric wrote to what it was given."""


def is_builtin(function: Any) -> bool:
    """Tell whether a function, or the class of a callable object, and all that it calls are defined in this package.

    What it calls are the functions that it holds: as arguments of a `partial`, or as a decorator holds them. Those of
    a wrapper do not count: it isolates the metric inside by itself.
    """
    return _is_builtin(function, set())


def _is_builtin(function: Any, seen: set[int]) -> bool:
    if id(function) in seen:
        return True
    seen.add(id(function))
    if isinstance(function, Preparation):
        return _is_builtin(function.function, seen)
    if isinstance(function, OfClass):
        return _is_builtin(function.defined, seen)
    if isinstance(function, functools.partial):
        inside = [*function.args, *function.keywords.values()]
        return _is_builtin(function.func, seen) and _are_builtin(inside, seen)
    if isinstance(function, MethodType):
        return _is_builtin(function.__func__, seen) and _is_builtin(type(function.__self__), seen)
    if isinstance(function, FunctionType):
        # Not __module__, which `functools.wraps` copies.
        return function.__code__.co_filename.startswith(PACKAGE) and _are_builtin(_held_by(function), seen)
    defined = function if isinstance(function, type) else type(function)
    return str(getattr(sys.modules.get(defined.__module__), "__file__", "")).startswith(PACKAGE)


def _held_by(function: FunctionType) -> list[Any]:
    """Return what a function refers to beside its module: variables around it, and defaults."""
    cells = [cell.cell_contents for cell in function.__closure__ or () if cell != CellType()]
    return [*cells, *(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]


def _are_builtin(values: Iterable[Any], seen: set[int]) -> bool:
    """Tell whether of the things that a function holds all functions are built in; values may be anybody's."""
    kinds = (FunctionType, MethodType, functools.partial, Preparation)
    return all(_is_builtin(each, seen) for each in values if isinstance(each, kinds))


def is_trusted(metric: Metric) -> bool:
    """Tell whether all functions of a metric are built in. A wrapper isolates the metric inside by itself."""
    functions = (metric.function, metric.prepare, metric.compare_many)
    return all(is_builtin(function) for function in functions if function is not None)


class Inputs:
    """Sides of a metric's comparisons, by index: for a built-in metric, the representations themselves."""

    def __init__(self, metric: Metric, representations: Sequence[Representation]) -> None:
        """Take the representations that the metric scores."""
        self.metric = metric
        self.representations = representations

    def prepared(self, index: int) -> Any:
        """Return what the metric prepares of one side."""
        return self.metric.prepared(self.representations[index])

    def side(self, index: int) -> Any:
        """Return what the metric compares where it prepares nothing: the matrix, or the representation."""
        representation = self.representations[index]
        return representation if self.metric.takes_representations else representation.matrix

    def compare(self, a: int, b: int) -> Any:
        """Return the plain function's value."""
        return self.metric.function(self.side(a), self.side(b), **self.metric.parameters)

    def compare_many(self, prepared: Sequence[Any], pairs: Pairs) -> Sequence[Any]:
        """Return the values of a batch of pairs of indices into what was prepared."""
        assert self.metric.compare_many is not None
        values: Sequence[Any] = self.metric.compare_many(prepared, pairs, **self.metric.parameters_of_comparison)
        return values


class PrivateInputs(Inputs):
    """Sides of a metric from elsewhere: private copies, held against what they were after every call."""

    def __init__(self, metric: Metric, representations: Sequence[Representation]) -> None:
        """Copy nothing yet."""
        super().__init__(metric, representations)
        self._declared: dict[int, Representation] = {}
        self._copies = Copies()
        self._prepared: dict[int, Snapshot] = {}

    def prepared(self, index: int) -> Any:
        """Return what the metric prepares of a copy of one side."""
        whole = self.metric.prepares_representations
        with self._called([index], whole=whole):
            return self.metric.prepare_side(self._copy(index, whole=whole))

    def side(self, index: int) -> Any:
        """Return a copy of the matrix or of the representation."""
        return self._copy(index, whole=self.metric.takes_representations)

    def compare(self, a: int, b: int) -> Any:
        """Return the plain function's value on copies."""
        parameters = copy.deepcopy(dict(self.metric.parameters))
        with self._called([a, b], whole=self.metric.takes_representations):
            return self.metric.function(self.side(a), self.side(b), **parameters)

    def compare_many(self, prepared: Sequence[Any], pairs: Pairs) -> Sequence[Any]:
        """Return the values of a batch, unless what was prepared for it is changed, now or by a former one."""
        assert self.metric.compare_many is not None
        used = sorted({side for pair in pairs for side in pair})
        for side in used:
            self._prepared.setdefault(side, Snapshot(prepared[side]))
        self._require_unchanged(used)
        parameters = copy.deepcopy(self.metric.parameters_of_comparison)
        try:
            with preserved_state(), not_memoising():
                values: Sequence[Any] = self.metric.compare_many(list(prepared), list(pairs), **parameters)
        except BaseException as error:
            if is_failure(error):
                self._require_unchanged(used)
            raise
        self._require_unchanged(used)
        return values

    def _require_unchanged(self, used: Sequence[int]) -> None:
        for side in used:
            if (place := self._prepared[side].changed()) is not None:
                raise ChangedInputError(
                    f"{self.metric.name} changed in place what `compare_many` is given ({place}): {ADVICE}"
                )

    def _copy(self, index: int, *, whole: bool) -> Any:
        given = self._given(index, whole=whole)
        return self._copies.representation(given) if whole else self._copies.tensor(given)

    def _given(self, index: int, *, whole: bool) -> Any:
        """Return the matrix or, as far as the metric declares to need it, the representation."""
        if not whole:
            return self.representations[index].matrix
        if index not in self._declared:
            self._declared[index] = as_declared(self.metric, self.representations[index])
        return self._declared[index]

    @contextmanager
    def _called(self, indices: Sequence[int], *, whole: bool) -> Iterator[None]:
        """Call the metric in the block: restore the process, drop copies that were changed, and say so."""
        given = [self._given(index, whole=whole) for index in dict.fromkeys(indices)]
        try:
            with preserved_state(), not_memoising():
                yield
        except BaseException as error:
            if is_failure(error):
                self._settle(given)
            raise
        self._settle(given)

    def _settle(self, given: Sequence[Any]) -> None:
        changed = self._copies.check(given)
        self._copies.shrink(keep=given)
        if changed is not None:
            raise ChangedInputError(f"{self.metric.name} changed {changed} that it was given in place: {ADVICE}")


def as_declared(metric: Metric, representation: Representation) -> Representation:
    """Return what a metric declares to need of a representation: without `model` or `head`, no network, inputs or name.

    By the name of a layer alone, corresponding layers would be told.
    """
    if {"model", "head"} & set(metric.needs):
        return representation
    fit = None if representation.fit is None else as_declared(metric, representation.fit)
    return replace(representation, layer="", model=None, inputs=None, at_head=False, fit=fit)


def inputs_of(metric: Metric, representations: Sequence[Representation]) -> Inputs:
    """Return the sides of a metric's comparisons, copied where the metric is not built in."""
    return (Inputs if is_trusted(metric) else PrivateInputs)(metric, representations)


def private_copy(representation: Representation) -> Representation:
    """Return a copy of a representation, of its network and of all tensors in it."""
    return Copies().representation(representation)


@dataclass
class _Copy:
    """A private copy of a tensor or a network, with the original, which stays alive as long."""

    original: Any
    private: Any
    snapshot: Snapshot

    @classmethod
    def of(cls, original: Any) -> _Copy:
        private = original.detach().clone() if isinstance(original, torch.Tensor) else copy.deepcopy(original)
        return cls(original, private, Snapshot(private))


class Copies:
    """Private copies by their originals, so that two layers of one network share one copy of it."""

    def __init__(self) -> None:
        """Start without copies."""
        self._parts: OrderedDict[int, _Copy] = OrderedDict()
        self._representations: dict[int, tuple[Representation, Representation]] = {}

    def tensor(self, original: Any) -> Any:
        """Return the copy of a tensor or of a network."""
        if id(original) not in self._parts:
            self._parts[id(original)] = _Copy.of(original)
        self._parts.move_to_end(id(original))
        return self._parts[id(original)].private

    def representation(self, original: Representation) -> Representation:
        """Return the copy of a representation; what it derives from its activations is copied from the original's."""
        if id(original) not in self._representations:
            parts = {name: self.tensor(part) for name, part in _parts(original)}
            fit = None if original.fit is None else self.representation(original.fit)
            private = replace(original, fit=fit, **parts)
            private.derive_from(original)
            self._representations[id(original)] = (original, private)
        return self._representations[id(original)][1]

    def check(self, originals: Sequence[Any]) -> str | None:
        """Name something that is not what it was in the copies of these, or return None; drop what was touched."""
        places: list[str] = []
        touched: list[Any] = []
        for owner, name, original in _all_parts(originals):
            if (part := self._parts.get(id(original))) is None:
                continue
            place = part.snapshot.changed()
            if place is None and self._holds_another(owner, name, part):
                place = ""
            if place is not None:
                places.append(f"the {name}" + f" ({place})" * bool(place))
            if place is not None or part.snapshot.touched():
                touched.append(original)
        for representation in _with_fits(originals):
            changed = self._changed_derived(representation)
            places += changed
            touched += [representation.activations] if changed else []
        for original in touched:
            self._drop(original)
        return places[0] if places else None

    def _holds_another(self, owner: Representation | None, name: str, part: _Copy) -> bool:
        """Tell whether the copy of a representation has been given another part."""
        entry = self._representations.get(id(owner))
        return entry is not None and getattr(entry[1], name) is not part.private

    def _changed_derived(self, original: Representation) -> list[str]:
        entry = self._representations.get(id(original))
        derived = {} if entry is None else {name: vars(entry[1])[name] for name in DERIVED if name in vars(entry[1])}
        return [
            f"the {name.replace('_', '-')}"
            for name, value in derived.items()
            if digest(value) != digest(getattr(original, name))
        ]

    def shrink(self, keep: Sequence[Any]) -> None:
        """Drop the copies that were used longest ago, beyond half of the memory limit, but none of those to keep."""
        kept = {id(part) for _, _, part in _all_parts(keep)}
        size = sum(part.snapshot.bytes for part in self._parts.values())
        for key in [key for key in self._parts if key not in kept]:
            if size <= half_of_limit():
                return
            size -= self._parts[key].snapshot.bytes
            self._drop(self._parts[key].original)

    def _drop(self, original: Any) -> None:
        """Drop a copy, and the copies of representations that hold it."""
        self._parts.pop(id(original), None)
        holding = [
            key
            for key, (representation, _) in self._representations.items()
            if any(part is original for _, _, part in _all_parts([representation]))
        ]
        for key in holding:
            del self._representations[key]


def _parts(representation: Representation) -> list[tuple[str, Any]]:
    parts = [(name, getattr(representation, name)) for name in PARTS]
    return [(name, part) for name, part in parts if part is not None]


def _all_parts(originals: Sequence[Any]) -> list[tuple[Representation | None, str, Any]]:
    """Return (representation, name, part) of matrices, and of representations and what they are fitted on."""
    matrices = [(None, "matrix", original) for original in originals if isinstance(original, torch.Tensor)]
    return matrices + [(each, name, part) for each in _with_fits(originals) for name, part in _parts(each)]


def _with_fits(originals: Sequence[Any]) -> list[Representation]:
    given = [original for original in originals if not isinstance(original, torch.Tensor)]
    return given + [each.fit for each in given if each.fit is not None]


def guarded(metric: Metric, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of a metric as it is, or, unless it is built in, called on deep copies of its arguments."""
    if is_builtin(function) and is_builtin(metric.function):
        return function

    def on_copies(*arguments: Any, **named: Any) -> Any:
        given = copy.deepcopy((arguments, named))
        snapshot = Snapshot(given)
        with preserved_state(), not_memoising():
            value = function(*given[0], **given[1])
        if (place := snapshot.changed()) is not None:
            raise ChangedInputError(f"{metric.name} changed in place what it was given ({place}): {ADVICE}")
        return value

    return on_copies
