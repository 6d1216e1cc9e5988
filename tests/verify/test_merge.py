"""Bundles of several people on one board: nobody's numbers are mixed up, and whoever disagrees is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.verify.forging import consistent, edited, edited_score, findings, part, reseal

from simbench.board.document import to_document
from simbench.bundles.archive import write_files
from simbench.bundles.contents import Contents, parse
from simbench.bundles.metric_record import recorded_metric
from simbench.bundles.pack import pack, recorded_plan
from simbench.errors import ExitCode, SimbenchError
from simbench.publish.folder import publish
from simbench.verify.merge import DisagreementError, Merged, merge
from simbench.verify.report import Report
from simbench.verify.verification import verify

Files = dict[str, bytes]


def merged(**bundles: Files) -> Merged:
    contents: dict[str, Contents] = {name: parse(files) for name, files in bundles.items()}
    return merge(contents)


def test_all_metrics_stand_on_one_board(files: Files) -> None:
    found = merged(ann=part(files, "cka"), bob=part(files, "procrustes", "own"))
    assert {ranked.row.metric.label for ranked in found.board.rows} == {"cka", "procrustes", "own"}


def test_standing_is_that_among_all(files: Files) -> None:
    found = merged(ann=part(files, "cka", "stitch_task(epochs=2)"), bob=part(files, "procrustes", "own"))
    together = to_document(found.board)
    alone = json.loads(files["leaderboard.json"])
    assert together["tiers"] == alone["tiers"]
    assert [row["standing"] for row in together["rows"]] == [row["standing"] for row in alone["rows"]]


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


def off_by(files: Files, metric: str, change: float) -> Files:
    """An honest bundle of one metric, its first score moved."""
    return consistent(edited_score(part(files, metric), metric, lambda one: one.update(value=one["value"] - change)))


def test_a_deviation_is_counted_and_the_scores_of_the_official_bundle_are_shown(files: Files) -> None:
    ann, bob = part(files, "cka"), off_by(files, "cka", 0.9)
    (second,) = (found := merged(ann=ann, bob=bob)).seconds
    count = len(parse(ann).scores["cka"])
    assert second.counts == {"equal": count - 1, "rounding": 0, "retraining": 0, "seeds": 0, "outside": 1}
    assert str(second).startswith(f"cka: bob differs from ann ({count - 1} bit-equal, 0 within rounding, 0 within ret")
    assert str(second).endswith("; the scores are those of ann")
    assert parse(found.bundle).scores == parse(ann).scores
    assert found.confirmed == {}
    other_way = merge({"ann": parse(ann), "bob": parse(bob)}, official="bob")
    assert parse(other_way.bundle).scores == parse(bob).scores


def test_deviations_of_retrained_networks_are_no_disagreement(files: Files) -> None:
    found = merged(ann=part(files, "cka"), bob=off_by(files, "cka", 1e-3))
    assert found.seconds[0].counts["retraining"] == 1
    assert found.confirmed == {"cka": ("ann", "bob")}


def test_a_built_in_metric_of_another_version_is_named_and_the_official_one_shown(files: Files) -> None:
    found = merged(ann=part(files, "cka"), bob=of_another_source(part(files, "cka"), "cka@0"))
    assert str(found.seconds[0]) == "cka: bob has cka@0, which was not compared; the scores are those of ann"
    assert [metric.identity for metric in parse(found.bundle).metrics] == [parse(files).metrics[0].identity]


def test_other_code_under_the_same_identity_is_refused(files: Files) -> None:
    other = part(
        edited(files, "metrics.json", lambda all: [one["source"].update(sha256="0" * 64) for one in all]), "own"
    )
    with pytest.raises(DisagreementError, match=r"sha256 [0-9a-f]{12}\) and .* sha256 0{12}\); rename one of them"):
        merged(ann=part(files, "own"), bob=other)


def test_a_row_that_stood_there_is_lost_only_on_demand(files: Files) -> None:
    bundles = {"ann": parse(part(files, "cka", "own"))}
    with pytest.raises(SimbenchError, match=r"1 rows of the board that stands there .*: procrustes; give its bundle"):
        merge(bundles, standing=["cka", "procrustes"])
    assert len(merge(bundles, standing=["cka", "procrustes"], drop=["procrustes"]).board.rows) == 2
    (left,) = merge(bundles, standing=["cka"], drop=["cka"]).board.rows
    assert left.row.metric.label == "own"


def test_a_row_to_drop_must_be_there(files: Files) -> None:
    with pytest.raises(SimbenchError, match='unknown row "ckaa"; did you mean "cka"'):
        merge({"ann": parse(part(files, "cka"))}, drop=["ckaa"])


def test_a_board_that_was_merged_keeps_its_origins_when_it_is_merged_again(files: Files) -> None:
    ann, bob, eve = part(files, "cka"), part(files, "procrustes"), part(files, "own")
    first = merged(ann=ann, bob=bob)
    again = merged(board=first.bundle, eve=eve).board.provenance["bundles"]
    assert again == {
        "ann": {"digest": parse(ann).digest, "metrics": ["cka"]},
        "bob": {"digest": parse(bob).digest, "metrics": ["procrustes"]},
        "eve": {"digest": parse(eve).digest, "metrics": ["own"]},
    }


def test_a_merged_board_is_published_as_its_bundle_gives_it(files: Files, tmp_path: Path) -> None:
    found = merged(ann=part(files, "cka"), bob=part(files, "procrustes"))
    publish(found.board, tmp_path, found.table)
    write_files(tmp_path / "tiny/bundle.zip", found.bundle)
    assert [str(one) for one in findings(verify(tmp_path / "tiny"))] == []


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
    forged = edited(files, "leaderboard.json", lambda one: one["rows"][0]["counts"].update(passed=9))
    with pytest.raises(DisagreementError, match="bob does not hold what it claims: standing: ") as caught:
        merged(ann=part(files, "cka"), bob=forged)
    assert caught.value.exit_code == ExitCode.VERDICT_FAILED


def test_a_swapped_hash_of_a_source_is_refused(files: Files) -> None:
    swapped = edited(part(files, "cka"), "metrics.json", lambda all: all[0]["source"].update(sha256="0" * 64))
    with pytest.raises(DisagreementError, match=r"bob does not hold what it claims: metric: cka\.source: "):
        merged(ann=part(files, "procrustes"), bob=swapped)


def test_the_merged_bundle_can_itself_be_verified(files: Files, check: Callable[..., Report]) -> None:
    found = merged(ann=part(files, "cka"), bob=part(files, "procrustes"))
    assert check(found.bundle).reached == "regraded"
