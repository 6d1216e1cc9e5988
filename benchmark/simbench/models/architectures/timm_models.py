"""Networks of timm by name: freshly initialised, or with the weights of a pinned commit, and their transform."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import nn

from simbench.data.images import ImagePreprocess
from simbench.errors import SimbenchError, UnknownNameError, described
from simbench.models.architecture import missing_package
from simbench.models.architectures.language_models import COMMIT

# Modules that put out what the classifier reads, the last one first.
BEFORE_THE_CLASSIFIER = ("head_drop", "head.drop", "fc_norm", "global_pool")


def build(model: str, input_shape: tuple[int, ...], classes: int, *, image_size: int | None = None) -> nn.Module:
    """Build a network with random weights, whose classifier has `classes` outputs, or as many as usual if that is 0.

    Raises:
        SimbenchError: timm is not installed, has no such model, or it does not take these inputs.
    """
    options: dict[str, Any] = {"num_classes": classes} if classes else {}
    if len(input_shape) == 3 and input_shape[0] != 3:
        options["in_chans"] = input_shape[0]
    if image_size is not None:
        options["img_size"] = image_size
    return _created(model, **options)


def with_published_weights(model: str, revision: str | None) -> nn.Module:
    """Return the network with its published weights, of the commit that is pinned.

    Raises:
        SimbenchError: timm publishes no weights of it, or they are not here and cannot be downloaded.
    """
    place = published(model, revision)
    return _created(model, pretrained=True, pretrained_cfg_overlay={"hf_hub_id": place})


def published(model: str, revision: str | None) -> str:
    """Return where timm publishes the weights of a model, `repository@commit`; download nothing."""
    name, configuration = _checked(model), _timm().models.get_pretrained_cfg(model)
    if configuration is None or not configuration.hf_hub_id:
        raise SimbenchError(f"timm publishes no weights of {name} on the hub")
    repository = str(configuration.hf_hub_id)
    repository = repository if not repository.endswith("/") else f"{repository}{configuration.architecture}"
    if COMMIT.fullmatch(revision or "") is None:
        raise SimbenchError(f"architecture timm: weights of {repository} need `revision`, a commit (40 digits)")
    return f"{repository}@{revision}"


def transform_of(network: Any) -> ImagePreprocess:
    """Return the transform of images that the network was, or would be, trained for."""
    timm = _timm()
    configuration = timm.data.resolve_model_data_config(network)
    return ImagePreprocess(timm.data.create_transform(**configuration, is_training=False), of_tensors=False)


@lru_cache(maxsize=256)
def layers_of(model: str) -> tuple[tuple[str, ...], str | None]:
    """Return the stages or blocks of a network, as timm lists them, and the layer that its classifier reads."""
    with torch.device("meta"):
        network: Any = _created(model)
    modules = dict(network.named_modules())
    stages = tuple(stage["module"] for stage in getattr(network, "feature_info", ()) if stage.get("module") in modules)
    return stages, next((name for name in BEFORE_THE_CLASSIFIER if name in modules), None)


def _created(model: str, **options: Any) -> nn.Module:
    timm, name = _timm(), _checked(model)
    try:
        network: nn.Module = timm.create_model(name, **{"pretrained": False, **options})
    except Exception as error:  # sizes that do not fit, no network, no permission: timm raises many kinds
        raise SimbenchError(f"timm: {name} cannot be built: {described(error)}") from error
    return network


def _checked(model: str) -> str:
    timm = _timm()
    name = model.partition(".")[0]
    if not timm.is_model(name):
        raise UnknownNameError("model of timm", name, timm.list_models())
    if name != model and model not in timm.list_pretrained(f"{name}.*"):
        raise UnknownNameError(f"weights of {name}", model, timm.list_pretrained(f"{name}.*"))
    return model


def _timm() -> Any:
    try:
        import timm
        import timm.data
    except ImportError:
        raise missing_package("timm", "timm") from None
    return timm
