"""Names for what a test asks for: models, representations and comparisons, before any of them exists."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Named:
    """A transform, a reparametrisation or a generator by name, with its parameters in a fixed order."""

    name: str
    parameters: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(cls, name: str, **parameters: Any) -> Named:
        """
        >>> Named.of("orthogonal", seed=1)
        Named(name='orthogonal', parameters=(('seed', 1),))
        """
        # a suite may give a list, which has no hash
        hashable = {key: tuple(value) if isinstance(value, list) else value for key, value in parameters.items()}
        return cls(name, tuple(sorted(hashable.items())))

    def __str__(self) -> str:
        inside = ", ".join(f"{key}={value}" for key, value in self.parameters if key != "seed")
        return f"{self.name}({inside})" if inside else self.name


@dataclass(frozen=True)
class ModelRef:
    """One model: a seed of a group of the suite, or a synthetic one."""

    group: str
    seed: int
    generator: Named | None = None

    def __str__(self) -> str:
        return f"{self.generator or self.group}/{self.seed}"


@dataclass(frozen=True)
class RepresentationRef:
    """One layer of one model, possibly with the model's weights reparametrised or the activations transformed."""

    model: ModelRef
    layer: str
    transform: Named | None = None
    reparametrisation: Named | None = None

    def under(self, transform: Named) -> RepresentationRef:
        """This representation, transformed."""
        return replace(self, transform=transform)

    def reparametrised(self, reparametrisation: Named) -> RepresentationRef:
        """The same layer of the reparametrised model."""
        return replace(self, reparametrisation=reparametrisation)

    def __str__(self) -> str:
        steps = "".join(f" under {step}" for step in (self.reparametrisation, self.transform) if step)
        return f"{self.model} {self.layer}{steps}"


@dataclass(frozen=True)
class Comparison:
    """An ordered pair of representations; for directed metrics `a` is the sender and `b` the receiver."""

    a: RepresentationRef
    b: RepresentationRef

    def __str__(self) -> str:
        return f"{self.a} → {self.b}"


@dataclass(frozen=True)
class ModelGroup:
    """What a test knows of the models of one name: their seeds, their ordered layers, and the layer the head reads."""

    name: str
    seeds: tuple[int, ...]
    layers: tuple[str, ...]
    embedding_layer: str | None

    @property
    def models(self) -> tuple[ModelRef, ...]:
        """One reference per seed."""
        return tuple(ModelRef(self.name, seed) for seed in self.seeds)
