"""A board that states the remarks on its scores is held to them; one of an earlier simbench states none."""

from __future__ import annotations

from tests.fuzz.targets import base_bundle
from tests.verify.forging import edited

from simbench.bundles.archive import write_files
from simbench.bundles.contents import parse
from simbench.errors import ExitCode
from simbench.verify.regrade import check_grades
from simbench.verify.verification import verify


def stripped(document, tests):
    for row in document["rows"]:
        for test in tests:
            del row["tests"][test]["remarks"]


def test_a_board_states_the_remarks_on_its_scores():
    document = parse(base_bundle()).leaderboard
    assert document["rows"][0]["tests"]["first"]["remarks"][0]["text"] == "saturated: 3 of 4"
    assert check_grades(parse(base_bundle())).findings == ()


def test_a_board_that_leaves_out_some_of_them_is_not_verified():
    forged = edited(base_bundle(), "leaderboard.json", lambda document: stripped(document, ["first"]))
    findings = check_grades(parse(forged)).findings
    assert {finding.where for finding in findings} == {
        "cka.tests[first].remarks",
        "svcca(variance=0.9).tests[first].remarks",
    }


def test_a_board_without_any_is_that_of_an_earlier_simbench(tmp_path):
    earlier = edited(
        base_bundle(), "leaderboard.json", lambda document: stripped(document, ["first", "second", "third"])
    )
    report = verify(write_files(tmp_path / "earlier.zip", earlier))
    assert (report.reached, report.exit_code) == ("regraded", ExitCode.OK)
    (note,) = [remark for remark in report.remarks if "remarks" in remark]
    assert note.startswith("its board leaves out the remarks on ")
