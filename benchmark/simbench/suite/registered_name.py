"""Fields of a suite that hold the name of a registered component, of a third party or built in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from simbench.errors import UnknownNameError
from simbench.registry import Registry


@dataclass(frozen=True)
class RegisteredName:
    """Annotation of a field whose values are names in a registry: `Annotated[str, RegisteredName(GENERATORS)]`.

    Attributes:
        registry: the registry.
        accepts: tells whether a component may be named here; by default all may.
    """

    registry: Registry[Any]
    accepts: Callable[[Any], bool] = lambda component: True

    @property
    def choices(self) -> tuple[str, ...]:
        """Names that may be given, in the order of the registry."""
        return tuple(name for name, component in self.registry if self.accepts(component))

    def check(self, name: str) -> str:
        """Return the name if it may be given; raise `ValueError` with the nearest one otherwise."""
        if name not in self.choices:
            raise ValueError(str(UnknownNameError(self.registry.kind, name, self.choices)))
        return name

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check names when a suite is loaded: what its plugins register is known by then."""
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """List the names in the JSON Schema."""
        return {**handler(schema), "enum": list(self.choices)}
