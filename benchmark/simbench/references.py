"""Names of models, representations and comparisons, as tests ask for them before any of them exists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

# Columns of a test in which a directed metric is asked of what sends, and of what receives; the latter also ends the
# name of such a column (`orthogonal as receiver`) where there are others.
AS_SENDER, AS_RECEIVER = "as sender", "as receiver"


@dataclass(frozen=True)
class Named:
    """Transform, reparametrisation or generator by name, with its parameters in a fixed order."""

    name: str
    parameters: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(cls, name: str, **parameters: Any) -> Named:
        """Return the reference to the component `name` with these parameters.

        >>> Named.of("orthogonal", seed=1)
        Named(name='orthogonal', parameters=(('seed', 1),))
        """
        # A suite may give a list, which has no hash.
        hashable = {key: tuple(value) if isinstance(value, list) else value for key, value in parameters.items()}
        return cls(name, tuple(sorted(hashable.items())))

    def __str__(self) -> str:
        """Return the name and, in brackets, the parameters but for the seed."""
        inside = ", ".join(f"{key}={value}" for key, value in self.parameters if key != "seed")
        return f"{self.name}({inside})" if inside else self.name


@dataclass(frozen=True)
class ModelRef:
    """One model: a seed or a named member of a group of the suite, or a synthetic one."""

    group: str
    seed: int
    generator: Named | None = None
    member: str | None = None
    """Name within the group, where members have names; the seed is then 0."""

    def __str__(self) -> str:
        """Return `group/seed` or `group/member`."""
        return f"{self.generator or self.group}/{self.own_name}"

    @property
    def own_name(self) -> str:
        """Name within the group: that of the member, or the seed."""
        return str(self.seed) if self.member is None else self.member


@dataclass(frozen=True)
class RepresentationRef:
    """One layer of one model, possibly with the model's weights reparametrised or the activations transformed."""

    model: ModelRef
    layer: str
    transform: Named | None = None
    reparametrisation: Named | None = None

    def under(self, transform: Named) -> RepresentationRef:
        """Return the reference to this representation under a transform."""
        return replace(self, transform=transform)

    def reparametrised(self, reparametrisation: Named) -> RepresentationRef:
        """Return the reference to the same layer of the reparametrised model."""
        return replace(self, reparametrisation=reparametrisation)

    def __str__(self) -> str:
        """Return the model, the layer and what was done to them."""
        text = f"{self.model} {self.layer}"
        for step in (self.reparametrisation, self.transform):
            if step is not None:
                text += f" under {step}"
        return text


@dataclass(frozen=True)
class Comparison:
    """Ordered pair of representations; for directed metrics `a` is the sender and `b` the receiver."""

    a: RepresentationRef
    b: RepresentationRef

    def __str__(self) -> str:
        """Return `a → b`."""
        return f"{self.a} → {self.b}"


@dataclass(frozen=True)
class ModelGroup:
    """Models of one name as a test sees them: their ordered layers, and the layer that the head reads.

    Attributes:
        name: the name of the group.
        seeds: the seeds of its models, where these have no names.
        layers: the layers, in order.
        embedding_layer: the layer that the linear head reads, if there is one.
        members: the names of its models, where they have some.
        given: whether it is given as activations, with no network behind them.
    """

    name: str
    seeds: tuple[int, ...]
    layers: tuple[str, ...]
    embedding_layer: str | None
    members: tuple[str, ...] = ()
    given: bool = False

    @property
    def models(self) -> tuple[ModelRef, ...]:
        """References to the models of the group, one per member or seed."""
        return models_of(self.name, self.seeds, self.members)


def models_of(group: str, seeds: Sequence[int], members: Sequence[str] = ()) -> tuple[ModelRef, ...]:
    """Return references to the members of a group, or else to its seeds.

    >>> [str(model) for model in (*models_of("mlp", [0, 1]), *models_of("mine", [], ["a"]))]
    ['mlp/0', 'mlp/1', 'mine/a']
    """
    if members:
        return tuple(ModelRef(group, 0, member=member) for member in members)
    return tuple(ModelRef(group, seed) for seed in seeds)
