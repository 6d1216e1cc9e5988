"""Tables of the layers of a network: names, types, and the shapes and layouts of what they put out in one pass."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from simbench.data.items import Items
from simbench.errors import SimbenchError, is_failure
from simbench.models.capture import hooked
from simbench.models.layouts import layout_by_type
from simbench.models.model import Model
from simbench.models.places import elements_of, place_of
from simbench.tracebacks import described_at

# How deep in an output tensors are looked for.
DEEPEST = 2
# Most tensors of an output that are listed.
MOST_ELEMENTS = 16


@dataclass(frozen=True)
class LayerRow:
    """Layer of a network: a module, or an element of what it puts out.

    Attributes:
        name: as suites name it.
        type: the class of the module.
        shape: of its output for one input; None where it has none, or is not known.
        layout: which axis holds the features; None for vectors, and where it cannot be told.
        problem: why it cannot be read, if it cannot.
        read: whether the suite reads it.
    """

    name: str
    type: str
    shape: tuple[int, ...] | None = None
    layout: str | None = None
    problem: str | None = None
    read: bool = False


def layer_rows(
    model: Model, inputs: Tensor | Items | None, read: Collection[str] = ()
) -> tuple[list[LayerRow], str | None]:
    """Return a row for every module of a network, in its order, and what it raises on the inputs, if it does.

    Args:
        model: the network.
        inputs: a few inputs; None for names and types alone.
        read: the layers that a suite reads.
    """
    modules = [(name, module) for name, module in model.network.named_modules() if name]
    outputs, problem = _outputs(model, modules, inputs)
    rows = [row for name, module in modules for row in _rows(model, name, module, outputs[name], inputs, problem)]
    shown = {row.name for row in rows}
    rows += [LayerRow(layer, "", problem="no such layer") for layer in read if layer not in shown]
    return [replace(row, read=row.name in read) for row in rows], problem


@dataclass
class _Output:
    """Outputs of a module in a pass.

    Attributes:
        runs: how often it ran.
        tensors: shapes of the tensors of the last output, by how they are selected.
        kind: the class of the last output.
    """

    runs: int = 0
    tensors: dict[str, tuple[int, ...]] = field(default_factory=dict)
    kind: str = ""


def _outputs(
    model: Model, modules: Sequence[tuple[str, nn.Module]], inputs: Tensor | Items | None
) -> tuple[dict[str, _Output], str | None]:
    """Run the network once; return what its modules put out, and what it raises, if it does."""
    outputs = {name: _Output() for name, _ in modules}
    if inputs is None:
        return outputs, None

    def noting(noted: _Output) -> Callable[[nn.Module, object, object], None]:
        def note(_module: nn.Module, _arguments: object, output: object) -> None:
            noted.runs += 1
            noted.kind = type(output).__name__
            noted.tensors = dict(list(_tensors(output))[:MOST_ELEMENTS])

        return note

    with torch.no_grad(), ExitStack() as hooks:
        try:
            model.see(inputs)
            as_read = model.as_read(inputs)
            for name, module in modules:
                hooks.enter_context(hooked(module, noting(outputs[name])))
            model.network(as_read)
        except BaseException as error:  # somebody else's network may raise anything
            if not is_failure(error):
                raise
            return outputs, str(error) if isinstance(error, SimbenchError) else described_at(error)
    return outputs, None


def _tensors(output: object, selector: str = "", depth: int = 0) -> Iterator[tuple[str, tuple[int, ...]]]:
    if isinstance(output, Tensor):
        yield selector, tuple(output.shape)
    elif depth < DEEPEST:
        for name, element in elements_of(output):
            yield from _tensors(element, selector + name, depth + 1)


def _rows(
    model: Model, name: str, module: nn.Module, output: _Output, inputs: Tensor | Items | None, problem: str | None
) -> Iterator[LayerRow]:
    kind = type(module).__name__
    if inputs is None or (problem is not None and output.runs == 0):
        yield LayerRow(name, kind)
    elif output.runs != 1:
        yield LayerRow(name, kind, problem=f"runs {output.runs} times in a pass")
    elif set(output.tensors) == {""}:
        yield _row(model, name, kind, output.tensors[""], len(inputs), problem)
    else:
        yield LayerRow(name, kind, problem=f"puts out a {output.kind}, not a tensor")
        for selector, shape in output.tensors.items():
            yield _row(model, name + selector, kind, shape, len(inputs), problem)


def _row(model: Model, name: str, kind: str, shape: tuple[int, ...], inputs: int, problem: str | None) -> LayerRow:
    if len(shape) < 2 or shape[0] != inputs:
        return LayerRow(name, kind, shape, problem=f"puts out {shape} for {inputs} inputs")
    layout = None
    if problem is None and len(shape) > 2:
        try:
            module = place_of(model.network, name).module
            layout = layout_by_type(module, len(shape)) or model.layout(name)
        except SimbenchError:
            layout = None
    return LayerRow(name, kind, shape[1:], layout)


def trial_inputs(network: nn.Module, input_shape: tuple[int, ...], count: int) -> Tensor:
    """Return random inputs of a shape, or token ids where the network reads these alone."""
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(count, *input_shape, generator=generator)
    tokens = torch.zeros(count, *input_shape, dtype=torch.long)
    trained = network.training
    try:
        for inputs in (numbers, tokens):
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                try:
                    network.eval()(inputs)
                except Exception:  # somebody else's network may raise anything; what numbers raise is reported
                    continue
                return inputs
    finally:
        network.train(trained)
    return numbers
