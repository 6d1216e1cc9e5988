"""`simbench layers`: the layers of networks, with what they put out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simbench.cli.options import JsonOption, StoreOption
from simbench.errors import ExitCode, SimbenchError

if TYPE_CHECKING:
    from pathlib import Path

    from simbench.models.layer_table import LayerRow
    from simbench.suite.schema import ModelSpec, Suite

# Inputs of the pass: two, so that no batch axis is taken for another.
INPUTS = 2
# Labels of a network that is told their number.
LABELS = 10


@dataclass(frozen=True)
class LayerTable:
    """Layers of one network, and what it raises, if it does."""

    title: str
    groups: tuple[str, ...]
    input_shape: tuple[int, ...] | None
    rows: list[LayerRow]
    problem: str | None = None


def command(
    target: Annotated[
        str,
        typer.Argument(
            metavar="SUITE|NETWORK",
            help="A suite, or a network: my_net.py:MyNet, lab.nets:MyNet, or the name of an architecture.",
        ),
    ],
    input_shape: Annotated[
        str | None,
        typer.Option("--input-shape", metavar="SIZES", help="Shape of one input of a network, such as 3,32,32."),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="A parameter of a network; repeatable."),
    ] = None,
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """List the layers of a network, or of those of a suite: names, types, output shapes and layouts."""
    from simbench.cli.output import print_json, say, stdout_reserved

    with stdout_reserved():
        tables = _tables(target, input_shape, parameter or [], store)
    if json:
        print_json([_as_json(table) for table in tables])
    else:
        _show(tables)
    problems = [f"{table.title}: {table.problem}" for table in tables if table.problem]
    say(*(f"error: {problem}" for problem in problems), error=True)
    if problems:
        raise typer.Exit(int(ExitCode.USAGE))


def _tables(target: str, input_shape: str | None, parameters: list[str], store: Path | None) -> list[LayerTable]:
    from simbench.errors import UnknownNameError
    from simbench.registry import ARCHITECTURES
    from simbench.suite.load import bundled_suites, load_suite

    if target.endswith((".yaml", ".yml")) or target in bundled_suites():
        if input_shape is not None or parameters:
            raise SimbenchError("a suite says the parameters of its networks, and its data have a shape")
        return _tables_of_suite(load_suite(target), store)
    if not ARCHITECTURES.locates(target) and target not in ARCHITECTURES:
        raise UnknownNameError("suite or network", target, [*bundled_suites(), *ARCHITECTURES.names()])
    return [_table_of_network(target, _sizes(input_shape), _values(parameters))]


def _sizes(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        sizes = tuple(int(size) for size in text.replace("x", ",").split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise SimbenchError(f'--input-shape: "{text}" is no shape; give sizes, such as 3,32,32')
    return sizes


def _values(texts: list[str]) -> dict[str, Any]:
    import yaml

    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise SimbenchError(f'--parameter: "{text}" is not NAME=VALUE')
        try:
            values[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            values[name] = value
    return values


def _table_of_network(target: str, input_shape: tuple[int, ...] | None, parameters: dict[str, Any]) -> LayerTable:
    import torch

    from simbench.models.layer_table import layer_rows, trial_inputs
    from simbench.models.model import Model
    from simbench.parameters import ParameterError
    from simbench.registry import ARCHITECTURES

    architecture = ARCHITECTURES.get(target)
    try:
        with torch.random.fork_rng(devices=[]):
            network = architecture.build(input_shape or (), LABELS, **parameters)
    except ParameterError as error:
        raise SimbenchError(f"{architecture.name}: {error} (--parameter NAME=VALUE gives it)") from None
    inputs = None if input_shape is None else trial_inputs(network, input_shape, INPUTS)
    model = Model.of(network, architecture, parameters, input_shape or (), ())
    rows, problem = layer_rows(model, inputs)
    return LayerTable(architecture.name, (), input_shape, rows, problem)


def _tables_of_suite(suite: Suite, store: Path | None) -> list[LayerTable]:
    tables: dict[str, LayerTable] = {}
    for name, spec in suite.models.items():
        # groups that differ in their training alone have the same layers
        same = str(spec.model_dump(include={"architecture", "layers", "layout"}))
        same += name if spec.activations is not None or spec.load is not None else ""
        if same in tables:
            tables[same] = replace(tables[same], groups=(*tables[same].groups, name))
        else:
            tables[same] = _table_of_group(suite, name, spec, store)
    return list(tables.values())


def _table_of_group(suite: Suite, name: str, spec: ModelSpec, store: Path | None) -> LayerTable:
    import torch

    from simbench.data.dataset import load_dataset
    from simbench.models.layer_table import LayerRow, layer_rows
    from simbench.models.loading import load_pretrained
    from simbench.models.model import Model
    from simbench.registry import ARCHITECTURES
    from simbench.representations.layouts import declared_as
    from simbench.results.store import Store
    from simbench.suite.given_files import find_array

    first = spec.models(name)[0]
    if spec.activations is not None:
        shapes = {layer: find_array(place).outline.shape for layer, place in spec.arrays(first).items()}
        rows = [LayerRow(layer, "array", shape[1:], read=True) for layer, shape in shapes.items()]
        return LayerTable("activations", (name,), None, rows)
    architecture, data = ARCHITECTURES.get(spec.network.name), suite.probe.data
    dataset = load_dataset(data.name, data.parameters, Store(store).data)
    arguments = architecture, architecture.checked(spec.network.parameters), dataset.input_shape, dataset.classes
    if spec.load is not None:
        model = load_pretrained(spec.weights(first), *arguments, spec.layers, options=spec.load_options)
    else:
        with torch.random.fork_rng(devices=[]):
            network = architecture.build(dataset.input_shape, dataset.classes, **spec.network.parameters)
        model = Model.of(network, *arguments[:3], spec.layers)
    inputs = dataset.split(suite.probe.split).inputs[:INPUTS]
    layers = spec.layers if spec.layers is not None else architecture.layers(**spec.network.parameters) or ()
    rows, problem = layer_rows(model, torch.as_tensor(inputs) if hasattr(inputs, "dtype") else inputs, layers)
    rows = [
        replace(row, layout=declared_as(spec.declared_layout(row.name), 1 + len(row.shape or ())) or row.layout)
        for row in rows
    ]
    return LayerTable(architecture.name, (name,), model.input_shape, rows, problem)


def _as_json(table: LayerTable) -> dict[str, Any]:
    return {
        "network": table.title,
        "groups": list(table.groups),
        "input_shape": None if table.input_shape is None else list(table.input_shape),
        "problem": table.problem,
        "layers": [{**vars(row), "shape": None if row.shape is None else list(row.shape)} for row in table.rows],
    }


def _show(tables: list[LayerTable]) -> None:
    from rich.table import Table

    from simbench.cli.output import results_console
    from simbench.publish.visible_console import shown

    console = results_console()
    for table in tables:
        groups = f"{', '.join(table.groups)}: " if table.groups else ""
        shape = f" on inputs {_sizes_text(table.input_shape)}" if table.input_shape else ""
        console.print(shown(f"{groups}{table.title}{shape}", style="bold"))
        grid = Table(box=None, pad_edge=False)
        for heading in ("layer", "type", "output", "layout", *(("read",) if table.groups else ())):
            grid.add_column(heading)
        for row in table.rows:
            output = row.problem or (_sizes_text(row.shape) if row.shape is not None else "–")
            cells = (
                row.name,
                row.type,
                output,
                row.layout or "–",
                *(("✓" if row.read else "",) if table.groups else ()),
            )
            grid.add_row(*(shown(cell) for cell in cells))
        console.print(grid)
        if table.input_shape is None and not table.groups:
            console.print(shown("--input-shape 3,32,32 (of one input) adds shapes and layouts"))


def _sizes_text(shape: tuple[int, ...]) -> str:
    """Return the shape for any number of inputs.

    >>> _sizes_text((64, 8, 8))
    '(n, 64, 8, 8)'
    """
    return f"({', '.join(map(str, ('n', *shape)))})"
