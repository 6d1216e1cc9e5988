"""Loaders of the weights of zoos: published ones, and random ones drawn from a seed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from simbench.errors import SimbenchError
from simbench.lazy import lazy_import
from simbench.models.architecture import missing_package
from simbench.models.loading import OF_NO_KEY, loader
from simbench.seeds import seed_for

if TYPE_CHECKING:
    import torch
    from torch import nn

    from simbench.models.architecture import Architecture
else:
    torch = lazy_import("torch")

PRETRAINED = "pretrained"
RANDOM = re.compile(r"random_(\d{1,9})")


def as_initialised(
    load: str, architecture: Architecture, parameters: Mapping[str, Any], input_shape: tuple[int, ...], classes: int
) -> nn.Module | None:
    """Return the network as `random_SEED` draws it; None if `load` is no such name."""
    match = RANDOM.fullmatch(load)
    if match is None:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(purpose="initialisation", seed=int(match[1])))
        return architecture.build(input_shape, classes, **parameters)


def _is_there(load: str, parameters: Mapping[str, Any]) -> str:
    """Return the name as it is: keys hold the files of a model anyway; raise `SimbenchError` where there are none."""
    if load == PRETRAINED and parameters.get("model") is None:
        kind = parameters.get("type")
        raise SimbenchError(f'{kind} has no weights to load: `load: "random_{{seed}}"` draws some, `model` has its own')
    return load


@loader(
    "transformers",
    architectures={"transformers"},
    version=OF_NO_KEY,
    resolve=_is_there,
    names=r"pretrained|random_\d{1,9}",
)
def load_language_model(
    load: str, architecture: Architecture, parameters: Mapping[str, Any], input_shape: tuple[int, ...], classes: int
) -> nn.Module:
    """Load the weights of a `model` of transformers (`pretrained`), or draw some (`random_{seed}`)."""
    from simbench.models.architectures.hugging_face import build
    from simbench.models.architectures.language_models import folder_of, task_of

    given = architecture.checked(parameters)
    model, revision = given["model"], given["revision"]
    if model is not None and folder_of(model, revision) is None:
        _download(model, revision)
    initial = as_initialised(load, architecture, parameters, input_shape, classes)
    if initial is not None:
        return initial
    _is_there(load, given)
    options = {name: given[name] for name in ("tokenizer", "max_length", "dtype", "attention")}
    task = task_of(model, revision, None, given["task"])
    return build(model, revision, None, {}, task=task, classes=classes, pretrained=True, **options)


def _download(model: str, revision: str | None) -> None:
    """Bring a model into the cache of the hub; raise `SimbenchError` if that is impossible here."""
    try:
        from huggingface_hub import snapshot_download

        snapshot_download(model, revision=revision, allow_patterns=["*.json", "*.txt", "*.model", "*.safetensors"])
    except ImportError:
        raise missing_package("transformers", "transformers") from None
    except Exception as error:  # no network, no such name, no permission: the hub raises many kinds
        reason = str(error).strip().partition("\n")[0]
        raise SimbenchError(f"{model} at {revision} cannot be downloaded: {reason}") from None


def _place_of_weights(load: str, parameters: Mapping[str, Any]) -> str:
    from simbench.models.architectures.timm_models import published

    return published(parameters["model"], parameters.get("revision")) if load == PRETRAINED else load


@loader(
    "timm",
    architectures={"timm"},
    version=OF_NO_KEY,
    resolve=_place_of_weights,
    names=r"pretrained|random_\d{1,9}",
)
def load_image_model(
    load: str, architecture: Architecture, parameters: Mapping[str, Any], input_shape: tuple[int, ...], classes: int
) -> nn.Module:
    """Load the weights that timm publishes of a `model` (`pretrained`), or draw some (`random_{seed}`)."""
    from simbench.models.architectures.timm_models import with_published_weights

    initial = as_initialised(load, architecture, parameters, input_shape, classes)
    if initial is not None:
        return initial
    given = architecture.checked(parameters)
    return with_published_weights(given["model"], given["revision"])


@loader("open_clip", architectures={"open_clip"}, version=OF_NO_KEY, names=r"random_\d{1,9}")
def load_tower(
    load: str, architecture: Architecture, parameters: Mapping[str, Any], input_shape: tuple[int, ...], classes: int
) -> nn.Module:
    """Draw the weights of a model of open_clip (`random_{seed}`); its files are loaded like any others."""
    drawn = as_initialised(load, architecture, parameters, input_shape, classes)
    assert drawn is not None, "the names of its weights are checked before"
    return drawn
