"""Remarks on scores are counted by kind, and are part of the published record."""

from __future__ import annotations

from dataclasses import replace

from simbench.board.document import from_document, to_document
from simbench.board.remarks import Remark, count_remarks


def test_remarks_that_differ_in_numbers_count_as_one_and_others_do_not():
    scores = [("a → b", ["3 dead units", "saturated: 5 of 7"]), ("a → c", ["0 dead units"]), ("b → c", [])]
    assert count_remarks(scores, asked=4) == (
        Remark("3 dead units", "a → b", 2, 4),
        Remark("saturated: 5 of 7", "a → b", 1, 4),
    )


def test_a_document_keeps_remarks_and_has_none_where_there_are_none(make):
    remarks = (Remark("outside the declared range [0, 1]", "a → b", 2, 3),)
    row = replace(make.full_row("cka", 1.0, 1.0, 1.0, 1.0), remarks={"identity": remarks})
    document = to_document(make.board([row]))
    tests = document["rows"][0]["tests"]
    assert tests["identity"]["remarks"] == [
        {"text": "outside the declared range [0, 1]", "where": "a → b", "scores": 2, "asked": 3}
    ]
    assert "remarks" not in tests["invariance"]
    assert from_document(document).rows[0].row.remarks == {"identity": remarks}
