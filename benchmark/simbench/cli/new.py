"""`simbench new`: write a file to start from, which passes `simbench check` unchanged."""

from __future__ import annotations

import keyword
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from simbench.errors import SimbenchError


class Scaffold(StrEnum):
    """Kinds of files that `simbench new` writes."""

    metric = "metric"
    suite = "suite"


METRIC = '''\
"""The similarity that {name} measures, and the paper that defines it."""

import simbench


@simbench.metric(
    "{name}",
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0, 1),
    invariant_to={{"orthogonal", "isotropic_scaling", "translation"}},
    formula="‖YᵀX‖² / (‖XᵀX‖ · ‖YᵀY‖), columns centred",
    reference="",
)
def {name}(x, y):
    """Return the similarity of two (rows, features) matrices of the same inputs: put your definition here.

    With `needs={{"model"}}`, it is given two Representations in place of the matrices. Where preparing each matrix once
    pays, `prepare=` is given one matrix (with `needs`, one Representation), and `compare_many=` the list of what that
    returned and pairs of indices into it. The metric's parameters come as keyword arguments.
    """
    x = x.double() - x.double().mean(dim=0)
    y = y.double() - y.double().mean(dim=0)
    return (y.T @ x).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm())
'''

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
) -> None:
    """Write a metric or a suite to start from."""
    from simbench.cli.output import say
    from simbench.files import write_text
    from simbench.registry import METRICS
    from simbench.suite.load import bundled_suites

    path = Path(f"{name}.py" if what is Scaffold.metric else f"{name}.yaml")
    if not name.isidentifier() or keyword.iskeyword(name):
        raise SimbenchError(f'"{name}" is not a Python name (letters, digits and underscores)')
    if name in (METRICS if what is Scaffold.metric else bundled_suites()):
        raise SimbenchError(f'there is a {what.value} "{name}" already; choose another name')
    if path.exists():
        raise SimbenchError(f"{path} exists already; it is left as it is")
    write_text(path, (METRIC if what is Scaffold.metric else SUITE).format(name=name))
    suite_argument = "quick --metric " if what is Scaffold.metric else ""
    say(f"wrote {path}", f"next: simbench check {path}", f"      simbench run {suite_argument}{path}")
