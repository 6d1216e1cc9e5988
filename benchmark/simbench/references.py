"""Names of models, representations and comparisons, as tests ask for them before any of them exists."""

from __future__ import annotations

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
    """One model: a seed of a group of the suite, or a synthetic one."""

    group: str
    seed: int
    generator: Named | None = None

    def __str__(self) -> str:
        """Return `group/seed`."""
        return f"{self.generator or self.group}/{self.seed}"


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
    """Models of one name as a test sees them: their seeds, their ordered layers, and the layer that the head reads."""

    name: str
    seeds: tuple[int, ...]
    layers: tuple[str, ...]
    embedding_layer: str | None

    @property
    def models(self) -> tuple[ModelRef, ...]:
        """References to the models of the group, one per seed."""
        return tuple(ModelRef(self.name, seed) for seed in self.seeds)
