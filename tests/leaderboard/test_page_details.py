"""What is behind a grade, in a real browser: words, figures, scores, side by side."""

from __future__ import annotations

import csv
import io

import pytest

pytestmark = pytest.mark.browser


def test_a_cell_opens_the_test_in_words_the_rule_and_the_heat_map_with_what_broke_it(read):
    reader = read()
    reader.cell("pwcca", "identity").click()
    dialog = reader.page.locator("dialog")
    said = dialog.inner_text()
    assert "No other layer is as similar to layer j as layer j itself." in said
    assert "the grade is >= 0.95" in said
    assert "cnn/0 2/3" in said
    dialog.get_by_text("How it is asked, settings, source").click()
    assert "Source: a paper, Eq. 1." in dialog.inner_text()
    # The mean of three models, 3 × 3 layers, one entry marked in all of them.
    assert dialog.locator("svg g[aria-label=cell] rect").count() == 9 + 1
    assert dialog.locator("svg").get_by_text("✗3").count() == 1
    dialog.locator("select").last.select_option("cnn/1")
    assert dialog.locator("svg").get_by_text("✗", exact=True).count() == 1
    assert "pair=cnn" in reader.hash()


def test_a_sweep_is_drawn_with_one_line_per_seed(read):
    reader = read("test=sensitivity&metrics=cka")
    dialog = reader.page.locator("dialog")
    assert dialog.locator("svg g[aria-label=line] path").count() == 3
    assert dialog.locator(".key").all_inner_texts() == ["seed 0", "seed 1", "seed 2"]
    assert dialog.locator("svg").get_by_text("rho").count() == 1


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
