"""A score record: a fact that survives a round trip through JSON, and is never half of one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from simbench.results.record import Block, ScoreRecord

MakeRecord = Callable[..., ScoreRecord]


def test_a_record_comes_back_from_json_as_it_was(record: MakeRecord) -> None:
    written = record(
        value=0.1 + 0.2,
        parameters={"variance": 0.99, "names": ["a"], "none": None},
        standard_error=1e-17,
        tiebreak=-1.5e300,
        warnings=("outside the declared range [0, 1]",),
    )
    assert ScoreRecord.model_validate_json(written.model_dump_json()) == written


def test_auxiliary_are_written_only_where_there_are_some(record: MakeRecord) -> None:
    with_some = record(auxiliary={"p_value": 0.01})
    assert ScoreRecord.model_validate_json(with_some.model_dump_json()) == with_some
    assert "auxiliary" not in record().model_dump_json()
    assert "auxiliary" not in Block(created=0.0, records=(record(),)).model_dump_json()
    with pytest.raises(ValidationError, match="auxiliary"):
        record(auxiliary={"p_value": float("nan")})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("field", ["value", "standard_error", "tiebreak"])
def test_what_is_no_number_is_no_score(field: str, value: float, record: MakeRecord) -> None:
    with pytest.raises(ValidationError, match=field):
        record(**{field: value})


@pytest.mark.parametrize(("status", "value"), [("ok", None), ("skip", 0.5), ("error", 0.5)])
def test_a_value_is_there_exactly_where_all_is_well(status: str, value: float | None, record: MakeRecord) -> None:
    with pytest.raises(ValidationError, match=f"a record with status {status}"):
        record(status=status, value=value)


@pytest.mark.parametrize(("status", "settled"), [("ok", True), ("skip", True), ("error", False)])
def test_failures_are_not_settled(status: str, settled: bool, record: MakeRecord) -> None:
    assert record(status=status, value=0.5 if status == "ok" else None).settled is settled


def test_a_record_is_never_edited(record: MakeRecord) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        record().value = 1.0  # type: ignore[misc]


def test_an_unknown_field_is_refused(record: MakeRecord) -> None:
    with pytest.raises(ValidationError, match="colour"):
        record(colour="red")


def test_a_block_of_another_schema_version_is_refused(record: MakeRecord) -> None:
    with pytest.raises(ValidationError, match="schema_version"):
        Block.model_validate({"schema_version": 2, "created": 0.0, "records": []})
