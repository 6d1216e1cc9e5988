"""Score records: stored values of one metric on one comparison, never edited."""

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

ScoreStatus = Literal["ok", "skip", "error", "timeout"]


class ScoreRecord(BaseModel):
    """Score of one metric on one comparison, with the keys it was computed from and its provenance."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    key: str
    metric: str
    parameters: Mapping[str, Any]
    a: str
    b: str
    a_key: str
    b_key: str
    status: ScoreStatus
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
    """Seconds of the metric alone, without loading models, activations or libraries: the mean over its block."""
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
        """Whether the record need not be computed again: an error, a timeout or a missing value must be."""
        return self.status in ("ok", "skip")


class Block(BaseModel):
    """Scores that one task computed together, stored as one immutable file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    created: float
    records: tuple[ScoreRecord, ...]
