"""What is behind a grade, in a real browser: words, figures, scores, side by side."""

from __future__ import annotations

import csv
import io

import pytest
from tests.board.evidence_boards import boards_of_other_kinds
from tests.publish.reader import Reader

from simbench.publish.folder import publish

pytestmark = pytest.mark.browser


def csv_of(reader, selector):
    text, name = reader.saved(selector)
    return list(csv.DictReader(io.StringIO(text))), name


def test_a_cell_opens_the_test_in_words_the_rule_and_the_heat_map_with_what_broke_it(read):
    reader = read()
    reader.cell("pwcca", "identity").click()
    dialog = reader.page.locator("dialog")
    said = dialog.inner_text()
    assert "No other layer is as similar to layer j as layer j itself." in said
    assert "the interval of the grade is >= 0.95" in said
    assert "cnn/0 2/3" in said
    dialog.get_by_text("How it is asked, settings, source").click()
    assert "Source: a paper, Eq. 1." in dialog.inner_text()
    # The mean of three models, 3 × 3 layers, one entry marked in all of them.
    assert dialog.locator("svg g[aria-label=cell] rect").count() == 9 + 1
    assert dialog.locator("svg").get_by_text("✗3").count() == 1
    dialog.locator("select").last.select_option("cnn/1")
    assert dialog.locator("svg").get_by_text("✗", exact=True).count() == 1
    assert "pair=cnn" in reader.hash()


def test_a_sweep_is_drawn_as_scores_with_one_line_per_seed_and_kind_of_pair(read):
    reader = read("test=sensitivity&metrics=pwcca")
    dialog = reader.page.locator("dialog")
    chart = dialog.locator(".chart").first
    assert chart.locator(".key").all_inner_texts() == ["permuted=True", "itself"]
    assert chart.locator("svg g[aria-label=line] path").count() == 3 * 2
    assert chart.locator("svg").get_by_text("rho", exact=True).count() == 1
    lines, _ = csv_of(reader, "dialog .chart .quiet >> nth=1")
    told = {(one["pair"], float(one["rho"]), float(one["score"])) for one in lines}
    assert told == {("permuted=True", rho, s) for rho in (5.0, 10.0, 20.0) for s in (0.0, 0.1, 0.2)} | {
        ("itself", rho, 1.0) for rho in (5.0, 10.0, 20.0)
    }
    # Only at the largest ρ did it break the rule.
    assert {one["rho"] for one in lines if one["breaks_rule"] == "true"} == {"20"}


def test_the_margins_of_a_sweep_are_there_too(read):
    reader = read("test=sensitivity&metrics=cka")
    dialog = reader.page.locator("dialog")
    dialog.get_by_text("Margins: by how far each question held").click()
    assert dialog.locator(".more .key").all_inner_texts() == ["seed 0", "seed 1", "seed 2"]
    assert dialog.locator(".more svg g[aria-label=line] path").count() == 3


def test_every_map_says_what_its_colours_mean(read):
    reader = read("test=identity&metrics=cka")
    assert reader.page.locator("dialog svg .scale text").all_text_contents() == ["0.60", "1.00 most similar"]


@pytest.fixture(scope="session")
def others(tmp_path_factory):
    """The page of a suite of other kinds of tests."""
    folder = tmp_path_factory.mktemp("others")
    board, scores = boards_of_other_kinds()
    publish(board, folder, scores)
    return folder / "others"


@pytest.mark.parametrize(
    ("test", "figures"),
    [
        # A scatter of six pairs per reference variable, and a bar for each.
        ("output_correlation", [("accuracy difference", 6), ("disagreement", 6), ("grade", 2)]),
        ("output_correlation/disagreement", [("disagreement", 6)]),
        # Two strips, of six pairs and of three.
        ("group_separation", [("score (higher: more similar)", 6 + 3), ("grade", 1)]),
        ("noise_null", [("grade", 2), ("credit (1: all right)", 6)]),
        # By model; what each question earned; scores by what was compared.
        ("far_pair", [("grade", 3), ("credit (1: all right)", 3), ("score (higher: more similar)", 6)]),
        # A mean over models; no layer is compared with itself.
        ("layer_monotonicity", [("to layer j →", 9)]),
    ],
)
def test_the_figures_follow_from_the_evidence(browser, others, test, figures):
    reader = Reader(browser, others, f"test={test}&metrics=cka")
    svgs = reader.page.locator("dialog .chart svg")
    parts = "g[aria-label=dot] path, g[aria-label=dot] circle, g[aria-label=bar] rect, g[aria-label=cell] rect"
    assert [svg.locator(parts).count() for svg in svgs.all()] == [count for _, count in figures]
    for svg, (axis, _) in zip(svgs.all(), figures, strict=True):
        assert svg.get_by_text(axis, exact=True).count() == 1
    assert reader.page.locator("dialog .chart .quiet").count() == 2 * len(figures)
    assert reader.errors == []
    reader.context.close()


def test_transforms_are_drawn_as_bars_and_every_question_as_a_mark(read):
    reader = read("test=invariance&metrics=procrustes")
    svgs = reader.page.locator("dialog svg")
    assert svgs.count() == 2
    assert svgs.first.locator("g[aria-label=bar] rect").count() == 3
    assert svgs.last.locator("g[aria-label=dot] path, g[aria-label=dot] circle").count() == 9


def test_two_or_three_metrics_stand_side_by_side(read):
    reader = read("test=identity&metrics=cka&metrics=pwcca&metrics=procrustes")
    sections = reader.page.locator("dialog .one")
    assert sections.count() == 3
    boxes = [sections.nth(place).bounding_box() for place in range(3)]
    assert len({round(box["y"]) for box in boxes}) == 1
    reader.page.locator("dialog select").nth(3).select_option("")
    assert reader.page.locator("dialog h3").all_inner_texts() == ["cka", "pwcca"]


def test_what_was_skipped_failed_or_is_missing_is_explained(read):
    reader = read()
    for metric, heading, word, reason in (
        ("kl", "identity", "skip", "this metric is defined at the head only"),
        ("broken", "invariance", "missing", "the run was interrupted"),
    ):
        cell = reader.cell(metric, heading)
        assert cell.inner_text().strip() == word
        cell.click()
        assert reason in reader.page.locator("dialog").inner_text()
        reader.page.keyboard.press("Escape")


def test_a_figure_and_the_scores_behind_it_can_be_saved(read, published):
    reader = read("test=identity&metrics=pwcca&metrics=cka")
    svg, name = reader.saved("dialog .quiet")
    assert (name, svg[:4]) == ("sanity-identity-pwcca.svg", "<svg")
    assert "var(" not in svg
    text, _ = reader.saved("dialog .actions button")
    lines = list(csv.DictReader(io.StringIO(text)))
    stored = csv.DictReader((published / "scores.csv").open(encoding="utf-8"))
    told = [one for one in stored if one["test"] == "identity" and one["metric"] in ("pwcca", "cka")]
    values = sorted((one["metric"], one["a_layer"], one["b_layer"], one["b_model"], one["value"]) for one in told)
    assert [value[:4] for value in values] == sorted(
        (one["metric"], one["a_layer"], one["b_layer"], one["b_model"]) for one in lines
    )
    assert sum(float(one["value"]) for one in lines) == pytest.approx(sum(float(v[4]) for v in values), rel=1e-5)
    assert sum(one["breaks_rule"] == "true" for one in lines) == 3


def test_what_came_with_a_score_stands_beside_it(read):
    reader = read("test=invariance&metrics=procrustes")
    reader.page.locator("dialog details.scores summary").click()
    assert "p value=0.02; raw=0.9" in reader.page.locator("dialog details.scores td").nth(4).inner_text()
    text, _ = reader.saved("dialog .actions button")
    assert {line["auxiliary"] for line in csv.DictReader(io.StringIO(text))} == {"p_value=0.02; raw=0.9"}
