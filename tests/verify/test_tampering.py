"""What somebody changed in a bundle is found and named, also by a forger who seals the bundle again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from tests.verify.forging import checks, consistent, edited, edited_score, findings, reseal

from simbench.errors import ExitCode
from simbench.verify.report import Report

Files = dict[str, bytes]
Check = Callable[..., Report]


def row(document: dict[str, Any], metric: str) -> dict[str, Any]:
    return next(one for one in document["rows"] if one["metric"] == metric)


def test_an_honest_bundle_is_regraded(files: Files, check: Check) -> None:
    report = check(files)
    assert findings(report) == []
    assert (report.reached, report.exit_code) == ("regraded", ExitCode.OK)


def test_a_changed_score_fails_its_checksum(files: Files, check: Check) -> None:
    report = check(edited_score(files, "cka", lambda one: one.update(value=0.123), seal=False))
    assert str(findings(report)[0]) == ("checksum: scores/cka.jsonl: does not have the checksum that the manifest says")
    assert report.exit_code == ExitCode.VERDICT_FAILED


def test_a_changed_score_that_moves_a_grade_is_found_without_its_checksum(files: Files, check: Check) -> None:
    lines = [json.loads(one) for one in files["scores/cka.jsonl"].splitlines()]
    own = next(place for place, one in enumerate(lines) if one["a"] == one["b"] == "mlp/0 block1")
    report = check(edited_score(files, "cka", lambda one: one.update(value=0.0), line=own))
    assert "grade" in checks(report)
    assert any(finding.where == "cka.tests[identity].grade" for finding in findings(report))


def test_a_changed_grade_is_named_with_the_right_one(files: Files, check: Check) -> None:
    report = check(
        edited(
            files,
            "leaderboard.json",
            lambda one: row(one, "stitch_task(epochs=2)")["tests"]["identity"].update(grade=0.999),
        )
    )
    (finding,) = findings(report)
    assert (finding.check, finding.where) == ("grade", "stitch_task(epochs=2).tests[identity].grade")
    assert finding.claimed == 0.999
    assert finding.found < 0.95


def test_a_changed_pass_is_a_changed_verdict(files: Files, check: Check) -> None:
    report = check(
        edited(
            files,
            "leaderboard.json",
            lambda one: row(one, "stitch_task(epochs=2)")["tests"]["identity"].update(passed=True),
        )
    )
    assert [str(finding) for finding in findings(report)] == [
        "grade: stitch_task(epochs=2).tests[identity].passed: claimed True, found False"
    ]


def test_a_changed_interval_is_a_changed_verdict(files: Files, check: Check) -> None:
    report = check(
        edited(
            files,
            "leaderboard.json",
            lambda one: row(one, "procrustes")["tests"]["correspondence"].update(interval=[0.9, 1.0]),
        )
    )
    assert checks(report) == {"grade"}


@pytest.mark.parametrize(
    ("field", "value", "where"),
    [
        ("counts", {"passed": 7}, "cka.counts.passed"),
        ("counts", {"broken_promises": ["identity"]}, "cka.counts.broken_promises"),
        ("standing", {"geometry": {"tier": 7, "above": [], "reason": ""}}, "cka.standing.geometry.tier"),
    ],
)
def test_a_changed_aggregate_is_a_changed_standing(
    files: Files, check: Check, field: str, value: dict[str, Any], where: str
) -> None:
    report = check(edited(files, "leaderboard.json", lambda one: row(one, "cka")[field].update(value)))
    assert ("standing", where) in [(finding.check, finding.where) for finding in findings(report)]
    assert checks(report) == {"standing"}


def test_rows_in_another_order_are_a_changed_standing(files: Files, check: Check) -> None:
    report = check(edited(files, "leaderboard.json", lambda one: one["rows"].reverse()))
    assert checks(report) == {"standing"}


def test_a_row_that_was_left_out_is_found(files: Files, check: Check) -> None:
    report = check(edited(files, "leaderboard.json", lambda one: one["rows"].remove(row(one, "procrustes"))))
    assert any(finding.check == "standing" and finding.where == "procrustes" for finding in findings(report))


def test_a_changed_key_is_found(files: Files, check: Check) -> None:
    report = check(edited_score(files, "cka", lambda one: one.update(key="0" * 24)))
    assert any(
        finding.check == "key" and "no comparison of the suite has this key" in str(finding)
        for finding in findings(report)
    )


@pytest.mark.parametrize("field", ["a_key", "b_key"])
def test_a_score_of_another_representation_is_found(files: Files, check: Check, field: str) -> None:
    report = check(edited_score(files, "cka", lambda one: one.update({field: "f" * 24})))
    assert findings(report)[0].check == "key"


def test_a_score_of_other_parameters_is_found(files: Files, check: Check) -> None:
    report = check(edited_score(files, "cka", lambda one: one.update(parameters={"variance": 0.5})))
    assert "key" in checks(report)


def test_a_key_that_stands_twice_is_found(files: Files, check: Check) -> None:
    name = "scores/cka.jsonl"
    first = files[name].splitlines(keepends=True)[0]
    report = check(reseal({**files, name: files[name] + first}))
    assert any("stands twice" in str(finding) for finding in findings(report))


def test_a_score_that_was_left_out_changes_its_verdict(files: Files, check: Check) -> None:
    name = "scores/cka.jsonl"
    report = check(reseal({**files, name: b"".join(files[name].splitlines(keepends=True)[1:])}))
    assert "grade" in checks(report)


def test_a_metric_turned_round_is_found(files: Files, check: Check) -> None:
    report = check(
        edited(files, "metrics.json", lambda one: one[0]["declaration"].update(higher_is_more_similar=False))
    )
    assert any(finding.where == "cka.higher_is_more_similar" for finding in findings(report))


def test_a_run_whose_facts_were_changed_is_found(files: Files, check: Check) -> None:
    report = check(edited(files, "provenance.json", lambda one: next(iter(one.values())).update(device="a better one")))
    assert "provenance" in checks(report)


def test_facts_that_were_changed_with_care_have_another_id_than_their_run(files: Files, check: Check) -> None:
    changed = edited(files, "provenance.json", lambda one: next(iter(one.values())).update(device="a better one"))
    (run,) = json.loads(files["provenance.json"])
    (finding,) = findings(check(consistent(changed)))
    assert (finding.check, finding.where, finding.claimed) == ("provenance", run, run)
    assert finding.found != run


def test_a_run_that_nobody_knows_is_found(files: Files, check: Check) -> None:
    report = check(edited_score(files, "cka", lambda one: one.update(provenance="0" * 16)))
    assert "provenance" in checks(report)


def test_another_threshold_changes_verdicts(files: Files, check: Check) -> None:
    suite = yaml.safe_load(files["suite.yaml"])
    suite["tests"][2]["pass_if"] = ">= 0.01"
    report = check(reseal({**files, "suite.yaml": yaml.safe_dump(suite, sort_keys=False).encode()}))
    assert checks(report) == {"suite", "grade", "standing"}


def test_a_suite_under_the_name_of_a_shipped_one_is_compared_with_it(
    files: Files, check: Check, monkeypatch: pytest.MonkeyPatch, made: Any
) -> None:
    lax = made.suite.read_text().replace("distance: 1", "distance: 2")
    (shipped := made.folder / "shipped.yaml").write_text(lax)
    monkeypatch.setattr("simbench.verify.regrade.bundled_suites", lambda: {"tiny": shipped})
    assert [str(one) for one in findings(check(files))] == [
        "suite: tests[2].distance: is not that of the tiny@1 that ships with simbench"
    ]


def test_a_file_that_the_manifest_does_not_name_is_found(files: Files, check: Check) -> None:
    extra = {**files, "models/abc/model.json": b"{}"}
    assert [str(one) for one in findings(check(extra))] == ["checksum: models/abc/model.json: is not in the manifest"]


def with_source(files: Files, label: str, **source: Any) -> Files:
    def change(metrics: list[dict[str, Any]]) -> None:
        next(metric for metric in metrics if metric["label"] == label)["source"].update(source)

    return edited(files, "metrics.json", change)


def test_a_swapped_hash_of_a_built_in_source_is_found(files: Files, check: Check) -> None:
    (finding,) = findings(check(with_source(files, "cka", sha256="0" * 64)))
    assert str(finding).startswith("metric: cka.source: simbench/metrics/cka/")
    assert ", sha256 0000000000000000: " in str(finding)


def test_a_swapped_hash_of_code_that_is_given_is_found(files: Files, check: Check, made: Any) -> None:
    assert findings(check(files, metrics=[str(made.own)])) == []
    (finding,) = findings(check(with_source(files, "own", sha256="0" * 64), metrics=[str(made.own)]))
    assert finding.where == "own.source"


def test_the_source_of_another_commit_is_said_and_no_fault(
    files: Files, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simbench.verify.sources.committed_hashes", lambda file: {"0" * 64})
    report = check(with_source(files, "cka", sha256="0" * 64))
    assert findings(report) == []
    assert report.remarks[0].endswith("is that of another commit of simbench than the one here")
    (finding,) = findings(check(with_source(files, "cka", sha256="1" * 64)))
    assert finding.note.endswith("that of no commit that is here")


def test_the_source_of_another_release_cannot_be_told_without_a_checkout(
    files: Files, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simbench.verify.sources.committed_hashes", lambda file: None)
    report = check(with_source(files, "cka", sha256="0" * 64, package="simbench-leaderboard 99"))
    assert findings(report) == []
    assert "nothing here has that release" in report.remarks[0]
    (finding,) = findings(check(with_source(files, "cka", sha256="0" * 64)))
    assert ": the code here has sha256 " in finding.note
