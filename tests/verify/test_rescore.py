"""A part of the scores is taken again: what the most careful forger changed is found where the sample meets it."""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest
from tests.verify.forging import checks, consistent, edited_score, findings

from simbench.bundles.contents import parse
from simbench.errors import ExitCode, SimbenchError
from simbench.registry import METRICS
from simbench.verify.report import Report, Step, lines
from simbench.verify.reproduction import TOLERANCES, spread
from simbench.verify.sampling import draw

Files = dict[str, bytes]
Check = Callable[..., Report]


def step(report: Report, level: str) -> Step:
    return next(one for one in report.steps if one.level == level)


def shifted(files: Files, metric: str, share: float) -> Files:
    """Every score of a metric moved by a share of its spread, and everything else made to fit."""
    size = share * spread({record.key: record for record in parse(files).scores[metric]})
    for line in range(len(parse(files).scores[metric])):
        files = edited_score(files, metric, lambda one: one.update(value=one["value"] - size), line, seal=False)
    return consistent(files)


def test_an_honest_bundle_is_rescored(files: Files, check: Check, made: Any) -> None:
    report = check(files, rescore=True, sample=1.0, metrics=[str(made.own)])
    assert findings(report) == []
    assert (report.reached, report.exit_code) == ("rescored", ExitCode.OK)
    compared = sum(one.equal + one.within for one in step(report, "rescored").tallies)
    assert compared == sum(map(len, parse(files).scores.values()))


def test_a_careful_forgery_passes_regrading_and_not_rescoring(files: Files, check: Check) -> None:
    forged = shifted(files, "procrustes", 0.01)
    assert checks(check(forged)) == set()
    report = check(forged, rescore=True, sample=0.2)
    assert checks(report) == {"score"}
    assert report.reached == "regraded"
    assert report.exit_code == ExitCode.VERDICT_FAILED


def test_what_a_sample_proves_is_what_it_would_have_missed_once_in_twenty(files: Files, check: Check) -> None:
    summary = step(check(files, rescore=True, sample=0.2), "rescored").summary
    found = re.match(r"(\d+) of .*, 0 differ: with 95 % confidence fewer than ([\d.]+) % of the scores", summary)
    assert found is not None
    compared, percent = int(found[1]), float(found[2])
    assert (1 - percent / 100) ** compared == pytest.approx(0.05, rel=0.1)


def test_a_score_that_differs_is_named_with_both_values(files: Files, check: Check) -> None:
    forged = consistent(edited_score(files, "cka", lambda one: one.update(value=0.4321)))
    (finding,) = findings(check(forged, rescore=True, sample=1.0))
    record = parse(files).scores["cka"][0]
    assert record.key in finding.where
    assert finding.claimed == 0.4321
    assert finding.found == pytest.approx(record.value)


def test_a_forged_tie_break_is_found(files: Files, check: Check) -> None:
    name = next(metric.scores for metric in parse(files).metrics if metric.declaration.name == "stitch_task")
    stem = name.removeprefix("scores/").removesuffix(".jsonl")
    forged = consistent(edited_score(files, stem, lambda one: one.update(tiebreak=1e6)))
    assert [finding.check for finding in findings(check(forged, rescore=True, sample=1.0))] == ["score"]


def test_a_forged_auxiliary_is_found(files: Files, check: Check) -> None:
    forged = consistent(edited_score(files, "cka", lambda one: one.update(auxiliary={"p_value": 0.01})))
    (finding,) = findings(check(forged, rescore=True, sample=1.0))
    assert finding.where.endswith(" p_value")
    assert finding.claimed == 0.01


def test_a_skip_that_was_claimed_for_a_score_is_found(files: Files, check: Check) -> None:
    change = {"status": "skip", "value": None, "reason": "not applicable, honestly"}
    forged = consistent(edited_score(files, "cka", lambda one: one.update(change)))
    (finding,) = findings(check(forged, rescore=True, sample=1.0))
    assert finding.claimed == "skip"


def test_heavy_metrics_have_a_wider_tolerance_that_is_reported(files: Files, check: Check) -> None:
    report = check(files, rescore=True, sample=0.1)
    tolerances = {one.metric: one.tolerance for one in step(report, "rescored").tallies}
    assert tolerances == {
        "cka": TOLERANCES["rescored", "light"],
        "procrustes": TOLERANCES["rescored", "light"],
        "stitch_task(epochs=2)": TOLERANCES["rescored", "heavy"],
    }


def test_a_deviation_within_the_tolerance_is_counted_as_such(files: Files, check: Check) -> None:
    forged = shifted(files, "cka", TOLERANCES["rescored", "light"] / 10)
    report = check(forged, rescore=True, sample=1.0)
    assert findings(report) == []
    tally = next(one for one in step(report, "rescored").tallies if one.metric == "cka")
    assert (tally.equal, tally.outside) == (0, 0)
    assert tally.within == len(parse(files).scores["cka"])


def test_code_that_is_not_here_is_said_and_not_fetched(files: Files, check: Check) -> None:
    report = check(files, rescore=True)
    assert report.exit_code == ExitCode.INCOMPLETE
    (reason,) = step(report, "rescored").unchecked
    assert reason.startswith("own: its code is not here (own.py, sha256 ")


def test_code_of_another_version_is_not_taken_for_it(files: Files, check: Check, made: Any, tmp_path: Path) -> None:
    (other := tmp_path / "own.py").write_text(made.own.read_text() + "\nCHANGED = True\n")
    report = check(files, rescore=True, metrics=[str(other)])
    (reason,) = step(report, "rescored").unchecked
    assert reason.startswith("own: the bundle has own@source-")


def test_without_the_models_scores_are_not_checked(files: Files, check: Check, tmp_path: Path) -> None:
    report = check(files, rescore=True, store=tmp_path / "empty_store")
    assert report.exit_code == ExitCode.INCOMPLETE
    assert any("--retrain trains them" in reason for reason in step(report, "rescored").unchecked)
    assert report.reached == "regraded"


def test_models_of_the_bundle_serve_and_are_said_to_be_claimed(made: Any, check: Check, tmp_path: Path) -> None:
    report = check(made.with_models, rescore=True, store=tmp_path / "empty_store", metrics=[str(made.own)])
    assert report.exit_code == ExitCode.OK
    assert "2 models came from the bundle" in report.remarks[0]


def test_nothing_of_a_bundle_gets_into_the_store(made: Any, check: Check, tmp_path: Path) -> None:
    check(made.with_models, rescore=True, store=tmp_path / "empty_store")
    assert [one.name for one in (tmp_path / "empty_store").iterdir()] == ["data"]


def test_the_same_seed_draws_the_same_scores(files: Files) -> None:
    records = {record.key: record for record in parse(files).scores["cka"]}
    assert draw(records, 0.2, 7) == draw(records, 0.2, 7)
    assert draw(records, 0.2, 7) != draw(records, 0.2, 8)


def test_the_seed_is_unforeseeable_and_reported(files: Files, check: Check) -> None:
    seeds = {check(files, rescore=True, sample=0.01, seed=None).seed for _ in range(2)}
    assert len(seeds) == 2
    assert None not in seeds


def test_a_seed_that_is_given_is_the_seed_and_without_a_sample_there_is_none(files: Files, check: Check) -> None:
    asked, unasked = check(files, rescore=True, sample=0.01, seed=7), check(files, seed=7)
    assert (asked.seed, asked.sample) == (7, 0.01)
    assert (unasked.seed, unasked.sample, unasked.remarks) == (None, None, ())


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5])
def test_a_sample_is_a_share(files: Files, check: Check, share: float) -> None:
    with pytest.raises(SimbenchError, match="--sample"):
        check(files, rescore=True, sample=share)


def test_the_report_says_what_is_proved_and_what_is_not(files: Files, check: Check) -> None:
    text = "\n".join(lines(check(files)))
    assert "proves: keys, grades, intervals and standing follow from the scores and the suite" in text
    assert "does not prove: that the scores were ever measured" in text
    assert "rescored: not asked for (--rescore)" in text
    assert text.endswith("verified: regraded")


def test_verifying_leaves_the_metrics_as_they_are(files: Files, check: Check) -> None:
    before = METRICS.names()
    check(files, rescore=True, sample=0.01)
    assert METRICS.names() == before


def test_models_trained_from_scratch_give_the_same_scores(
    files: Files, check: Check, made: Any, tmp_path: Path
) -> None:
    report = check(files, retrain=True, sample=1.0, store=tmp_path / "empty_store", metrics=[str(made.own)])
    assert (report.reached, report.exit_code) == ("reproduced", ExitCode.OK)
    assert sum(one.equal for one in step(report, "reproduced").tallies) > 0
    assert not (tmp_path / "empty_store" / "models").exists()


def test_scores_of_models_that_the_suite_does_not_train_are_found(made: Any, check: Check) -> None:
    """Scores of seed 1 under the keys of seed 0, everything else made to fit."""
    files = dict(made.files)
    records = parse(files).scores["cka"]
    values = {(record.a, record.b): record.value for record in records}
    other = {"mlp/0": "mlp/1", "mlp/1": "mlp/0"}
    for line, record in enumerate(records):
        swapped = tuple(re.sub("mlp/[01]", lambda name: other[name[0]], place) for place in (record.a, record.b))
        change = {"value": values.get((swapped[0], swapped[1]), record.value)}
        files = edited_score(files, "cka", methodcaller("update", change), line, seal=False)
    report = check(consistent(files), retrain=True, sample=1.0)
    assert checks(report) == {"score"}
