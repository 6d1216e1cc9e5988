"""Every number can be traced: test → questions → comparisons → scores."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.board.evidence_boards import HOSTILE, boards_of_other_kinds, evident_board

from simbench.board.document import Document, from_document, to_document
from simbench.board.evidence import evidence_of
from simbench.board.layer_grids import layer_maps
from simbench.board.scores import ScoreRow
from simbench.publish.folder import publish
from simbench.publish.overview import publish_overview
from simbench.publish.tables import scores_csv, scores_parquet
from simbench.references import Comparison, ModelRef, Named, RepresentationRef

PUBLISHED = sorted((Path(__file__).parents[2] / "leaderboard").glob("*/leaderboard.json"))


@pytest.fixture(scope="module")
def evident():
    """A board and its scores."""
    return evident_board()


def test_every_score_is_in_the_evidence_at_its_comparison(evident):
    board, scores = evident
    evidence = evidence_of(board, scores)
    found = {
        (metric, block.test, *evidence.representations[a], *evidence.representations[b], value)
        for block in evidence.tests
        for metric, mine in block.metrics.items()
        for (a, b), value in zip(block.comparisons, mine.values, strict=True)
    }
    told = {
        (s.metric, s.test, s.a_model, s.a_layer, s.a_change, s.b_model, s.b_layer, s.b_change, s.value) for s in scores
    }
    assert found == told


def test_metrics_that_were_asked_the_same_share_their_comparisons(evident):
    blocks = evidence_of(*evident).tests
    assert [(block.test, len(block.metrics)) for block in blocks] == [
        ("identity", 4), ("invariance", 4), ("sensitivity", 4),
    ]  # fmt: skip


def test_the_share_of_questions_that_held_is_the_grade(evident):
    board, scores = evident
    rows = {ranked.row.metric.label: ranked.row for ranked in board.rows}
    for block in evidence_of(board, scores).tests:
        for metric, mine in block.metrics.items():
            assert mine.held.count("1") / len(mine.held) == pytest.approx(rows[metric].verdicts[block.test].grade)


def test_what_broke_the_rule_is_marked(evident):
    evidence = evidence_of(*evident)
    identity = next(block for block in evidence.tests if block.test == "identity")
    places = [tuple(evidence.representations[side][1] for side in pair) for pair in identity.comparisons]
    assert {places[index] for index in identity.metrics["pwcca"].marked} == {("block3", "block1")}
    assert identity.metrics["cka"].marked == []


def test_swept_values_and_their_lines_travel(evident):
    block = evidence_of(*evident).tests[-1]
    assert set(block.questions.at) == {5.0, 10.0, 20.0}
    assert set(block.questions.lines) == {"seed 0", "seed 1", "seed 2"}


def test_questions_and_answers_travel_field_by_field():
    board, scores = boards_of_other_kinds()
    (ranked,) = board.rows
    for block in evidence_of(board, scores).tests:
        trials, asked, mine = ranked.row.verdicts[block.test].trials, block.questions, block.metrics["cka"]
        fields = zip(asked.where, asked.models, asked.columns, asked.at, asked.lines, strict=True)
        assert list(fields) == [(one.where, list(one.models), one.column, one.at, one.line) for one in trials]
        assert mine.held == "".join({None: ".", True: "1", False: "0"}[one.held] for one in trials)
        assert mine.margins == pytest.approx([one.margin for one in trials], rel=1e-5)
        assert mine.credits == ([] if trials[0].partial_credit is None else [one.partial_credit for one in trials])


def test_margins_have_six_digits_and_none_where_they_are_not_finite(evident):
    board, scores = evident
    (first, *_) = board.rows
    trials = first.row.verdicts["identity"].trials
    odd = (replace(trials[0], margin=-12.3456789), replace(trials[1], margin=math.inf), *trials[2:])
    identity = replace(first.row.verdicts["identity"], trials=odd)
    row = replace(first, row=replace(first.row, verdicts={**first.row.verdicts, "identity": identity}))
    block = evidence_of(replace(board, rows=(row, *board.rows[1:])), scores).tests[0]
    assert block.metrics[row.row.metric.label].margins[:2] == [-12.3457, None]


def test_what_only_tells_whether_a_metric_pairs_inputs_is_on_no_map():
    layers = [[(f"cnn/{seed}", name, "") for name in ("block1", "block2")] for seed in (0, 1)]
    across = [(a, b) for a in layers[0] for b in layers[1]]
    checks = [(layers[0][1], layers[0][1]), (("cnn/0", "block2", "row_shuffle"), layers[0][1])]
    (panel,) = layer_maps([*checks, *across])
    assert (panel.name, panel.entries) == ("cnn/0 → cnn/1", ((2,), (3,), (4,), (5,)))
    assert layer_maps([*across, (("cnn/0", "block2", "orthogonal"), layers[0][1])]) == []


def test_a_layer_that_is_compared_with_itself_only_is_no_row_of_a_map():
    first, second, embedding = [("cnn/0", name, "") for name in ("block1", "block2", "embedding")]
    within = [(first, first), (first, second), (second, first), (second, second)]
    (panel,) = layer_maps([*within, (embedding, embedding)])
    assert (panel.rows, panel.columns) == (("block1", "block2"), ("block1", "block2"))
    assert panel.entries == ((0,), (1,), (2,), (3,))


def test_a_test_asked_in_both_directions_has_maps_and_one_with_other_columns_has_none():
    board, scores = evident_board()
    ways = ("as sender", "as receiver")
    directions = [replace(board.columns[0], id=f"identity/{way}", parent="identity") for way in ways]
    board = replace(board, columns=(*board.columns, *directions))
    assert [test.id for test in board.undivided] == ["identity", "sensitivity"]
    assert {block.test for block in evidence_of(board, scores).tests if block.maps} == {"identity"}


@pytest.mark.parametrize("field", ["tiebreak", "standard_error"])
def test_what_only_one_score_has_travels_with_gaps(evident, field):
    _, scores = evident
    changed = [replace(scores[0], **{field: 0.25}), *scores[1:]]
    kept = [line[field] for line in csv.DictReader(io.StringIO(scores_csv(changed)))]
    assert kept == ["0.25", *[""] * (len(scores) - 1)]


def test_a_warning_travels_at_the_place_of_its_score(evident):
    board, scores = evident
    changed = [scores[0], replace(scores[1], warnings="ill conditioned"), *scores[2:]]
    assert evidence_of(board, changed).tests[0].metrics["cka"].warnings == {"1": "ill conditioned"}


def test_a_score_stands_at_what_was_done_to_either_side():
    a, b = RepresentationRef(ModelRef("cnn", 0), "block1"), RepresentationRef(ModelRef("cnn", 1), "block2")
    changed = a.under(Named.of("noise", ratio=0.1)).reparametrised(Named.of("unit_permutation", seed=1))
    one, other = ("cnn/0", "block1", "unit_permutation noise(ratio=0.1)"), ("cnn/1", "block2", "")
    assert ScoreRow.place_of(Comparison(changed, b)) == (*one, *other)
    assert ScoreRow.place_of(Comparison(b, changed)) == (*other, *one)


def test_auxiliary_travel_with_their_scores(evident):
    board, scores = evident
    identity, invariance, _ = evidence_of(board, scores).tests
    count = len(invariance.comparisons)
    assert identity.metrics["cka"].auxiliary == {}
    assert invariance.metrics["cka"].auxiliary == {"p_value": [0.02] * count, "raw": [0.9] * count}
    alone = next(n for n, score in enumerate(scores) if (score.metric, score.test) == ("cka", "invariance"))
    rest = [
        replace(one, auxiliary={}) if one.test == "invariance" and n != alone else one for n, one in enumerate(scores)
    ]
    assert evidence_of(board, rest).tests[1].metrics["cka"].auxiliary["raw"] == [0.9, *[None] * (count - 1)]


def test_a_score_that_is_not_there_keeps_its_reason(evident):
    board, scores = evident
    changed = [
        score.__class__(**{**vars(score), "status": "error", "value": None, "reason": "no variance"})
        if n == 1 else score
        for n, score in enumerate(scores)
    ]  # fmt: skip
    mine = evidence_of(board, changed).tests[0].metrics["cka"]
    assert (mine.values[1], mine.problems) == (None, {"1": ("error", "no variance")})


def test_tallies_by_model_survive_the_document(evident):
    board, scores = evident
    document = json.loads(json.dumps(to_document(board, scores)))
    again = from_document(document)
    assert [row.row.verdicts["identity"].tallies for row in again.rows] == [
        row.row.verdicts["identity"].tallies for row in board.rows
    ]


def test_the_tables_of_scores_hold_the_same(evident):
    _, scores = evident
    lines = list(csv.DictReader(io.StringIO(scores_csv(scores))))
    table = pq.read_table(io.BytesIO(scores_parquet(scores))).to_pylist()
    assert len(lines) == len(table) == len(scores)
    for line, entry, score in zip(lines, table, scores, strict=True):
        assert (line["metric"], entry["metric"]) == (score.metric, score.metric)
        assert float(line["value"]) == entry["value"] == score.value
        assert line["auxiliary"] == entry["auxiliary"]
        assert json.loads(line["auxiliary"] or "{}") == score.auxiliary
    assert any(line["auxiliary"] for line in lines)


def test_tables_without_scores_keep_their_columns():
    assert pq.read_table(io.BytesIO(scores_parquet([]))).column_names == scores_csv([]).strip().split(",")


def test_the_overview_lists_every_suite_and_says_what_cannot_be_read(evident, tmp_path):
    board, scores = evident
    publish(board, tmp_path, scores)
    publish(board.__class__(**{**vars(board), "suite": "other"}), tmp_path, scores)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/leaderboard.json").write_text("{")
    readme, page = (path.read_text() for path in publish_overview(tmp_path))
    assert "[sanity@1](sanity/README.md)" in readme
    assert "[other@1](other/README.md)" in readme
    assert "cannot be read" in readme
    assert HOSTILE not in readme + page
    assert 'href="other/index.html"' in page


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.parent.name)
def test_a_published_leaderboard_of_this_repository_matches_the_schema(path):
    document = json.loads(path.read_text(encoding="utf-8"))
    Document.model_validate(document)
    assert document == json.loads(json.dumps(to_document(from_document(document))))
