"""What each picture shows, read from its matplotlib objects; that its bytes repeat; that nothing hides."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image
from tests.plots.conftest import COLUMNS, IDENTITY, LAYERS, VALUES, info, row, with_rows

from simbench.errors import UnknownNameError
from simbench.leaderboard.board import Board
from simbench.leaderboard.scores import ScoreRow
from simbench.plots.fingerprints import fingerprints
from simbench.plots.gallery import gallery
from simbench.plots.grades import grades
from simbench.plots.heat_maps import heat_map, heat_maps, model_pairs
from simbench.plots.ranks import critical_difference, joined, rank_plot, ranks_by_test
from simbench.plots.style import BLUE, LOOKS, ORANGE, VERMILLION, Format, rendered


def texts(figure: Figure) -> list[str]:
    """Everything that is written in a picture."""
    from matplotlib.text import Text

    return [one.get_text() for one in figure.findobj(Text) if one.get_text()]


def ranked(board: Board, label: str):
    return next(one for one in board.rows if one.row.metric.label == label)


def test_all_pictures_are_made(board: Board, rows: list[ScoreRow]) -> None:
    assert list(gallery(board, rows)) == [
        "grades", "ranks", "invariance", "heatmaps-identity", "heatmaps-correspondence",
    ]  # fmt: skip


def test_without_scores_there_are_no_heat_maps(board: Board) -> None:
    assert list(gallery(board, [])) == ["grades", "ranks", "invariance"]


@pytest.mark.parametrize(
    ("name", "form"),
    [("grades", "png"), ("ranks", "svg"), ("invariance", "pdf"), ("heatmaps-identity", "svg")],
)
def test_the_same_board_gives_the_same_bytes(board: Board, rows: list[ScoreRow], name: str, form: Format) -> None:
    assert rendered(gallery(board, rows)[name], form) == rendered(gallery(board, rows)[name], form)


def test_the_bytes_do_not_depend_on_what_the_user_configured(board: Board, rows: list[ScoreRow]) -> None:
    before = rendered(gallery(board, rows)["grades"], "svg")
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "red", "figure.dpi": 30}):
        assert rendered(gallery(board, rows)["grades"], "svg") == before


@pytest.mark.parametrize(("form", "dated"), [("svg", b"<dc:date>"), ("png", b"Software"), ("pdf", b"/CreationDate")])
def test_pictures_hold_no_date_and_no_version(board: Board, form: Format, dated: bytes) -> None:
    assert dated not in rendered(gallery(board, [])["grades"], form)


def test_a_heat_map_holds_the_scores_sender_by_receiver(board: Board, rows: list[ScoreRow]) -> None:
    found = heat_map(rows, ranked(board, "confused"), IDENTITY, ("cnn/0", "cnn/0"), LAYERS)
    assert np.array_equal(found.similarity, VALUES["confused"])


def test_a_distance_is_turned_round_so_that_bright_is_similar_everywhere(board: Board, rows: list[ScoreRow]) -> None:
    found = heat_map(rows, ranked(board, "far"), IDENTITY, ("cnn/0", "cnn/0"), LAYERS)
    assert found.similarity.argmax(axis=0).tolist() == [0, 1, 2]
    assert (found.low, found.high) == (0.0, 2.0)


def test_the_range_reads_from_least_to_most_similar(board: Board, rows: list[ScoreRow]) -> None:
    figure = heat_maps(IDENTITY, [ranked(board, "far"), ranked(board, "sound")], rows)
    assert any("(2 to 0)" in text for text in texts(figure))
    assert any("(0.2 to 1)" in text for text in texts(figure))


def test_offending_entries_are_marked_and_no_others(board: Board, rows: list[ScoreRow]) -> None:
    found = heat_map(rows, ranked(board, "confused"), IDENTITY, ("cnn/0", "cnn/0"), LAYERS)
    assert found.offending == ((0, 1),)
    assert heat_map(rows, ranked(board, "sound"), IDENTITY, ("cnn/0", "cnn/0"), LAYERS).offending == ()


def test_marks_stand_on_their_entry(board: Board, rows: list[ScoreRow]) -> None:
    axes = heat_maps(IDENTITY, [ranked(board, "confused")], rows).axes[0]
    assert {(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in axes.lines} == {(1.0, 0.0)}


def test_a_metric_without_scores_says_why_in_its_panel(board: Board, rows: list[ScoreRow]) -> None:
    skipped = with_rows([row("other", None, None, None, None, None)]).rows
    assert "does not apply" in texts(heat_maps(IDENTITY, skipped, rows))


def test_within_one_model_and_across_two(rows: list[ScoreRow]) -> None:
    pairs = {test: model_pairs([one for one in rows if one.test == test]) for test in ("identity", "correspondence")}
    assert pairs == {"identity": [("cnn/0", "cnn/0")], "correspondence": [("cnn/0", "cnn/1")]}


def test_transformed_representations_are_no_part_of_a_heat_map(rows: list[ScoreRow]) -> None:
    assert model_pairs([replace(one, a_change="orthogonal") for one in rows]) == []


def test_every_metric_and_test_is_in_the_grades(board: Board) -> None:
    figure = grades(board)
    assert {"sound", "confused", "far", "headed", "identity", "correspondence", "invariance"} <= set(texts(figure))


def test_a_cell_without_a_grade_says_so(board: Board) -> None:
    assert "skip" in texts(grades(board))


def test_pass_and_fail_differ_in_shape_and_filling_too() -> None:
    assert LOOKS["passed"]["marker"] != LOOKS["failed"]["marker"]
    assert LOOKS["passed"]["markerfacecolor"] != LOOKS["failed"]["markerfacecolor"]


def lightness(colour: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", [BLUE, VERMILLION])
def test_colours_are_seen_on_white(colour: str) -> None:
    assert 1.05 / (lightness(colour) + 0.05) >= 3


def test_colours_of_verdicts_differ_to_those_who_see_no_red() -> None:
    """Viénot, Brettel and Mollon's (1999) protanopic view, in linear RGB."""
    view = np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]])
    seen = [view @ np.array(to_rgb(colour)) for colour in (BLUE, VERMILLION, ORANGE)]
    assert min(np.abs(one - other).max() for i, one in enumerate(seen) for other in seen[:i]) > 0.2


def test_the_rank_plot_leaves_out_what_is_not_ranked_and_says_so(board: Board) -> None:
    found = texts(rank_plot(board))
    assert "headed" not in found
    assert any("not graded on every test, and so not ranked: 1" in text for text in found)


def test_ranks_of_single_tests_average_to_the_mean_rank(board: Board) -> None:
    rows = [one for one in board.rows if one.mean_rank is not None]
    assert np.mean(ranks_by_test(board, rows), axis=0).tolist() == pytest.approx([one.mean_rank for one in rows])


@pytest.mark.parametrize(("metrics", "quantile"), [(2, 1.960), (5, 2.728), (10, 3.164)])
def test_the_critical_difference_has_demsars_quantiles(metrics: int, quantile: float) -> None:
    tests = 30
    assert critical_difference(metrics, tests) == pytest.approx(
        quantile * (metrics * (metrics + 1) / (6 * tests)) ** 0.5, rel=1e-3
    )


def test_groups_that_lie_within_another_are_not_drawn() -> None:
    assert joined([1, 1.5, 2, 5, 5.5], 2) == [range(0, 3), range(3, 5)]


def test_a_fingerprint_has_a_bar_per_transform(board: Board) -> None:
    figure = fingerprints(board, [ranked(board, "far")])
    assert [bar.get_width() for bar in figure.axes[0].patches] == [1.0, 0.4]
    assert {"orthogonal", "invertible linear"} <= set(texts(figure))


def test_a_grade_of_zero_is_seen(board: Board) -> None:
    axes = fingerprints(board, [ranked(board, "confused")]).axes[0]
    assert any(line.get_color() == VERMILLION for line in axes.lines)


def test_names_of_others_are_letters_and_no_formulas() -> None:
    label = "$\\frac{1}{0}$ <b>_x_"
    board = with_rows([row(label, 1.0, 1.0, 1.0, 1.0, 1.0), row("cka", 1.0, 1.0, 1.0, 1.0, 1.0)])
    for draw in gallery(board, []).values():
        assert rendered(draw, "svg")


def test_labels_do_not_overlap_in_the_grades(board: Board) -> None:
    figure = grades(board)
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert all(not one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])


def test_nothing_is_cut_off_at_the_edge(board: Board, rows: list[ScoreRow]) -> None:
    for name, draw in gallery(board, rows).items():
        pixels = np.asarray(Image.open(io.BytesIO(rendered(draw, "png"))).convert("L"))
        edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert edge.min() > 250, name


def test_many_metrics_go_to_several_pictures(rows: list[ScoreRow]) -> None:
    board = with_rows([row(f"m{number}", 1.0, 1.0, 1.0, 1.0, 1.0) for number in range(20)])
    assert [name for name in gallery(board, rows) if name.startswith("invariance")] == ["invariance-1", "invariance-2"]


def test_chosen_metrics_and_tests_only(board: Board, rows: list[ScoreRow]) -> None:
    pictures = gallery(board, rows, metrics=["far", "sound"], tests=["identity"])
    assert "heatmaps-correspondence" not in pictures
    assert "confused" not in texts(pictures["heatmaps-identity"]())


@pytest.mark.parametrize(
    ("chosen", "message"), [({"metrics": ["soud"]}, '"sound"'), ({"tests": ["identty"]}, '"identity"')]
)
def test_an_unknown_name_gets_the_nearest_one(board: Board, chosen: dict[str, list[str]], message: str) -> None:
    with pytest.raises(UnknownNameError, match=re.escape(f"did you mean {message}")):
        gallery(board, [], **chosen)


def test_a_metric_of_the_head_has_no_map_of_layers(board: Board, rows: list[ScoreRow]) -> None:
    assert info("headed", level="head").level == "head"
    assert "headed" not in texts(gallery(board, rows)["heatmaps-identity"]())


def test_a_board_of_no_rows_can_be_drawn() -> None:
    assert list(gallery(with_rows([]), [])) == ["grades"]
    assert rendered(gallery(with_rows([]), [])["grades"], "png")
    assert COLUMNS[0] is IDENTITY


def test_drawing_imports_neither_torch_nor_models_nor_the_runner() -> None:
    code = (
        "import sys, simbench.plots.gallery;"
        "bad = {'torch', 'simbench.run', 'simbench.models', 'simbench.cli', 'matplotlib.pyplot'} & set(sys.modules);"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
