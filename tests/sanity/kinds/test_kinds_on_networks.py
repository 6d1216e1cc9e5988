"""The test kinds on real networks and real metrics: what is known of the metrics comes out."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.shared_runs import run_shared

from simbench.board.board import Board
from simbench.registry import METRICS
from simbench.verdicts.verdict import Verdict

SUITE = """\
suite: kinds
version: 1
probe: {dataset: digits, split: test, inputs: 300, fit: {split: train, inputs: 600}}
models:
  mlp:
    architecture: {name: mlp, width: 24, depth: 4}
    train: {dataset: digits, epochs: 6, learning_rate: 0.01}
    seeds: [0, 1, 2]
  untrained:
    architecture: {name: mlp, width: 24, depth: 4}
    train: {dataset: digits, epochs: 0}
    seeds: [0]
metrics: [cka, cka_debiased, cca, procrustes, match_semi, {name: subspace_match, epsilon: 0.3}, stitch_direct, kl]
tests:
  - {id: far, kind: far_pair, models: [mlp]}
  - {id: noise, kind: noise_null, models: [mlp], layers: 2}
  - {id: response, kind: noise_response, models: [mlp], layers: 2}
  - {id: copies, kind: matching_recovery, models: [mlp], layers: 2}
  - {id: size, kind: sample_size, models: [mlp], layers: 2, inputs: [50, 150], features: 32, draws: 2}
  - {id: outliers, kind: outliers, models: [mlp], layers: 2, shares: [0.01, 0.05], distance: 10.0}
  - {id: axioms, kind: axioms, models: [mlp], layers: 2}
  - {id: native, kind: in_distribution, models: [mlp], layers: 2}
  - {id: control, kind: untrained_control, models: [mlp, untrained]}
  - {id: overlap, kind: partial_overlap, seeds: [0, 1]}
"""


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory, shared_store: Path) -> Board:
    path = tmp_path_factory.mktemp("kinds") / "kinds.yaml"
    path.write_text(SUITE)
    with METRICS.isolated():
        result = run_shared(str(path), shared_store)
    assert result.work.failures == ()
    return result.board


def verdict(board: Board, metric: str, test: str) -> Verdict:
    rows = {ranked.row.metric.label.partition("(")[0]: ranked.row for ranked in board.rows}
    return rows[metric].verdicts[test]


def grade(board: Board, metric: str, test: str) -> float:
    found = verdict(board, metric, test)
    assert found.grade is not None, found.reason
    return found.grade


def test_every_test_is_graded_or_skipped_with_a_reason(board: Board) -> None:
    for ranked in board.rows:
        for test, found in ranked.row.verdicts.items():
            assert found.status in ("ok", "skip"), (ranked.row.metric.label, test, found.reason)
            assert found.status == "ok" or found.reason


def test_biased_indices_see_independent_data_as_similar_when_there_are_few_rows(board: Board) -> None:
    assert grade(board, "cka_debiased", "size/across sizes") == 1.0
    assert grade(board, "cca", "size/across sizes") < 0.6
    assert grade(board, "cka", "size/across sizes") < grade(board, "cka_debiased", "size/across sizes")


def test_a_few_outliers_decide_what_cka_sees(board: Board) -> None:
    assert grade(board, "cka", "outliers") < 0.2
    assert grade(board, "cca", "outliers") > 0.7


def test_all_fall_with_noise_and_have_nothing_in_common_with_it(board: Board) -> None:
    for metric in ("cka", "cca", "procrustes", "match_semi"):
        assert grade(board, metric, "response") == 1.0
        assert grade(board, metric, "noise/iid_noise") > 0.8


def test_metrics_keep_what_they_declare(board: Board) -> None:
    for metric in ("cka", "cca", "procrustes", "match_semi"):
        assert grade(board, metric, "axioms") == 1.0
        assert grade(board, metric, "copies") >= 0.9


def test_the_maximum_match_reads_as_the_share_of_common_units(board: Board) -> None:
    found = verdict(board, "subspace_match", "overlap")
    assert found.grade == 1.0
    assert found.auxiliary["distance_from_share_rotated"] < 0.02
    assert grade(board, "match_semi", "overlap/permuted") == 1.0
    one_to_one = verdict(board, "match_semi", "overlap").auxiliary
    assert one_to_one["distance_from_share_rotated"] > 2 * one_to_one["distance_from_share_permuted"]


def test_only_maps_are_asked_for_activations(board: Board) -> None:
    assert verdict(board, "cka", "native").status == "skip"
    found = verdict(board, "stitch_direct", "native")
    assert found.status == "ok", found.reason
    assert found.auxiliary["auroc_self"] == pytest.approx(0.5, abs=0.05)


def test_trained_networks_have_more_in_common_than_with_an_untrained_one(board: Board) -> None:
    assert grade(board, "cka", "control") > 0.8


def test_metrics_of_the_head_are_asked_where_there_is_a_head(board: Board) -> None:
    assert verdict(board, "kl", "overlap").status == "skip"
    assert verdict(board, "kl", "axioms").status == "ok"
