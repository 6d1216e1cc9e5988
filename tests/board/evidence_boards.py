"""Boards with the scores and trials behind them, made by hand: what a page draws."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from tests.board.infos import metric_info

from simbench.board.board import Board, BoardColumn, Row
from simbench.board.scores import ScoreRow
from simbench.board.standing import board_of
from simbench.declaration import MetricInfo
from simbench.references import Comparison, ModelRef, Named, RepresentationRef
from simbench.verdicts.verdict import Trial, Verdict, grade_trials, judge_by_mean

HOSTILE = '<script>window.hacked=1</script><img src=x onerror="window.hacked=1">\'"&--><!-- </script>'
TRANSFORMS = ("permutation", "orthogonal", "invertible_linear")
LAYERS = ("block1", "block2", "block3")
SEEDS = (0, 1, 2)
COLUMNS = (
    BoardColumn(
        "identity",
        "identity",
        ">= 0.95",
        "No other layer is as similar to layer j as layer j itself.",
        description="No other layer is as similar to layer j as layer j itself.\n\nSource: a paper, Eq. 1.",
        settings={"models": ["cnn"]},
    ),
    BoardColumn("invariance", "invariance", ">= 0.95", "A transform changes no similarity."),
    *(BoardColumn(f"invariance/{name}", "invariance", ">= 0.95", "", "invariance") for name in TRANSFORMS),
    BoardColumn(
        "sensitivity",
        "distribution_sensitivity",
        ">= 0.95",
        "Close in KL is not the same.",
        settings={"rho": [5.0, 10.0, 20.0], "seeds": [0, 1, 2]},
    ),
)


def info(label: str, family: str = "CKA", **changes: object) -> MetricInfo:
    """What the board shows of a metric."""
    fields: dict[str, object] = {
        "summary": f"What {label} measures.",
        "formula": "‖ỸᵀX̃‖²",
        "reference": "A paper (2019), Eq. 4",
        "origin": "simbench.metrics.cka.linear",
        "interface": "batched",
        **changes,
    }
    return metric_info(label, family=family, **fields)


def evident_board(suite: str = "sanity", about: str = "What any index should show.") -> tuple[Board, list[ScoreRow]]:
    """Two metrics graded everywhere, one that fails, one skipped in part, one broken, one with a hostile name."""
    rows: list[Row] = []
    scores: list[ScoreRow] = []
    for label, family, broken in (
        ("cka", "CKA", 0.0), ("pwcca", "CCA", 0.3), ("procrustes", "shape", 0.15), (HOSTILE, HOSTILE, 0.5),
    ):  # fmt: skip
        row, found = _graded(label, family, broken)
        rows.append(row)
        scores += found
    skip = Verdict("skip", reason="this metric is defined at the head only")
    partial = {"identity": skip, "invariance": skip, "sensitivity": rows[0].verdicts["sensitivity"]}
    rows.append(Row(info("kl", "identifiability", level="head", interface="model-based"), partial, 12, 0.3))
    error = Verdict("error", reason=f"12 of 12 error: ValueError: {HOSTILE}")
    missing = Verdict("missing", reason="the run was interrupted")
    verdicts = {"identity": error, "invariance": missing, "sensitivity": error}
    rows.append(Row(info("broken", "mine", interface="matrix", summary=HOSTILE), verdicts, 0, 0.0))
    return board_of(suite, 1, about, COLUMNS, rows, {"commit": "0123456789abcdef", "device": "cpu"}), scores


def _graded(label: str, family: str, broken: float) -> tuple[Row, list[ScoreRow]]:
    """A metric for which this share of the questions fails."""
    verdicts: dict[str, Verdict] = {}
    scores: list[ScoreRow] = []
    for test, trials, table in (
        _identity(label, broken), _invariance(label, broken), _sensitivity(label, broken),
    ):  # fmt: skip
        verdict = graded(trials)
        verdicts[test] = verdict
        scores += table
        parts = dict.fromkeys(trial.column for trial in trials if trial.column is not None)
        for part in parts:
            verdicts[f"{test}/{part}"] = graded([trial for trial in trials if trial.column == part])
    return Row(info(label, family), verdicts, len(scores), 0.01 * len(scores)), scores


def graded(trials: Sequence[Trial], unanswered: Sequence[Trial] = ()) -> Verdict:
    """The verdict on trials, to be passed with 0.95."""
    return grade_trials([*trials, *unanswered], lambda grade: grade >= 0.95, judge_by_mean, comparisons=len(trials))


def score_of(
    metric: str, test: str, comparison: Comparison, value: float | None, reason: str = "", **auxiliary: float
) -> ScoreRow:
    """A line of the table of scores."""
    status = "ok" if value is not None else "error"
    place = ScoreRow.place_of(comparison)
    key = f"{abs(hash(place)):x}"
    return ScoreRow(metric, test, *place, status, value, None, None, "", reason, 0.01, key, auxiliary)


def _identity(label: str, broken: float) -> tuple[str, list[Trial], list[ScoreRow]]:
    trials, scores = [], []
    for seed in SEEDS:
        layers = [RepresentationRef(ModelRef("cnn", seed), layer) for layer in LAYERS]
        for j, receiver in enumerate(layers):
            fails = j < broken * len(LAYERS)
            column = [Comparison(sender, receiver) for sender in layers]
            values = [1 - 0.2 * abs(i - j) + (0.4 * (i == 2 and fails)) for i in range(len(layers))]
            scores += [score_of(label, "identity", one, v) for one, v in zip(column, values, strict=True)]
            violating = (column[2],) if fails else ()
            trials.append(
                Trial(str(receiver), (str(receiver.model),), not fails, -0.1 if fails else 0.2, None, violating)
            )
    return "identity", trials, scores


def _invariance(label: str, broken: float) -> tuple[str, list[Trial], list[ScoreRow]]:
    trials, scores = [], []
    for name in TRANSFORMS:
        for seed in SEEDS:
            a = RepresentationRef(ModelRef("cnn", seed), "block1")
            comparison = Comparison(a, a.under(Named.of(name, seed=1)))
            fails = broken > 0.1 and name == "invertible_linear"
            scores.append(score_of(label, "invariance", comparison, 0.6 if fails else 1.0, p_value=0.02, raw=0.9))
            margin = -broken if fails else 0.05
            trials.append(
                Trial(str(comparison), (str(a.model),), not fails, margin, name, (comparison,) if fails else ())
            )
    return "invariance", trials, scores


def _sensitivity(label: str, broken: float) -> tuple[str, list[Trial], list[ScoreRow]]:
    trials, scores = [], []
    for seed in SEEDS:
        for rho in (5.0, 10.0, 20.0):
            a, other = (
                RepresentationRef(
                    ModelRef("clusters", seed, Named.of("clusters", permuted=permuted, rho=rho)), "embedding"
                )
                for permuted in (False, True)
            )
            scores.append(score_of(label, "sensitivity", Comparison(a, other), 0.1 * seed))
            scores.append(score_of(label, "sensitivity", Comparison(a, a), 1.0))
            margin = 0.5 - broken - 0.01 * rho
            where = f"ρ = {rho:g}, seed {seed}"
            violating = () if margin > 0 else (Comparison(a, other),)
            trials.append(
                Trial(where, (f"construction/{seed}",), margin > 0, margin, None, violating, rho, f"seed {seed}")
            )
    return "sensitivity", trials, scores


def boards_of_other_kinds() -> tuple[Board, list[ScoreRow]]:
    """Tests of kinds that this page was not written for: observations, groups, credits, questions about pairs."""
    kinds = (_reference_variables, _groups, _credits, _far_pairs, _depth)
    columns: list[BoardColumn] = []
    verdicts: dict[str, Verdict] = {}
    scores: list[ScoreRow] = []
    for make in kinds:
        test, trials, table = make()
        verdicts[test] = graded(trials)
        scores += table
        columns.append(BoardColumn(test, test, ">= 0.9", f"What {test} asks."))
        for part in dict.fromkeys(trial.column for trial in trials if trial.column is not None):
            verdicts[f"{test}/{part}"] = graded([trial for trial in trials if trial.column == part])
            columns.append(BoardColumn(f"{test}/{part}", test, ">= 0.9", "", test))
    rows = [Row(info(label, higher_is_more_similar=label != "far"), verdicts, len(scores), 1.0) for label in ("cka",)]
    return board_of("others", 1, "Other kinds of tests.", columns, rows, {}), scores


def _pairs(group: str, layer: str = "block3") -> list[Comparison]:
    places = [RepresentationRef(ModelRef(group, seed), layer) for seed in range(4)]
    return [Comparison(a, b) for n, a in enumerate(places) for b in places[n + 1 :]]


def _reference_variables() -> tuple[str, list[Trial], list[ScoreRow]]:
    """Every pair's similarity, held against two reference variables."""
    trials, scores = [], []
    for n, pair in enumerate(_pairs("cnn")):
        scores.append(score_of("cka", "output_correlation", pair, 0.9 - 0.1 * n))
        for variable, unit in (("accuracy_difference", 1.0), ("disagreement", 40.0)):
            models = (str(pair.a.model), str(pair.b.model))
            trials.append(Trial(str(pair), models, None, 0.9 - 0.1 * n, variable, at=unit * n, line="cnn block3"))
    return "output_correlation", trials, scores


def _groups() -> tuple[str, list[Trial], list[ScoreRow]]:
    """Pairs within a group and across groups."""
    trials, scores = [], []
    other = RepresentationRef(ModelRef("other", 0), "block3")
    across = [Comparison(RepresentationRef(ModelRef("cnn", seed), "block3"), other) for seed in SEEDS]
    for line, pairs, value in (("within", _pairs("cnn"), 0.8), ("across", across, 0.3)):
        for n, pair in enumerate(pairs):
            scores.append(score_of("cka", "group_separation", pair, value + 0.01 * n))
            models = (str(pair.a.model), str(pair.b.model))
            at = float(line == "within")
            trials.append(Trial(str(pair), models, None, value + 0.01 * n, "cnn", at=at, line=line))
    return "group_separation", trials, scores


def _credits() -> tuple[str, list[Trial], list[ScoreRow]]:
    """Answers that are more or less right."""
    trials, scores = [], []
    for name in ("iid", "clustered"):
        for seed in SEEDS:
            a = RepresentationRef(ModelRef("cnn", seed), "block3")
            pair = Comparison(a.under(Named.of(name)), a)
            credit = 1.0 if name == "iid" else 0.25 * seed
            scores.append(score_of("cka", "noise_null", pair, 1 - credit))
            trials.append(
                Trial(str(pair), (str(a.model),), credit == 1, credit - 1, name, (pair,), partial_credit=credit)
            )
    return "noise_null", trials, scores


def _far_pairs() -> tuple[str, list[Trial], list[ScoreRow]]:
    """Questions about single pairs, with neither columns nor a swept variable."""
    trials, scores = [], []
    for seed in SEEDS:
        first, last = (RepresentationRef(ModelRef("cnn", seed), layer) for layer in (LAYERS[0], LAYERS[-1]))
        far = Comparison(last, first)
        scores += [score_of("cka", "far_pair", far, 0.2), score_of("cka", "far_pair", Comparison(first, first), 1.0)]
        trials.append(Trial(str(far), (f"cnn/{seed}",), False, -0.2, None, (far,), partial_credit=0.8))
    return "far_pair", trials, scores


def _depth() -> tuple[str, list[Trial], list[ScoreRow]]:
    """Every layer against every other layer, but not against itself; several questions at one distance."""
    trials, scores = [], []
    for seed in SEEDS:
        layers = [RepresentationRef(ModelRef("cnn", seed), layer) for layer in LAYERS]
        for i, a in enumerate(layers):
            for j, b in enumerate(layers):
                if a != b:
                    scores.append(score_of("cka", "layer_monotonicity", Comparison(a, b), 1 - 0.2 * abs(i - j)))
                    trials.append(
                        Trial(f"{a} {b}", (f"cnn/{seed}",), True, 0.2, at=float(abs(i - j)), line=f"cnn/{seed}")
                    )
    return "layer_monotonicity", trials, scores


@cache
def _verdict(held: tuple[bool, ...]) -> Verdict:
    return graded([Trial(f"q{n}", (f"cnn/{n % 3}",), one, 0.1 if one else -0.1) for n, one in enumerate(held)])


def large_board(metrics: int = 100, tests: int = 60) -> tuple[Board, list[ScoreRow]]:
    """A board of the size that a page has to stay quick with, every cell with scores behind it."""
    columns = [BoardColumn(f"test{t}", f"kind{t % 8}", ">= 0.95", f"What test {t} asks.") for t in range(tests)]
    rows, scores = [], []
    pairs = [
        Comparison(RepresentationRef(ModelRef("cnn", seed), a), RepresentationRef(ModelRef("cnn", seed), b))
        for seed in SEEDS for b in LAYERS for a in LAYERS
    ]  # fmt: skip
    for m in range(metrics):
        verdicts = {}
        for t, column in enumerate(columns):
            held = [(m * 7 + t * 3 + n) % 11 > m % 5 for n in range(9)]
            verdicts[column.id] = _verdict(tuple(held))
            values = [((m + 1) * (t + 1) * (n + 1) % 97) / 97 for n in range(len(pairs))]
            scores += [score_of(f"m{m}", column.id, one, v) for one, v in zip(pairs, values, strict=True)]
        rows.append(Row(info(f"m{m}", f"family{m % 9}"), verdicts, 27 * tests, 1.0 + m))
    return board_of("large", 1, "", columns, rows, {}), scores
