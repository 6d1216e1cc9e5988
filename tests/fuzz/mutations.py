"""Changes to inputs: bytes are exchanged, and parts of documents are replaced by what a reader may not expect."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import yaml

WORDS = (
    *("name", "kind", "id", "models", "like", "extends", "suite", "metrics", "default", "cka", "mlp", "conv1d", "vit"),
    *("digits", "mnist1d", "radial", "arrays", "path", "load", "train", "distil", "teacher", "layers", "seeds", "net"),
    *("torchvision", "model", "resnet18", "calibrate", "bootstrap", "minibatch", "svcca", "variance", "stitch_task"),
    *("status", "value", "reason", "tests", "rows", "columns", "key", "ok", "skip", "error", "parameters", "files"),
    *(
        "identity",
        "invariance",
        "correspondence",
        "output_correlation",
        "upper_bound",
        "bounds",
        "by",
        "group_separation",
    ),
    *("permutation", "orthogonal", "affine", "condition", "block1", "embedding", "transforms", "spatial", "shortcut"),
)
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        3,
        7,
        10**6,
        2**31,
        2**63 - 1,
        -(2**63),
        2**64,
        10**400,
        0.5,
        -0.0,
        1e308,
        1e-320,
    ),
    *(
        "",
        " ",
        "x",
        "../x",
        "/",
        "~x/y",
        "a" * 300,
        "a" * 30_000,
        "\x1b[2J",
        "\u202e",
        "\ud800",
        "🙂",
        "1e5",
        "null",
        "=1",
    ),
    *(
        [],
        {},
        [[]],
        [None],
        {"name": None},
        {"name": "cka", "x": 1},
        {"name": ["cka"]},
        {"": ""},
        [0, 0],
        list(range(60)),
    ),
    *(">= 0.5", ">= 2", "< 0", "cka(", "cka(variance=0.9)", "x.py:y", "net/0", "block1", "2001-01-01", float("inf")),
)


def mutated(content: bytes, chance: random.Random, prefix: int = 0) -> bytes:
    """Return a changed input; its first `prefix` bytes, which say what it is, are seldom changed."""
    head, rest = content[:prefix], content[prefix:]
    if prefix and chance.random() < 0.05:
        head = bytes([chance.randrange(16)])
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        change = _document if chance.random() < 0.75 else _bytes
        rest = change(rest, chance)
    return head + rest


def _bytes(content: bytes, chance: random.Random) -> bytes:
    at, end = (chance.randrange(len(content) + 1) for _ in range(2))
    low, high = min(at, end), max(at, end)
    match chance.randrange(6):
        case 0:
            return content[:low] + content[high:]
        case 1:
            return content[:high] + content[low:high] + content[high:]
        case 2:
            return content[:at] + chance.randbytes(chance.randrange(1, 5)) + content[at:]
        case 3:
            return content[:at] + chance.choice(WORDS).encode() + content[at:]
        case 4:
            return content[:at] + chance.choice(b"{}[]:,&*!|>'\"#%@`-?\n \x00\xff\\").to_bytes(1, "big") + content[at:]
        case _:
            return content[:at] + bytes([chance.randrange(256)]) + content[at + 1 :]


def _document(content: bytes, chance: random.Random) -> bytes:
    """Change a document of JSON, of one JSON a line, or of YAML; bytes where it is none of these."""
    lines = content.split(b"\n")
    if len(lines) > 3 and lines[0].startswith(b"{") and lines[0].endswith(b"}"):
        at = chance.randrange(len(lines))
        return b"\n".join([*lines[:at], _document(lines[at], chance), *lines[at + 1 :]])
    try:
        document = json.loads(content)
        return json.dumps(_changed(document, chance)).encode()
    except (ValueError, RecursionError):
        pass
    if len(content) > 20_000 or b"*" in content:  # a few aliases stand for more than fits into memory
        return _bytes(content, chance)
    try:
        document = yaml.safe_load(content)
        text = yaml.safe_dump(_changed(document, chance), sort_keys=False, allow_unicode=chance.random() < 0.5)
        return text.encode("utf-8", errors="surrogatepass")
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError, LookupError):
        return _bytes(content, chance)


def _changed(document: Any, chance: random.Random) -> Any:
    document = copy.deepcopy(document)
    places = list(_places(document))
    if not places:
        return chance.choice(VALUES)
    inside, key = chance.choice(places)
    match chance.randrange(7):
        case 0:
            del inside[key]
        case 1 | 2 | 3:
            inside[key] = copy.deepcopy(chance.choice(VALUES))
        case 4:
            other, another = chance.choice(places)
            inside[key] = copy.deepcopy(other[another]) if another in other or isinstance(other, list) else None
        case 5 if isinstance(inside, dict):
            inside[chance.choice(WORDS)] = copy.deepcopy(chance.choice((*VALUES, inside[key])))
        case 6 if isinstance(inside, dict):
            inside[chance.choice((*WORDS, "", "a" * 300))] = inside.pop(key)
        case _:
            inside[key] = [inside[key]] * chance.choice((1, 2, 50))
    return document


def _places(value: Any) -> list[tuple[Any, Any]]:
    """List every place in a document, as the collection and the key or index in it."""
    places: list[tuple[Any, Any]] = []
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        places += [(value, key), *_places(value[key])]
    return places
