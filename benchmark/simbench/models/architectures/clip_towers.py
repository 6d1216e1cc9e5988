"""Towers of open_clip's models: that of images, and that of texts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from simbench.data.images import ImagePreprocess
from simbench.errors import SimbenchError, UnknownNameError, described
from simbench.models.architecture import missing_package
from simbench.representations.padding import PADDING

if TYPE_CHECKING:
    from simbench.data.texts import Texts

TowerName = Literal["image", "text"]


class Tower(nn.Module):
    """One tower of a model of images and texts. Its modules and weights are called as in open_clip, both towers'."""

    def __init__(self, inner: Any, tower: TowerName, vocabulary: int, preprocess: Any) -> None:
        """Wrap a model without hiding it: modules, parameters and buffers are its own."""
        super().__init__()
        self.__dict__["_inner"] = inner
        self._modules, self._parameters, self._buffers = inner._modules, inner._parameters, inner._buffers
        self.tower, self.preprocess = tower, preprocess
        self.vocabulary = vocabulary if tower == "text" else None
        self.no_logits = f"the {tower} tower of {type(inner).__name__} puts out an embedding, no logits"

    def forward(self, inputs: Tensor) -> Tensor:
        """Images `(n, 3, height, width)`, or token ids `(n, tokens)` with padding −1, to embeddings `(n, features)`."""
        inner = self.__dict__["_inner"]
        embedded: Tensor = (
            inner.encode_image(inputs) if self.tower == "image" else inner.encode_text(inputs.clamp_min(0))
        )
        return embedded


class TokenReader:
    """Preprocessing of texts by the tokenizer of a model: ids, padded behind the token that ends a text."""

    reads = "texts"

    def __init__(self, tokenizer: Any) -> None:
        """Read texts by this tokenizer."""
        self.tokenizer = tokenizer

    def __call__(self, texts: Texts) -> Tensor:
        """Return ids `(n, tokens)`."""
        if not getattr(texts, "are_texts", False):
            raise SimbenchError(f"the text tower reads texts, and these are {type(texts).__name__}")
        ids: Tensor = self.tokenizer(list(texts.texts)).long()
        places = torch.arange(ids.shape[1])
        return torch.where(places <= ids.argmax(dim=1, keepdim=True), ids, PADDING)


def build(model: str, tower: TowerName) -> Tower:
    """Build a model with random weights; raise `SimbenchError` if open_clip is not installed or cannot build it."""
    open_clip, configuration = _open_clip(), _configuration(model)
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # it warns that there are no weights
    try:
        inner = open_clip.create_model(model, pretrained=None, device=torch.empty(0).device)
        if tower == "text":
            preprocess: Any = TokenReader(open_clip.get_tokenizer(model))
        else:
            given = open_clip.get_model_preprocess_cfg(inner)
            kept = {name: given[name] for name in ("mean", "std", "interpolation", "resize_mode") if name in given}
            transform = open_clip.image_transform(given["size"], is_train=False, **kept)
            preprocess = ImagePreprocess(transform, of_tensors=False)
    except Exception as error:  # open_clip raises anything of what it cannot build
        raise SimbenchError(f"open_clip: {model} cannot be built: {described(error)}") from error
    finally:
        logger.setLevel(level)
    return Tower(inner.eval(), tower, int(configuration["text_cfg"].get("vocab_size", 0)), preprocess)


def layers_of(model: str, tower: TowerName) -> list[str] | None:
    """Return the blocks of a tower, or the stages of a ResNet; None where it is made by another library."""
    configuration = _configuration(model)
    part = configuration["vision_cfg" if tower == "image" else "text_cfg"]
    if part.get("timm_model_name") or part.get("hf_model_name"):
        return None
    count = part.get("layers", 12)
    if isinstance(count, list):
        return [f"visual.layer{number}" for number in range(1, len(count) + 1)]
    prefix = "visual." if tower == "image" else "text." if configuration.get("custom_text") else ""
    return [f"{prefix}transformer.resblocks.{number}" for number in range(count)]


def _configuration(model: str) -> Any:
    open_clip = _open_clip()
    configuration = open_clip.get_model_config(model)
    if configuration is None:
        raise UnknownNameError("model of open_clip", model, open_clip.list_models())
    return configuration


def _open_clip() -> Any:
    try:
        import open_clip
    except ImportError:
        raise missing_package("open_clip", "open_clip_torch") from None
    return open_clip
