"""Bundles of several people on one board: nobody's numbers are mixed up, and whoever disagrees is named."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import yaml
from tests.verify.forging import consistent, edited, edited_score, part, reseal

from simbench.board.document import to_document
from simbench.bundles.contents import Contents, parse
from simbench.bundles.metric_record import recorded_metric
from simbench.bundles.pack import pack, recorded_plan
from simbench.errors import ExitCode
from simbench.verify.merge import DisagreementError, Merged, merge
from simbench.verify.report import Report

Files = dict[str, bytes]


def merged(**bundles: Files) -> Merged:
    contents: dict[str, Contents] = {name: parse(files) for name, files in bundles.items()}
    return merge(contents)


def test_all_metrics_stand_on_one_board(files: Files) -> None:
    found = merged(ann=part(files, "cka"), bob=part(files, "procrustes", "own"))
    assert {ranked.row.metric.label for ranked in found.board.rows} == {"cka", "procrustes", "own"}


def test_ranks_are_those_among_all(files: Files) -> None:
    found = merged(ann=part(files, "cka", "stitch_task(epochs=2)"), bob=part(files, "procrustes", "own"))
    together = to_document(found.board)
    alone = {row["metric"]: row["mean_rank"] for row in json.loads(files["leaderboard.json"])["rows"]}
    assert {row["metric"]: row["mean_rank"] for row in together["rows"]} == alone


def test_every_metric_keeps_its_origin(files: Files) -> None:
    ann, bob = part(files, "cka"), part(files, "procrustes")
    assert merged(ann=ann, bob=bob).board.provenance["bundles"] == {
        "ann": {"digest": parse(ann).digest, "metrics": ["cka"]},
        "bob": {"digest": parse(bob).digest, "metrics": ["procrustes"]},
    }


def test_the_facts_of_every_run_are_kept(files: Files) -> None:
    found = merged(ann=part(files, "cka"), bob=part(files, "procrustes"))
    assert found.board.provenance["runs"] == dict(parse(files).provenance)


def test_a_metric_that_both_bring_with_the_same_values_is_confirmed(files: Files) -> None:
    found = merged(ann=part(files, "cka", "own"), bob=part(files, "cka", "procrustes"))
    assert found.confirmed == {"cka": ("ann", "bob")}
    assert len(found.board.rows) == 3


def test_a_metric_with_different_values_is_refused_with_both_origins(files: Files) -> None:
    other = consistent(edited_score(part(files, "cka"), "cka", lambda one: one.update(value=0.0)))
    with pytest.raises(DisagreementError, match='"cka" has different values in ann and bob: ') as caught:
        merged(ann=part(files, "cka"), bob=other)
    assert "0.0 at " in str(caught.value)


def test_two_metrics_of_one_name_are_refused_with_both_sources(files: Files) -> None:
    theirs = of_another_source(part(files, "own"), "own@source-else")
    with pytest.raises(DisagreementError, match="own@source-else in bob") as caught:
        merged(ann=part(files, "own"), bob=theirs)
    assert '"own" is own@source-' in str(caught.value)
    assert "rename one of them" in str(caught.value)


def of_another_source(files: Files, identity: str) -> Files:
    """An honest bundle of the same scores by a metric of another identity: its keys are others."""
    contents = parse(files)
    metric = contents.metrics[0].model_copy(update={"identity": identity})
    before, after = recorded_plan(contents.suite, contents.metrics), recorded_plan(contents.suite, [metric])
    known = {record.key: record for record in contents.scores[metric.label]}
    records = {
        key: known[before.score_key(before.metrics[0].metric, comparison)].model_copy(
            update={"key": key, "metric": identity}
        )
        for key, comparison in after.metrics[0].scores.items()
    }
    return pack(contents.suite, [recorded_metric(metric)], {metric.label: records}, contents.provenance).files


def test_suites_of_two_versions_are_refused(files: Files) -> None:
    suite = yaml.safe_load(files["suite.yaml"])
    suite["version"] = 2
    later = consistent(reseal({**part(files, "cka"), "suite.yaml": yaml.safe_dump(suite, sort_keys=False).encode()}))
    with pytest.raises(DisagreementError, match="ann is of tiny@1, bob of tiny@2"):
        merged(ann=part(files, "cka"), bob=later)


def test_one_version_with_two_contents_is_refused(files: Files) -> None:
    suite = yaml.safe_load(files["suite.yaml"])
    suite["tests"][0]["pass_if"] = ">= 0.5"
    other = consistent(reseal({**part(files, "cka"), "suite.yaml": yaml.safe_dump(suite, sort_keys=False).encode()}))
    with pytest.raises(DisagreementError, match=r"differ in tests\[0\]\.pass_if"):
        merged(ann=part(files, "procrustes"), bob=other)


def test_a_bundle_that_does_not_hold_what_it_claims_is_refused(files: Files) -> None:
    forged = edited(files, "leaderboard.json", lambda one: one["rows"][0].update(mean_rank=0.1))
    with pytest.raises(DisagreementError, match="bob does not hold what it claims: rank: ") as caught:
        merged(ann=part(files, "cka"), bob=forged)
    assert caught.value.exit_code == ExitCode.VERDICT_FAILED


def test_the_merged_bundle_can_itself_be_verified(files: Files, check: Callable[..., Report]) -> None:
    found = merged(ann=part(files, "cka"), bob=part(files, "procrustes"))
    assert check(found.bundle).reached == "regraded"
