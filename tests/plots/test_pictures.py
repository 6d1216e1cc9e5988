"""What each picture shows, read from its matplotlib objects; that its bytes repeat; that nothing hides."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from dataclasses import replace
from typing import cast

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from tests.plots.conftest import COLUMNS, CORRESPONDENCE, IDENTITY, VALUES, graded, info, place, row, with_rows

from simbench.board.board import Board, BoardColumn, Row
from simbench.board.evidence import Evidence, evidence_of
from simbench.board.layer_grids import HeatMap, LayerMap, heat_map, maps_of_test
from simbench.board.scores import ScoreRow
from simbench.board.standing import board_of
from simbench.errors import UnknownNameError
from simbench.plots.fingerprints import fingerprints
from simbench.plots.gallery import gallery
from simbench.plots.grades import grades
from simbench.plots.heat_maps import heat_maps
from simbench.plots.standing import standing
from simbench.plots.style import BLUE, LOOKS, ORANGE, VERMILLION, Format, rendered
from simbench.references import Comparison


def texts(figure: Figure) -> list[str]:
    """Everything that is written in a picture."""
    from matplotlib.text import Text

    return [one.get_text() for one in figure.findobj(Text) if one.get_text()]


def ranked(board: Board, label: str):
    return next(one for one in board.rows if one.row.metric.label == label)


def test_all_pictures_are_made(board: Board, evidence: Evidence) -> None:
    assert list(gallery(board, evidence)) == [
        "grades", "standing", "invariance", "heatmaps-identity", "heatmaps-identity-models", "heatmaps-correspondence",
    ]  # fmt: skip


def test_without_scores_there_are_no_heat_maps(board: Board) -> None:
    assert list(gallery(board, None)) == ["grades", "standing", "invariance"]


@pytest.mark.parametrize(
    ("name", "form"),
    [("grades", "png"), ("standing", "svg"), ("invariance", "pdf"), ("heatmaps-identity", "svg")],
)
def test_the_same_board_gives_the_same_bytes(board: Board, evidence: Evidence, name: str, form: Format) -> None:
    assert rendered(gallery(board, evidence)[name], form) == rendered(gallery(board, evidence)[name], form)


def test_the_bytes_do_not_depend_on_what_the_user_configured(board: Board, evidence: Evidence) -> None:
    before = rendered(gallery(board, evidence)["grades"], "svg")
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "red", "figure.dpi": 30}):
        assert rendered(gallery(board, evidence)["grades"], "svg") == before


@pytest.mark.parametrize(("form", "dated"), [("svg", b"<dc:date>"), ("png", b"Software"), ("pdf", b"/CreationDate")])
def test_pictures_hold_no_date_and_no_version(board: Board, form: Format, dated: bytes) -> None:
    assert dated not in rendered(gallery(board, None)["grades"], form)


def maps_of(evidence: Evidence, test: BoardColumn, label: str) -> tuple[LayerMap, HeatMap]:
    return next(
        (grid, heat_map(grid, block.metrics[label]))
        for grid, block in maps_of_test(evidence, test.id)
        if label in block.metrics
    )


def drawn(board: Board, evidence: Evidence, test: BoardColumn, *labels: str) -> Figure:
    grid, block = next(one for one in maps_of_test(evidence, test.id) if labels[0] in one[1].metrics)
    return heat_maps(test, [ranked(board, label) for label in labels], grid, block)


def test_a_heat_map_holds_the_scores_sender_by_receiver(evidence: Evidence) -> None:
    assert np.array_equal(maps_of(evidence, IDENTITY, "confused")[1].mean, VALUES["confused"])


def test_over_several_pairs_of_models_it_is_their_mean_and_says_of_how_many(board: Board, evidence: Evidence) -> None:
    grid, found = maps_of(evidence, CORRESPONDENCE, "sound")
    assert found.mean == pytest.approx(np.array(VALUES["sound"]) + 0.1)
    assert grid.name == "mean of 3 pairs of models, cnn → cnn"
    assert "correspondence: mean of 3 pairs of models, cnn → cnn" in texts(
        drawn(board, evidence, CORRESPONDENCE, "sound")
    )


def test_what_has_no_score_is_no_part_of_a_mean(board: Board, scores: list[ScoreRow]) -> None:
    gone = {"cnn/0": "block1", "cnn/1": "block1", "cnn/2": "block1"}
    holed = [
        replace(one, status="skip", value=None)
        if one.test == "correspondence" and one.b_layer == gone[one.b_model] and one.a_layer == "block3"
        else replace(one, status="skip", value=None)
        if one.test == "correspondence" and (one.a_model, one.a_layer, one.b_layer) == ("cnn/0", "block1", "block1")
        else one
        for one in scores
    ]
    found = maps_of(evidence_of(board, holed), CORRESPONDENCE, "sound")[1]
    assert np.isnan(found.mean[2, 0])
    assert found.mean[0, 0] == pytest.approx(VALUES["sound"][0][0] + 0.15)


def test_bright_is_similar_also_where_lower_values_are(board: Board, evidence: Evidence) -> None:
    image = drawn(board, evidence, IDENTITY, "far").axes[0].images[0].get_array()
    assert np.asarray(image).argmax(axis=0).tolist() == [0, 1, 2]


def test_every_map_says_its_scale_from_least_to_most_similar(board: Board, evidence: Evidence) -> None:
    written = texts(drawn(board, evidence, IDENTITY, "far", "sound"))
    assert any(text.endswith("2 to 0") for text in written)
    assert any(text.endswith("0.2 to 1") for text in written)


def test_violating_entries_are_marked_and_no_others(evidence: Evidence) -> None:
    assert np.argwhere(maps_of(evidence, IDENTITY, "confused")[1].broken).tolist() == [[0, 1]]
    assert not maps_of(evidence, IDENTITY, "sound")[1].broken.any()


def test_marks_stand_on_their_entry(board: Board, evidence: Evidence) -> None:
    axes = drawn(board, evidence, IDENTITY, "confused").axes[0]
    assert [(text.get_text(), text.get_position()) for text in axes.texts] == [("×", (1, 0))]


def test_a_mark_on_a_mean_says_in_how_many_maps(scores: list[ScoreRow]) -> None:
    breaking = [Comparison(place(a, "block1"), place(b, "block2")) for a, b in ((0, 1), (2, 0))]
    verdict = graded(0.5, *breaking)
    board = with_rows([Row(info("sound"), dict.fromkeys((column.id for column in COLUMNS), verdict), 9, 1.0)])
    axes = drawn(board, evidence_of(board, scores), CORRESPONDENCE, "sound").axes[0]
    assert [(text.get_text(), text.get_position()) for text in axes.texts] == [("2", (1, 0))]


def test_a_metric_whose_scores_all_failed_says_why_in_its_panel(scores: list[ScoreRow]) -> None:
    board = with_rows([row("sound", None, None, None, None, None)])
    failed = [replace(one, status="skip", value=None) for one in scores if one.metric == "sound"]
    assert "does not apply" in texts(drawn(board, evidence_of(board, failed), IDENTITY, "sound"))


def test_metrics_of_the_head_have_a_map_of_models(board: Board, evidence: Evidence) -> None:
    grid, found = maps_of(evidence, IDENTITY, "headed")
    assert (grid.of_models, grid.rows) == (True, ("cnn/0", "cnn/1"))
    assert found.mean.tolist() == [[1, 0], [0, 1]]
    assert "headed" not in texts(gallery(board, evidence)["heatmaps-identity"]())


def test_transformed_representations_fill_no_map(board: Board, scores: list[ScoreRow]) -> None:
    changed = evidence_of(board, [replace(one, a_change="orthogonal") for one in scores])
    assert [name for name in gallery(board, changed) if name.startswith("heatmaps")] == []


def test_every_metric_and_test_is_in_the_grades(board: Board) -> None:
    figure = grades(board)
    assert {"sound", "confused", "far", "headed", "identity", "correspondence", "invariance"} <= set(texts(figure))


def test_a_cell_without_a_grade_says_so(board: Board) -> None:
    assert "skip" in texts(grades(board))


def test_pass_and_fail_differ_in_shape_and_filling_too() -> None:
    assert LOOKS["pass"]["marker"] != LOOKS["fail"]["marker"]
    assert LOOKS["pass"]["markerfacecolor"] != LOOKS["fail"]["markerfacecolor"]


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


def test_the_standing_is_drawn_by_purpose_and_tier_with_who_is_not_placed(board: Board) -> None:
    found = texts(standing(board))
    assert {"units", "distribution", "tier 1", "not placed", "sound", "far", "confused", "headed"} <= set(found)
    assert found.count("tier 1") == 1


def test_a_broken_promise_is_marked_in_the_standing(board: Board) -> None:
    assert not any(text.startswith("× ") for text in texts(standing(board)))
    rows = [one.row for one in board.rows]
    broken = replace(rows[0].verdicts["invariance/orthogonal"], owed="promised", passed=False)
    rows[0] = replace(rows[0], verdicts={**rows[0].verdicts, "invariance/orthogonal": broken})
    assert "× 1" in texts(standing(board_of("sanity", 1, "", board.columns, rows, {})))


def test_a_fingerprint_has_a_bar_per_transform(board: Board) -> None:
    figure = fingerprints(board, [ranked(board, "far")])
    assert [cast(Rectangle, bar).get_width() for bar in figure.axes[0].patches] == [1.0, 0.4]
    assert {"orthogonal", "invertible linear"} <= set(texts(figure))


def test_a_grade_of_zero_is_seen(board: Board) -> None:
    axes = fingerprints(board, [ranked(board, "confused")]).axes[0]
    assert any(line.get_color() == VERMILLION for line in axes.lines)


def test_names_of_others_are_letters_and_no_formulas() -> None:
    label = "$\\frac{1}{0}$ <b>_x_"
    board = with_rows([row(label, 1.0, 1.0, 1.0, 1.0, 1.0), row("cka", 1.0, 1.0, 1.0, 1.0, 1.0)])
    for draw in gallery(board, None).values():
        assert rendered(draw, "svg")


def test_labels_do_not_overlap_in_the_grades(board: Board) -> None:
    figure = grades(board)
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert all(not one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])


def test_nothing_is_cut_off_at_the_edge(board: Board, evidence: Evidence) -> None:
    for name, draw in gallery(board, evidence).items():
        pixels = np.asarray(Image.open(io.BytesIO(rendered(draw, "png"))).convert("L"))
        edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert edge.min() > 250, name


def test_many_metrics_go_to_several_pictures(evidence: Evidence) -> None:
    board = with_rows([row(f"m{number}", 1.0, 1.0, 1.0, 1.0, 1.0) for number in range(20)])
    assert [name for name in gallery(board, evidence) if name.startswith("invariance")] == [
        "invariance-1",
        "invariance-2",
    ]


def test_chosen_metrics_and_tests_only(board: Board, evidence: Evidence) -> None:
    pictures = gallery(board, evidence, metrics=["far", "sound"], tests=["identity"])
    assert "heatmaps-correspondence" not in pictures
    assert "confused" not in texts(pictures["heatmaps-identity"]())


@pytest.mark.parametrize(
    ("chosen", "message"), [({"metrics": ["soud"]}, '"sound"'), ({"tests": ["identty"]}, '"identity"')]
)
def test_an_unknown_name_gets_the_nearest_one(board: Board, chosen: dict[str, list[str]], message: str) -> None:
    with pytest.raises(UnknownNameError, match=re.escape(f"did you mean {message}")):
        gallery(board, None, **chosen)


def test_a_board_of_no_rows_can_be_drawn() -> None:
    assert list(gallery(with_rows([]), None)) == ["grades"]
    assert rendered(gallery(with_rows([]), None)["grades"], "png")
    assert COLUMNS[0] is IDENTITY


@pytest.mark.process
def test_drawing_imports_neither_torch_nor_models_nor_the_runner() -> None:
    code = (
        "import sys, simbench.plots.gallery;"
        "bad = {'torch', 'simbench.run', 'simbench.models', 'simbench.cli', 'matplotlib.pyplot'} & set(sys.modules);"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
