"""The JSON document is the published record of a leaderboard."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from simbench.board.document import Document, from_document, json_safe, to_document
from simbench.errors import SimbenchError
from simbench.verdicts.verdict import Trial


def test_the_document_has_the_shape_that_others_build_on(make):
    document = to_document(make.board())
    assert (document["schema_version"], document["suite"]) == (3, "sanity")
    first = document["rows"][0]
    assert {"metric", "tests", "standing", "counts", "seconds"} <= first.keys()
    assert first["tests"]["identity"].keys() == {
        "status", "outcome", "owed", "grade", "interval", "passed", "comparisons", "reason", "auxiliary", "violations",
        "tallies", "statistic", "without",
    }  # fmt: skip


def test_a_column_of_a_test_has_an_entry_beside_its_test(make):
    tests = to_document(make.board())["rows"][0]["tests"]
    assert {"invariance", "invariance/permutation", "invariance/orthogonal"} <= tests.keys()


def test_every_row_has_an_entry_for_every_column(make):
    document = to_document(make.board())
    columns = [column["id"] for column in document["columns"]]
    assert all(list(row["tests"]) == columns for row in document["rows"])


def test_a_column_shares_the_fate_of_a_test_that_was_not_graded(make):
    rows = {row["metric"]: row["tests"] for row in to_document(make.board())["rows"]}
    column = rows["my_metric"]["invariance/orthogonal"]
    assert (column["status"], column["reason"]) == ("error", "ValueError: boom")


def test_a_document_validates_against_its_model(make):
    Document.model_validate(to_document(make.board()))


def test_a_document_survives_json_and_back(make):
    document = json.loads(json.dumps(to_document(make.board())))
    assert to_document(from_document(document)) == document


def test_what_a_metric_declares_survives_json_and_back(make):
    row = make.full_row(
        "a", 1.0, 1.0, 1.0, 1.0, needs=("head", "model"), invariant_to=("orthogonal",), interface="matrix"
    )
    again = from_document(json.loads(json.dumps(to_document(make.board([row])))))
    assert again.rows[0].row.metric == row.metric


def test_what_has_no_type_in_json_is_its_text():
    assert json_safe({"place": Path("suites/quick.yaml"), "on": True}) == {"place": "suites/quick.yaml", "on": True}


def test_no_number_that_is_not_json_reaches_a_document(make):
    odd = make.graded(1.0, auxiliary={"nothing": math.nan}, violations=(Trial("here", (), False, -math.inf),))
    row = make.full_row("a", 1.0, 1.0, 1.0, 1.0)
    board = make.board([replace(row, verdicts={**row.verdicts, "identity": odd})], provenance={"load": math.inf})
    document = json.loads(json.dumps(to_document(board), allow_nan=False))
    assert document["rows"][0]["tests"]["identity"]["auxiliary"] == {"nothing": None}
    assert document["rows"][0]["tests"]["identity"]["violations"] == [{"where": "here", "margin": None}]
    assert document["provenance"] == {"load": None}
    assert to_document(from_document(document)) == document


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (4, "schema 4, newer than 3; upgrade simbench"),
        (2, "schema 2, older than 3; publish it again with `simbench publish SUITE`"),
        (None, "no schema_version"),
    ],
)
def test_another_schema_version_is_refused_with_what_to_do(make, version, said):
    document = {**to_document(make.board()), "schema_version": version}
    with pytest.raises(SimbenchError, match=said):
        from_document(document)


def test_a_damaged_document_is_refused_with_the_place(make):
    document = to_document(make.board())
    document["rows"][0]["tests"]["identity"]["grade"] = 1.7
    with pytest.raises(SimbenchError, match=r"rows\.0\.tests\.identity\.grade"):
        from_document(document)


def test_what_a_statistic_is_without_each_model_survives_the_document(make):
    statistic = make.graded(0.0, statistic=-0.1, without={"cnn/0": 0.4, "cnn/1": math.nan})
    row = make.full_row("a", 1.0, 1.0, 1.0, 1.0)
    board = make.board([replace(row, verdicts={**row.verdicts, "identity": statistic})])
    document = json.loads(json.dumps(to_document(board), allow_nan=False))
    assert document["rows"][0]["tests"]["identity"]["without"] == {"cnn/0": 0.4, "cnn/1": None}
    again = from_document(document).rows[0].row.verdicts["identity"]
    assert (again.grade, again.statistic, again.without["cnn/0"]) == (0.0, -0.1, 0.4)
    assert math.isnan(again.without["cnn/1"])


def test_a_document_from_before_it_was_recorded_is_read(make):
    document = to_document(make.board())
    for row in document["rows"]:
        for one in row["tests"].values():
            del one["statistic"], one["without"]
    assert {
        (one.statistic, one.without) == (None, {}) for one in from_document(document).rows[0].row.verdicts.values()
    } == {True}


def test_a_document_says_how_the_metrics_stand_and_what_they_owe(make):
    columns = [replace(column, purposes=("units",), reason=f"why {column.id}") for column in make.columns]
    rows = [make.full_row("good", *[1.0] * 4), make.full_row("poor", *[0.5] * 4)]
    broken = replace(rows[1].verdicts["invariance/orthogonal"], owed="promised")
    rows[1] = replace(rows[1], verdicts={**rows[1].verdicts, "invariance/orthogonal": broken})
    document = json.loads(json.dumps(to_document(make.board(rows, columns=columns))))
    assert document["tiers"] == {"units": [["good"], ["poor"]]}
    assert (document["columns"][0]["purposes"], document["columns"][0]["reason"]) == (["units"], "why identity")
    good, poor = document["rows"]
    assert good["standing"] == {"units": {"tier": 1, "above": ["poor"], "reason": ""}}
    assert poor["tests"]["invariance/orthogonal"]["owed"] == "promised"
    assert poor["counts"] == {
        "passed": 0, "failed": 4, "undecided": 0, "not_promised": 0, "unanswered": 0,
        "broken_promises": ["invariance/orthogonal"],
    }  # fmt: skip


def test_standing_is_derived_anew_from_the_verdicts_of_a_document(make):
    document = to_document(make.board([make.full_row("good", *[1.0] * 4), make.full_row("poor", *[0.5] * 4)]))
    forged = json.loads(json.dumps(document))
    forged["tiers"], forged["rows"][1]["standing"]["units"]["tier"] = {"units": [["poor", "good"]]}, 1
    assert to_document(from_document(forged)) == json.loads(json.dumps(document))
