"""Publishing writes the same numbers as Markdown, JSON, CSV, Parquet and a page, and an overview of the suites."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from rich.console import Console
from tests.board.evidence_boards import evident_board

from simbench.board.cells import cell, state, threshold
from simbench.board.document import Document, to_document
from simbench.board.evidence import evidence_of
from simbench.board.layer_grids import heat_map
from simbench.declaration import range_text
from simbench.errors import SimbenchError
from simbench.publish.folder import publish
from simbench.publish.markdown import to_markdown
from simbench.publish.page import fragment, to_html
from simbench.publish.rendering import unpacked
from simbench.publish.tables import grades_csv
from simbench.publish.terminal import reasons
from simbench.verdicts.verdict import Verdict

HOSTILE = '<script>alert("x")</script>\'"> | `x` [y](javascript:z)'


class Reader(HTMLParser):
    """Tags with attributes, and the text of every table cell."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def hostile_board(make):
    """Names, reasons and provenance as somebody ill-meaning would choose them."""
    bad = Verdict("error", reason=HOSTILE)
    row = make.full_row(HOSTILE, 1.0, 1.0, 1.0, 1.0, summary=HOSTILE, formula=HOSTILE, origin=HOSTILE)
    row = replace(row, verdicts={**row.verdicts, "identity": bad})
    return make.board([row], about=HOSTILE, provenance={HOSTILE: HOSTILE})


def test_files_are_written_into_the_folder_of_the_suite_and_an_overview_above(make, tmp_path):
    paths = publish(make.board(), tmp_path)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in paths) == [
        "README.md", "index.html",
        "sanity/README.md", "sanity/index.html", "sanity/leaderboard.csv", "sanity/leaderboard.json",
        "sanity/scores.parquet",
    ]  # fmt: skip
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(paths)


def test_the_same_board_and_scores_give_the_same_bytes(tmp_path):
    first = [path.read_bytes() for path in publish(*reversed_arguments(tmp_path / "one"))]
    assert first == [path.read_bytes() for path in publish(*reversed_arguments(tmp_path / "two"))]


def reversed_arguments(folder):
    """A board made anew, the folder and the scores."""
    board, scores = evident_board()
    return board, folder, scores


def test_the_page_is_given_outcomes_bounds_ranges_and_means_and_derives_none():
    board, scores = evident_board()
    page = unpacked(to_html(board, scores).encode()).decode()
    starts = re.finditer(r'data-type="application/json"[^>]*>', page)
    parts = [json.JSONDecoder().raw_decode(page, start.end())[0] for start in starts]
    document = next(part for part in parts if "columns" in part)
    assert [column["threshold"] for column in document["columns"]] == list(map(threshold, board.columns))
    for ranked, record in zip(board.rows, document["rows"], strict=True):
        assert {name: of_test["state"] for name, of_test in record["tests"].items()} == {
            column.id: state(cell(ranked.row, column)) for column in board.columns
        }
        assert record["range"] == range_text(*record["declaration"]["value_range"])
    blocks = {part["test"]: part for part in parts if "test" in part}
    for block in evidence_of(board, scores).tests:
        for label, metric in block.metrics.items():
            means = blocks[block.test]["metrics"][label]["means"]
            assert [mean is None for mean in means] == [layout.pairs == 1 for layout in block.maps]
            for layout, mean in zip(block.maps, means, strict=True):
                assert mean is None or mean == pytest.approx(heat_map(layout, metric).mean.ravel().tolist(), rel=1e-5)
    assert any(block.maps[0].pairs > 1 for block in evidence_of(board, scores).tests if block.maps)


def test_nothing_is_written_outside_the_folder(make, tmp_path):
    with pytest.raises(SimbenchError, match="no name for a folder"):
        publish(make.board(suite="../elsewhere"), tmp_path / "inside")
    assert list(tmp_path.iterdir()) == []


def test_the_published_json_is_the_document(make, tmp_path):
    board, scores = evident_board()
    publish(board, tmp_path, scores)
    text = (tmp_path / "sanity/leaderboard.json").read_text()
    assert json.loads(text) == json.loads(json.dumps(to_document(board)))
    Document.model_validate_json(text)


def test_csv_has_one_line_per_metric_and_column(make):
    lines = list(csv.DictReader(io.StringIO(grades_csv(make.board()))))
    assert len(lines) == 7 * len(make.columns)
    line = next(line for line in lines if line["metric"] == "cka" and line["column"] == "orthogonal")
    assert (line["test"], line["grade"], line["outcome"], line["owed"]) == ("invariance", "0.8", "fail", "required")


def test_csv_leaves_unknown_values_empty(make):
    lines = list(csv.DictReader(io.StringIO(grades_csv(make.board()))))
    line = next(line for line in lines if line["metric"] == "my_metric" and line["test"] == "identity")
    assert (line["grade"], line["low"], line["outcome"], line["tier"]) == ("", "", "error", "")


def test_markdown_tables_keep_their_columns_whatever_the_names(hostile_board):
    lines = [line for line in to_markdown(hostile_board).splitlines() if line.startswith("| ")]
    headings, rule, row = (len(re.findall(r"(?<!\\)\|", line)) for line in lines[:3])
    assert headings == rule == row


def test_markdown_shows_marks_reasons_and_provenance(make):
    text = to_markdown(make.board())
    assert "| cka | 1 | ✓ 1.000 [0.95, 1.00] |" in text
    assert "identifiability_llv, identity, correspondence: skip: compares layers" in text
    assert "| versions | simbench 0.1.0, torch 2.4.0 |" in text


def test_names_and_reasons_cannot_put_html_into_markdown(hostile_board):
    assert not re.search(r"(?<!\\)<script", to_markdown(hostile_board))


@pytest.mark.parametrize("render", [to_html, fragment])
def test_names_and_reasons_cannot_put_a_script_into_the_page(hostile_board, render):
    reader = Reader(render(hostile_board))
    harmless = Reader(render(hostile_board.__class__(**{**vars(hostile_board), "rows": (), "about": ""})))
    scripts = [sum(tag == "script" for tag, _ in one.tags) for one in (reader, harmless)]
    assert scripts[0] == scripts[1] == (11 if render is to_html else 0)
    assert not any(name.startswith("on") for _, attributes in reader.tags for name in attributes)
    assert any(HOSTILE in text for text in reader.text)


@pytest.mark.parametrize("render", [to_html, fragment])
def test_the_page_needs_no_network(make, render):
    reader = Reader(render(make.board()))
    assert not {"link", "img", "iframe"} & {tag for tag, _ in reader.tags}
    targets = [value for _, attributes in reader.tags for name, value in attributes.items() if name in ("src", "href")]
    assert all(re.fullmatch(r"[\w.]+", target) for target in targets)
    assert all("default-src 'none'" in tag["content"] for name, tag in reader.tags if "http-equiv" in tag)
    styles = "".join(re.findall(r"<style.*?</style>", render(make.board()), re.DOTALL))
    assert "url(" not in styles
    assert "@import" not in styles


def test_the_page_shows_grade_interval_mark_and_reason(make):
    text = " ".join(" ".join(Reader(to_html(make.board())).text).split())
    assert "✓ 0.987 [0.94, 1.00]" in text
    assert "12 of 12 error: cnn/0 block1: ValueError: boom" in text
    assert "units : do single units correspond?" in text


def test_the_page_says_which_layers_did_worst(make):
    assert "did not hold: cnn/0 block3 (by 0.3)" in to_html(make.board())


def test_the_page_says_where_a_metric_stands_and_why_it_is_not_placed(make):
    titles = [attributes.get("title") or "" for _, attributes in Reader(to_html(make.board())).tags]
    assert "units: not placed (correspondence: partly)" in titles
    assert any(title.startswith("units: tier 1; above ") for title in titles)


def test_the_page_names_broken_promises_and_greys_what_is_not_promised(make):
    row = make.full_row("a", 1.0, 1.0, 0.5, 0.2)
    promised = replace(row.verdicts["invariance/orthogonal"], owed="promised")
    grey = replace(row.verdicts["sensitivity"], owed="not promised")
    page = to_html(
        make.board([replace(row, verdicts={**row.verdicts, "invariance/orthogonal": promised, "sensitivity": grey})])
    )
    tags = Reader(page).tags
    titles = [attributes.get("title") or "" for _, attributes in tags]
    assert any("broken promise: invariance/orthogonal" in title for title in titles)
    assert any(title.startswith("invariance/orthogonal: broken promise (>= 0.95)") for title in titles)
    (cell_of_test,) = [attributes for _, attributes in tags if attributes.get("data-heading") == "sensitivity"]
    assert "not-promised" in cell_of_test["class"]
    assert cell_of_test["title"].startswith("sensitivity: not promised (fail, were it asked for)")


@pytest.mark.parametrize("render", [to_html, to_markdown])
def test_the_reason_and_the_purposes_of_a_test_are_shown(make, render):
    columns = [replace(column, reason="As nothing else is.", purposes=("units",)) for column in make.columns]
    text = render(make.board(columns=columns))
    assert "As nothing else is." in text
    assert "owed for units" in text


def test_the_marks_are_explained_everywhere(make):
    console = Console(width=2000, record=True, file=io.StringIO())
    console.print(reasons(make.board()))
    for text in (to_html(make.board()), to_markdown(make.board()), fragment(make.board()), console.export_text()):
        assert "? undecided: it holds the threshold" in text
        assert "· not promised: the metric does not owe it" in text


def test_hover_texts_come_from_the_metric_and_the_test(make):
    titles = [attributes.get("title") or "" for _, attributes in Reader(to_html(make.board())).tags]
    assert any("Kornblith et al. (2019)" in title and "higher is more similar" in title for title in titles)
    assert any("passes if >= 0.95" in title for title in titles)


def test_the_page_follows_light_and_dark(make):
    assert "prefers-color-scheme: dark" in to_html(make.board())


def test_purposes_are_bodies_of_their_own_so_that_sorting_keeps_them_apart(make):
    bodies = to_html(make.board()).split("<tbody")
    assert len(bodies) == 1 + 2 * 2
    assert 'data-sort="my_metric"' in bodies[2]
    assert 'data-sort="cka"' in bodies[2]
    assert 'data-sort="identifiability_llv"' in bodies[4]


def test_a_board_without_rows_can_be_published(make, tmp_path):
    publish(make.board([]), tmp_path)
    assert "No metric matches" in (tmp_path / "sanity/index.html").read_text()
