"""The matrix in a real browser, opened from `file://`: what a reader does with it, and what it must never do."""

from __future__ import annotations

import csv
import io
import json

import pytest
from tests.board.evidence_boards import HOSTILE

pytestmark = pytest.mark.browser


def test_names_reasons_and_titles_that_carry_scripts_are_text(read):
    reader = read()
    assert HOSTILE in reader.shown()
    assert reader.page.locator("p.lead").inner_text() == HOSTILE
    reader.page.get_by_role("button", name=HOSTILE, exact=True).click()
    assert reader.page.locator("dialog h2").inner_text() == HOSTILE
    reader.page.locator("dialog .verdicts button").first.click()
    assert reader.page.locator("dialog svg").count() == 1
    reader.page.keyboard.press("Escape")
    reader.cell("broken", "identity").click()
    assert HOSTILE in reader.page.locator("dialog .reason").inner_text()
    assert reader.page.locator("img").count() == 0


def test_headings_sort_and_say_so(read):
    reader = read()
    assert reader.heading("#tier").get_attribute("aria-sort") == "ascending"
    published = reader.shown()
    reader.heading("#metric").get_by_role("button").click()
    units = sorted(published[:5], key=str.lower)
    assert reader.shown() == [*units, "kl"]
    reader.heading("#metric").get_by_role("button").click()
    assert reader.shown() == [*reversed(units), "kl"]
    assert reader.heading("#metric").get_attribute("aria-sort") == "descending"
    assert reader.heading("#tier").get_attribute("aria-sort") is None
    reader.heading("identity").get_by_role("button").click()
    assert reader.heading("identity").get_attribute("aria-sort") == "descending"
    assert reader.shown()[0] == published[0]


def test_search_filters_and_the_count_of_what_is_shown(read):
    reader = read()
    output = reader.page.locator("#shown")
    assert output.inner_text() == "6 of 6 metrics, 3 of 6 grade columns shown"
    reader.page.locator("#search").fill("cca")
    assert reader.shown() == ["pwcca"]
    assert output.inner_text().startswith("1 of 6 metrics")
    reader.page.locator("#search").fill("nothing like it")
    assert reader.shown() == []
    assert reader.page.locator("#nothing").is_visible()
    reader.page.locator("#search").fill("")
    reader.page.locator('[data-menu="family"] summary').click()
    reader.page.get_by_label("CCA", exact=True).check()
    reader.page.get_by_label("shape", exact=True).check()
    assert sorted(reader.shown()) == ["procrustes", "pwcca"]
    reader.page.locator("#reset").click()
    reader.page.locator('[data-menu="interface"] summary').click()
    reader.page.get_by_label("model-based", exact=True).check()
    assert reader.shown() == ["kl"]
    reader.page.locator("#reset").click()
    reader.page.locator('[data-menu="purpose"] summary').click()
    reader.page.get_by_label("distribution", exact=True).check()
    assert reader.shown() == ["kl"]
    assert reader.page.locator("tr.line:visible").all_inner_texts() == [
        "distribution: do both stand for one distribution of labels?"
    ]
    reader.page.locator("#reset").click()
    reader.page.locator('[data-menu="kind"] summary').click()
    reader.page.locator('input[name="kind"][value="identity"]').check()
    assert [id for id in reader.headings() if not id.startswith("#")] == ["identity"]


def test_columns_are_chosen(read):
    reader = read()
    assert "invariance/orthogonal" not in reader.headings()
    reader.page.locator('[data-menu="columns"] summary').click()
    reader.page.locator('input[name="column"][value="invariance/orthogonal"]').check()
    reader.page.locator('input[name="column"][value="#passed"]').uncheck()
    assert "invariance/orthogonal" in reader.headings()
    assert "#passed" not in reader.headings()


def test_what_is_chosen_is_in_the_address_and_survives_a_reload(read):
    reader = read()
    reader.page.locator("#search").fill("c")
    reader.heading("identity").get_by_role("button").click()
    reader.page.locator('[data-menu="columns"] summary').click()
    reader.page.locator('input[name="column"][value="#undecided"]').uncheck()
    reader.cell("pwcca", "identity").click()
    reader.page.locator("dialog select").nth(2).select_option("cka")
    before = (reader.hash(), reader.shown(), reader.headings())
    reader.page.reload()
    assert (reader.hash(), reader.shown(), reader.headings()) == before
    assert reader.page.locator("dialog .one").count() == 2
    other = read(reader.hash()[1:])
    assert other.shown() == reader.shown()
    assert other.page.locator("dialog h3").all_inner_texts() == ["pwcca", "cka"]


@pytest.mark.parametrize(
    "hash", ["sort=nothing&search=%00", "test=nothing&metrics=nobody", "%%%&family=%E0%A4", "hide=x"]
)
def test_an_address_that_makes_no_sense_shows_the_board(read, hash):
    assert len(read(hash).shown()) in (0, 6)


def test_the_csv_is_what_is_shown_and_what_the_json_says(read, published):
    reader = read("sort=-identity&hide=%23undecided&show=invariance/orthogonal&search=c")
    text, name = reader.saved("#csv")
    lines = list(csv.DictReader(io.StringIO(text)))
    assert name == "sanity.csv"
    assert [line["metric"].removeprefix("'") for line in lines] == reader.shown()
    ids = [id for id in reader.headings() if not id.startswith("#")]
    assert [key.removesuffix(" grade") for key in lines[0] if key.endswith(" grade")] == ids
    assert "undecided" not in lines[0]
    rows = {row["metric"]: row for row in json.loads((published / "leaderboard.json").read_text())["rows"]}
    for line in lines:
        row = rows[line["metric"]]
        for id in ids:
            cell = row["tests"][id]
            assert (
                line[f"{id} grade"] == ""
                if cell["grade"] is None
                else float(line[f"{id} grade"]) == pytest.approx(cell["grade"], rel=1e-5)
            )
            assert line[f"{id} verdict"] == cell["outcome"]
            assert line[f"{id} reason"] == (cell["reason"] or "")
