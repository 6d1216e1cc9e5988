"""Language models before they are built: where they are, what they are for, how their blocks are called, their keys.

This module imports neither torch nor transformers: suites are checked and planned from the configuration alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from simbench.errors import SimbenchError
from simbench.files import file_digest, from_home, is_file, regular_bytes

Task = Literal["encoder", "causal", "classifier"]
SIZES = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
    *("intermediate_size", "max_position_embeddings"),
)
# A commit of a hub: names of branches and tags may be moved.
COMMIT = re.compile(r"[0-9a-f]{40}")
# Files of a model's folder on which its outputs depend: configuration, tokenizer and weights.
DECIDING = (".json", ".txt", ".model", ".safetensors", ".bin")


@dataclass(frozen=True)
class Blocks:
    """Place of the blocks of a kind of network, and where its configuration has their number.

    Attributes:
        path: the module list in the network without a head.
        base: the name of the network without a head in one that has a head.
        counts: keys of their number.
        usual: their number where the configuration has none.
    """

    path: str
    base: str
    counts: tuple[str, ...] = ("num_hidden_layers",)
    usual: int = 12


BLOCKS = {
    "bert": Blocks("encoder.layer", "bert"),
    "distilbert": Blocks("transformer.layer", "distilbert", ("n_layers", "num_hidden_layers"), 6),
    "electra": Blocks("encoder.layer", "electra"),
    "roberta": Blocks("encoder.layer", "roberta"),
    "gpt2": Blocks("h", "transformer", ("n_layer", "num_hidden_layers")),
    "gpt_neox": Blocks("layers", "gpt_neox", usual=44),
    "llama": Blocks("layers", "model", usual=32),
    "mistral": Blocks("layers", "model", usual=32),
    "opt": Blocks("decoder.layers", "model"),
    "qwen2": Blocks("layers", "model", usual=32),
}
CAUSAL = ("gpt2", "gpt_neox", "llama", "mistral", "opt", "qwen2")


def folder_of(model: str | None, revision: str | None) -> Path | None:
    """Return the folder of a model: its own, or that of the cache of the hub; None if it is not on this machine."""
    if model is None:
        return None
    if from_home(model).is_dir():
        return from_home(model)
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    try:
        cached = try_to_load_from_cache(model, "config.json", revision=revision)
    except ValueError:  # no name that a hub could have
        return None
    return Path(cached).parent if isinstance(cached, str) else None


def configuration_of(model: str | None, revision: str | None) -> Mapping[str, Any]:
    """Return the configuration of a model as far as it can be read on this machine; empty if it cannot."""
    folder = folder_of(model, revision)
    if folder is None or not is_file(folder / "config.json"):
        return {}
    try:
        read = json.loads(regular_bytes(folder / "config.json"))
    except (OSError, ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def task_of(model: str | None, revision: str | None, model_type: str | None, task: Task | None) -> Task:
    """Return what a network is for: as declared, or as its configuration says."""
    if task is not None:
        return task
    if model is None:
        return "causal" if model_type in CAUSAL else "encoder"
    named = " ".join(map(str, configuration_of(model, revision).get("architectures") or ()))
    if "ForSequenceClassification" in named:
        return "classifier"
    return "causal" if "ForCausalLM" in named or "LMHead" in named else "encoder"


def block_names(
    *, model: str | None, revision: str | None, type: str | None, task: Task | None, **sizes: Any
) -> list[str] | None:
    """Name the blocks in order; None where the kind of network is not known, or not on this machine."""
    configuration = configuration_of(model, revision) if model is not None else {"model_type": type, **sizes}
    blocks = BLOCKS.get(str(configuration.get("model_type")))
    if blocks is None:
        return None
    numbers = [configuration[name] for name in blocks.counts if isinstance(configuration.get(name), int)]
    prefix = "" if task_of(model, revision, type, task) == "encoder" else f"{blocks.base}."
    return [f"{prefix}{blocks.path}.{number}" for number in range((numbers or [blocks.usual])[0])]


def last_token_of(
    *, model: str | None, revision: str | None, type: str | None, task: Task | None, **_: Any
) -> str | None:
    """Return the layer that the head reads; None of a network that is no causal model."""
    return "last_token" if task_of(model, revision, type, task) == "causal" else None


def identified(*, model: str | None, revision: str | None, tokenizer: str | None, **rest: Any) -> dict[str, Any]:
    """Return what stands in keys: hashes of files in place of a folder, a commit in place of what may be moved.

    Raises:
        SimbenchError: there is no such folder, and the name is pinned to no commit.
    """
    kept = {name: value for name, value in rest.items() if value is not None}
    if (model is None) == (kept.get("type") is None):
        raise SimbenchError("architecture transformers: give `model`, a folder or a name, or `type`, of random weights")
    sizes = [name for name in SIZES if name in kept]
    if model is not None and sizes:
        raise SimbenchError(f"architecture transformers: `{sizes[0]}` is for `type`; a `model` has its own")
    for name, value in (("model", model), ("tokenizer", tokenizer)):
        if value is None:
            continue
        folder = from_home(value)
        if folder.is_dir():
            files = sorted(file for file in folder.iterdir() if file.suffix in DECIDING and is_file(file))
            kept[name] = {file.name: file_digest(file) for file in files}
        elif name == "model" and COMMIT.fullmatch(revision or ""):
            kept[name] = {"name": value, "revision": revision}
        else:
            raise SimbenchError(
                f"architecture transformers: {name}: no such folder: {value}"
                + ("; of a name on the hub, `revision` pins a commit (40 digits)" if name == "model" else "")
            )
    return kept
