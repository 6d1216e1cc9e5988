"""Two runs side by side: paired differences, their intervals, and what got worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.board.infos import metric_info

from simbench.board.board import Board, BoardColumn, Row
from simbench.board.comparison import compare, difference_interval, paired_interval, worsened
from simbench.board.standing import board_of
from simbench.errors import SimbenchError, UnknownNameError
from simbench.sanity.stats.statistic import StatisticTest, association
from simbench.verdicts.verdict import AT_NULL_LEVEL, Trial, Verdict, grade_trials, judge_by_mean, ungraded

MODELS = 8
TRIALS = 50


def verdict(held: Sequence[Sequence[bool]] | NDArray[np.bool]) -> Verdict:
    """Per model, whether each of its trials held; passed with 0.8."""
    trials = [Trial(str(n), (f"net/{m}",), bool(one), 0.0) for m, row in enumerate(held) for n, one in enumerate(row)]
    return grade_trials(trials, lambda grade: grade >= 0.8, judge_by_mean, comparisons=len(trials))


def share(held: int, models: int = MODELS) -> Verdict:
    """`held` of ten trials of every model."""
    return verdict([[number < held for number in range(10)]] * models)


def board(verdicts: Mapping[str, Verdict], suite: str = "s", version: int = 1) -> Board:
    """One test; a metric per verdict."""
    rows = [Row(metric_info(label), {"t": one}, 1, 0.0) for label, one in verdicts.items()]
    return board_of(suite, version, "", [BoardColumn("t", "identity", ">= 0.8", "")], rows, {})


def test_a_run_does_not_differ_from_itself() -> None:
    one = board({"cka": share(9), "cca": share(3)})
    same = compare(one, one)
    assert [(found.metric, found.difference, found.worse) for found in same] == [
        ("cka", 0.0, False),
        ("cca", 0.0, False),
    ]
    assert all(found.interval is not None and found.interval[0] == -found.interval[1] < 0 for found in same)


def test_the_difference_is_second_minus_first() -> None:
    (found,) = compare(board({"cka": share(9)}), board({"cka": share(7)}))
    assert (found.first, found.second) == (0.9, 0.7)
    assert found.difference == pytest.approx(-0.2)
    assert found.interval is not None  # the same for every model: it comes from the intervals of both
    assert found.interval[0] < -0.2 < found.interval[1]


@pytest.mark.parametrize(("before", "after", "worse"), [(9, 8, False), (10, 7, True), (10, 5, True), (7, 2, False)])
def test_worse_means_that_what_passed_does_not(before: int, after: int, worse: bool) -> None:
    (found,) = compare(board({"cka": share(before)}), board({"cka": share(after)}))
    assert found.worse is worse


def test_runs_that_agree_differ_by_at_most_what_none_of_so_many_questions_could_hide() -> None:
    for one in (share(10), share(6)):
        (found,) = compare(board({"cka": one}), board({"cka": one}))
        perfect = share(10).interval
        assert perfect is not None
        assert found.interval == pytest.approx((perfect[0] - 1, 1 - perfect[0]))


def test_the_interval_of_grades_that_only_say_their_intervals_is_newcombes() -> None:
    first, second = Verdict("ok", 0.9, (0.8, 0.95)), Verdict("ok", 0.6, (0.3, 0.8))
    assert difference_interval(first, second) == pytest.approx((-0.3 - np.hypot(0.3, 0.05), -0.3 + np.hypot(0.2, 0.1)))


def test_a_grade_that_was_lost_is_worse_and_has_no_difference() -> None:
    gone = Verdict("error", reason="out of order")
    (found,) = compare(board({"cka": share(3)}), board({"cka": gone}))
    assert (found.difference, found.interval, found.worse, found.reason) == (None, None, True, "out of order")


def test_what_is_not_promised_is_never_worse() -> None:
    grey = replace(share(2), owed="not promised")
    (found,) = compare(board({"cka": share(10)}), board({"cka": grey}))
    assert (found.difference, found.worse) == (pytest.approx(-0.8), False)


def test_a_grade_that_neither_run_has_is_not_worse() -> None:
    one = board({"cka": Verdict("error", reason="out of order")})
    (found,) = compare(one, one)
    assert (found.difference, found.worse) == (None, False)
    assert worsened(one, one) == []


def test_two_metrics_of_one_run_can_be_compared() -> None:
    one = board({"cka": share(9), "cca": share(3)})
    (found,) = compare(one, one, [("cka", "cca")])
    assert found.difference == pytest.approx(-0.6)


def test_what_cannot_be_compared_is_one_line() -> None:
    one = board({"cka": share(9)})
    with pytest.raises(SimbenchError, match=r"s@1 and s@2"):
        compare(one, board({"cka": share(9)}, version=2))
    with pytest.raises(SimbenchError, match="no metric in common"):
        compare(one, board({"cca": share(9)}))
    with pytest.raises(UnknownNameError, match="cka"):
        compare(one, one, [("cca", "cka")])


def test_there_is_no_interval_for_one_set_of_models_or_for_grades_that_do_not_say_how_they_depend_on_them() -> None:
    assert paired_interval(share(9, models=1), share(8, models=1)) is None
    silent = Verdict("ok", grade=0.4, passed=False)
    for first, second in ((silent, share(9)), (share(9), silent), (silent, silent)):
        (found,) = compare(board({"cka": first}), board({"cka": second}))
        assert found.difference == pytest.approx((second.grade or 0) - (first.grade or 0))
        assert found.interval is None


def test_what_models_have_in_common_cancels() -> None:
    """Trials that hold or fail together in both runs leave a narrower interval than two runs on their own would."""
    random = np.random.default_rng(0)
    ability = random.random(MODELS)
    common = random.random((MODELS, TRIALS)) < ability[:, None]
    worse = common & (random.random((MODELS, TRIALS)) < 0.9)
    first, second = verdict(common), verdict(worse)
    paired = paired_interval(first, second)
    assert paired is not None
    assert first.interval is not None
    assert second.interval is not None
    unpaired = (first.interval[1] - first.interval[0]) ** 2 + (second.interval[1] - second.interval[0]) ** 2
    assert paired[1] - paired[0] < 0.6 * unpaired**0.5


def of_pairs(effects: np.ndarray, random: np.random.Generator) -> Verdict:
    """A trial per pair of models, whose credit is the mean of both effects and a little noise."""
    trials = []
    for a, b in combinations(range(len(effects)), 2):
        credit = float((effects[a] + effects[b]) / 2 + random.normal(0, 0.01))
        trials.append(Trial("", (f"net/{a}", f"net/{b}"), True, 0.0, partial_credit=credit))
    return grade_trials(trials, lambda grade: True, judge_by_mean, comparisons=len(trials))


@pytest.mark.slow
@pytest.mark.parametrize("models", [3, 5, 10, 20])
@pytest.mark.parametrize("paired", [False, True])
def test_the_interval_covers_the_true_difference_about_as_often_as_it_says(models: int, paired: bool) -> None:
    """Models whose abilities vary; in the second run each is worse by 0.1, more or less."""
    covered, repetitions = 0, 300
    for repetition in range(repetitions):
        random = np.random.default_rng(repetition)
        ability = random.normal(0.6, 0.1, size=models)
        after = ability - 0.1 + random.normal(0, 0.05, size=models)
        if paired:
            first, second = of_pairs(ability, random), of_pairs(after, random)
        else:
            first, second = (verdict(random.random((models, TRIALS)) < side[:, None]) for side in (ability, after))
        found = paired_interval(first, second)
        assert found is not None
        covered += found[0] <= -0.1 <= found[1]
    assert 0.91 <= covered / repetitions <= 0.99


class Correlation(StatisticTest):
    """The rank correlation of all pairs."""

    def statistic(self, trials: Sequence[Trial]) -> float:
        return association(trials)

    def questions(self, groups: Any, metric: Any) -> Any:
        raise AssertionError("nothing is asked here")


def correlated(noise: float, variable: np.ndarray, random: np.random.Generator) -> Verdict:
    """An index that sees a distance of models through noise of its own."""
    models = len(variable)
    seen = variable + noise * random.normal(size=variable.shape)
    trials = [
        Trial("", (f"net/{a}", f"net/{b}"), None, -float(seen[a, b]), at=float(variable[a, b]))
        for a, b in combinations(range(models), 2)
    ]
    kind = Correlation(id="t", kind="correlation", models=["net"])
    return grade_trials(trials, lambda grade: True, kind.judge, comparisons=len(trials))


def distances(models: int, random: np.random.Generator) -> np.ndarray:
    places = random.normal(size=(models, 3))
    return np.linalg.norm(places[:, None] - places[None], axis=2)


@pytest.mark.slow
@pytest.mark.parametrize("noises", [(0.5, 0.5), (0.5, 1.5)])
@pytest.mark.parametrize("models", [5, 10])
def test_the_interval_of_statistics_covers_their_true_difference_at_least_as_often_as_it_says(
    models: int, noises: tuple[float, float]
) -> None:
    random = np.random.default_rng(0)
    large = [distances(60, random) for _ in range(10)]
    truth = np.mean(
        [
            correlated(noises[1], variable, random).grade - correlated(noises[0], variable, random).grade
            for variable in large
        ]
    )
    covered, repetitions = 0, 200
    widths: list[float] = []
    for _ in range(repetitions):
        variable = distances(models, random)
        found = paired_interval(*(correlated(noise, variable, random) for noise in noises))
        assert found is not None
        covered += bool(found[0] <= truth <= found[1])
        widths.append(found[1] - found[0])
    assert covered / repetitions >= 0.94
    assert models == 5 or np.median(widths) < 0.9  # not by saying nothing: the range is 2


def test_where_a_grade_is_cut_from_a_statistic_below_0_the_interval_is_of_both_and_holds_0() -> None:
    def statistic(value: float, *without: float) -> Verdict:
        left_out = {f"net/{model}": one for model, one in enumerate(without)}
        return Verdict("ok", grade=max(0.0, value), statistic=value, without=left_out)

    first, second = statistic(-0.3, -0.31, -0.3, -0.29), statistic(0.2, 0.21, 0.2, 0.19)
    found = paired_interval(first, second)
    assert found is not None
    assert found[0] == 0.0  # the statistics differ for sure, the grades perhaps not
    assert 0.5 < found[1] < 0.65
    both = paired_interval(statistic(-0.3, -0.4, -0.3, -0.2), statistic(-0.2, -0.4, -0.2, 0.0))
    assert both is not None
    assert both[0] < 0 < 0.1 < both[1]


def test_what_two_statistics_have_in_common_cancels() -> None:
    """Two indices that see the same noise differ by less than two runs on their own would."""
    random = np.random.default_rng(0)
    variable = distances(12, random)
    noise = random.normal(size=variable.shape)

    class Same:
        """Both draw the same noise, the second a little more of its own."""

        def normal(self, size: tuple[int, ...]) -> np.ndarray:
            return noise

    first, second = correlated(1.0, variable, Same()), correlated(1.2, variable, Same())  # type: ignore[arg-type]
    paired = paired_interval(first, second)
    assert paired is not None
    assert first.interval is not None
    assert second.interval is not None
    unpaired = (first.interval[1] - first.interval[0]) ** 2 + (second.interval[1] - second.interval[0]) ** 2
    assert paired[1] - paired[0] < 0.5 * unpaired**0.5


def test_an_ungraded_test_keeps_its_reason() -> None:
    trials = [ungraded("here", "skip", "needs a head")]
    skipped = grade_trials(trials, lambda grade: True, judge_by_mean, comparisons=0)
    (found,) = compare(board({"cka": skipped}), board({"cka": share(9)}))
    assert (found.reason, found.worse) == ("needs a head", False)


def test_a_baseline_is_kept_by_what_still_passes() -> None:
    baseline = board({"cka": share(9), "cca": share(3)})
    assert worsened(baseline, board({"cca": share(1), "cka": share(8)})) == []


def test_a_baseline_names_what_got_worse() -> None:
    baseline = board({"cka": share(10), "cca": share(10)})
    lines = worsened(baseline, board({"cka": share(6), "cca": share(10)}))
    assert lines == ["cka, t: passed with 1 in the baseline, now 0.6"]


def test_what_is_no_longer_there_cannot_be_compared_and_is_no_pass() -> None:
    baseline = board({"cka": share(9), "cca": share(2)})
    assert worsened(baseline, board({"cca": share(9)})) == ["cka: in the baseline, not in this run"]


@pytest.mark.parametrize("changed", [0, 1])
def test_questions_at_the_null_level_of_either_run_widen_the_difference(changed: int) -> None:
    first, second = share(9), share(6)
    interval = difference_interval(first, second)
    assert interval is not None
    low, high = interval
    null = {AT_NULL_LEVEL: 0.25}
    widened = (
        difference_interval(first, replace(second, auxiliary=null))
        if changed
        else difference_interval(replace(first, auxiliary=null), second)
    )
    assert widened == pytest.approx((0.75 * low - 0.25, 0.75 * high + 0.25))
