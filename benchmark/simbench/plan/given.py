"""Keys of models that are given as activations: the digests of their files stand for the numbers in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from simbench.errors import SimbenchError
from simbench.files import file_digest, is_file, no_file
from simbench.references import ModelRef
from simbench.suite.array_outlines import split_reference
from simbench.suite.schema import ModelSpec

# The digest of a file and, where it holds several arrays, the name of one: what a bundle has in place of a reference.
DIGEST_OF_ARRAY = re.compile(r"[0-9a-f]{64}(:[^\x00-\x1f]*)?")
# Labels of the rows, by the inputs.
LABELS = {"probe": "targets", "fit": "fit_targets"}


def array_in_key(reference: str) -> str:
    """Return what stands for an array in keys; a digest, as a bundle has it, is returned as it is.

    Raises:
        SimbenchError: there is no such file.
    """
    if DIGEST_OF_ARRAY.fullmatch(reference):
        return reference
    path, name = split_reference(reference)
    if not is_file(path):
        raise SimbenchError(no_file(path))
    return file_digest(path) + ("" if name is None else f":{name}")


def given_content(spec: ModelSpec, model: ModelRef) -> dict[str, Any]:
    """Return all that the key of a model depends on that is given as activations: arrays by inputs and layer."""
    content: dict[str, Any] = {}
    for inputs, key in LABELS.items():
        arrays, labels = spec.arrays(model, inputs), getattr(spec, key)
        if arrays:
            content[inputs] = {layer: array_in_key(arrays[layer]) for layer in spec.layers or ()}
        if labels is not None:
            content[key] = array_in_key(labels)
    return {"activations": content}


def array_content(content: Mapping[str, Any], layer: str, inputs: str) -> dict[str, Any]:
    """Return what the key of one layer depends on, out of what `given_content` returned."""
    arrays, labels = content["activations"], content["activations"].get(LABELS[inputs])
    return {"array": arrays[inputs][layer]} | ({} if labels is None else {"targets": labels})
