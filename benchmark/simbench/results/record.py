"""A score record: a stored fact about one metric on one comparison, never edited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

RecordStatus = Literal["ok", "skip", "error"]


class ScoreRecord(BaseModel):
    """One score, what it was computed from, and in which run."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    key: str
    metric: str
    parameters: Mapping[str, Any]
    a: str
    b: str
    a_key: str
    b_key: str
    status: RecordStatus
    value: float | None
    reason: str | None = None
    standard_error: float | None = None
    tiebreak: float | None = None
    warnings: tuple[str, ...] = ()
    auxiliary: Mapping[str, float] = Field(default={}, validation_alias=AliasChoices("auxiliary", "companions"))
    """Other numbers that came with the value, such as a p-value; written only where there are some.

    Former stores call them `companions`.
    """
    seconds: float
    """The metric's, without loading models, activations and libraries: its block's time over the block's scores."""
    suite: str
    provenance: str

    @model_validator(mode="after")
    def _value_where_ok(self) -> ScoreRecord:
        if (self.status == "ok") != (self.value is not None):
            raise ValueError(f"a record with status {self.status} and value {self.value}")
        return self

    @model_serializer(mode="wrap")
    def _without_empty_auxiliary(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        if not self.auxiliary:
            del written["auxiliary"]
        return written

    @property
    def settled(self) -> bool:
        """Whether this record need not be computed again: failures never satisfy a look-up."""
        return self.status != "error"


class Block(BaseModel):
    """The scores that one task computed together; one immutable file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    created: float
    records: tuple[ScoreRecord, ...]
