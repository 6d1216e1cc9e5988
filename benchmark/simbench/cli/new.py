"""`simbench new`: write a file to start from, which passes `simbench check` unchanged."""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from simbench.errors import SimbenchError


class Scaffold(StrEnum):
    """Kinds of files that `simbench new` writes."""

    metric = "metric"
    suite = "suite"


HEAD = '''\
"""The similarity that {name} measures, and the paper that defines it."""

import simbench


'''
DECLARED = """\
    "{name}",
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0, 1),
    invariant_to={{"orthogonal", "isotropic_scaling", "translation"}},
    formula="‖YᵀX‖² / (‖XᵀX‖ · ‖YᵀY‖), columns centred",
    reference="",
"""
PLAIN = (
    HEAD
    + "@simbench.metric(\n"
    + DECLARED
    + '''\
)
def {name}(x, y):
    """Return the similarity of two (rows, features) matrices of the same inputs: put your definition here.

    Further arguments with a default are the metric's parameters: `{name}(power=3.0)`. `simbench new metric` has other
    forms: --batched, --model and --class.
    """
    x = x.double() - x.double().mean(dim=0)
    y = y.double() - y.double().mean(dim=0)
    return (y.T @ x).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm())
'''
)
BATCHED = (
    HEAD
    + '''\
def gram(x):
    """Prepare one (rows, features) matrix; done once for each, however many others it is compared with."""
    x = x.double() - x.double().mean(dim=0)
    k = x @ x.T
    return k / k.norm()


def compare_all(grams, pairs):
    """Return the similarity of each pair of indices into what was prepared."""
    return [float((grams[a] * grams[b]).sum()) for a, b in pairs]


@simbench.metric(
'''
    + DECLARED
    + '''\
    prepare=gram,
    compare_many=compare_all,
)
def {name}(x, y):
    """Return the similarity of two matrices: what the batched interface has to equal, which `check` measures."""
    return compare_all([gram(x), gram(y)], [(0, 1)])[0]
'''
)
OF_MODELS = (
    HEAD
    + '''\
@simbench.metric(
    "{name}",
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0, 1),
    needs={{"head"}},
    level="head",
    formula="share of the inputs with one label",
    reference="",
)
def {name}(a, b):
    """Return the share of the inputs to which two networks give the same label: put your definition here.

    With `needs`, the function is given two Representations: `a.matrix` holds the (rows, features) that the head reads,
    `a.log_probabilities` what it makes of them, `a.model` the network, `a.inputs` and `a.targets` the data. With
    `needs={{"model"}}`, `a.model.continue_from(a.layer, activations)` runs the rest of the network.
    """
    return (a.log_probabilities.argmax(dim=1) == b.log_probabilities.argmax(dim=1)).double().mean()
'''
)
OF_CLASS = (
    HEAD
    + "@simbench.metric(\n"
    + DECLARED
    + '''\
)
class {camel}:
    """Compare the centred Gram matrices: put your definition here.

    Arguments of `__init__` are the metric's parameters: `{name}(centred=false)`. Without `prepare` and `compare_many`,
    pairs are compared one by one.
    """

    def __init__(self, centred: bool = True):
        self.centred = centred

    def prepare(self, x):
        """Prepare one (rows, features) matrix."""
        x = x.double() - x.double().mean(dim=0) if self.centred else x.double()
        k = x @ x.T
        return k / k.norm()

    def compare_many(self, grams, pairs):
        """Return the similarity of each pair of indices into what was prepared."""
        return [float((grams[a] * grams[b]).sum()) for a, b in pairs]

    def __call__(self, x, y):
        """Return the similarity of two matrices."""
        return self.compare_many([self.prepare(x), self.prepare(y)], [(0, 1)])[0]
'''
)

SUITE = """\
suite: {name}
version: 1                        # raise it when results are no longer comparable
about: The properties that this suite tests, and the paper that proposes them.
probe: {{dataset: digits, split: test, inputs: 300, fit: {{split: train, inputs: 1000}}}}
models:
  mlp:
    architecture: {{name: mlp}}
    train: {{dataset: digits, epochs: 5, learning_rate: 0.01}}
    seeds: [0, 1, 2]
metrics: default                  # or a list: [cka, {{name: svcca, variance: 0.99}}, my_metric.py]
tests:
  - id: identity
    kind: identity                # within a network, every layer is most similar to itself
    models: [mlp]
    pass_if: ">= 0.95"
  - id: invariance
    kind: invariance              # a map that the rest of the network undoes changes no similarity
    models: [mlp]
    transforms: [permutation, isotropic_scaling, orthogonal]
"""


def command(
    what: Annotated[Scaffold, typer.Argument(metavar="metric|suite")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Becomes NAME.py or NAME.yaml in this folder.")],
    batched: Annotated[
        bool, typer.Option("--batched", help="A metric that prepares each matrix once, and compares many pairs.")
    ] = False,
    model: Annotated[
        bool, typer.Option("--model", help="A metric that is given the networks, with inputs and labels.")
    ] = False,
    class_: Annotated[bool, typer.Option("--class", help="A metric written as a class, with a parameter.")] = False,
) -> None:
    """Write a metric or a suite to start from."""
    from simbench.cli.output import say
    from simbench.files import write_text
    from simbench.registry import METRICS
    from simbench.suite.load import bundled_suites

    path = Path(f"{name}.py" if what is Scaffold.metric else f"{name}.yaml")
    text = _text(what, {"--batched": batched, "--model": model, "--class": class_})
    if not name.isidentifier() or keyword.iskeyword(name):
        raise SimbenchError(f'"{name}" is not a Python name (letters, digits and underscores)')
    if name in (METRICS if what is Scaffold.metric else bundled_suites()):
        raise SimbenchError(f'there is a {what.value} "{name}" already; choose another name')
    if path.exists():
        raise SimbenchError(f"{path} exists already; it is left as it is")
    camel = "".join(part.title() for part in name.split("_")) or name
    write_text(path, text.format(name=name, camel=camel))
    suite_argument = "quick --metric " if what is Scaffold.metric else ""
    say(f"wrote {path}", f"next: simbench check {path}", f"      simbench run {suite_argument}{path}")


def _text(what: Scaffold, forms: Mapping[str, bool]) -> str:
    """Return the text of a suite, or of a metric in the form that was asked for."""
    asked = [form for form, wanted in forms.items() if wanted]
    if what is Scaffold.suite:
        if asked:
            raise SimbenchError(f"{asked[0]} is a form of metrics; a suite has none")
        return SUITE
    if len(asked) > 1:
        raise SimbenchError(f"{' and '.join(asked)}: choose one form of the metric")
    return {"--batched": BATCHED, "--model": OF_MODELS, "--class": OF_CLASS}[asked[0]] if asked else PLAIN
