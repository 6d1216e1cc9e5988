"""Architectures of zoos: transformers, timm and open_clip, each from an extra of its own. This module imports none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from simbench.bounds import Depth, Width
from simbench.models.architecture import architecture
from simbench.models.architectures.language_models import Task, block_names, identified, last_token_of, task_of

if TYPE_CHECKING:
    from torch import nn

Dtype = Literal["float32", "bfloat16", "float16"]
ModelType = Literal["bert", "distilbert", "electra", "roberta", "gpt2", "gpt_neox", "llama", "mistral", "opt", "qwen2"]
Length = Annotated[int, Field(ge=1, le=1_000_000)]


@architecture(
    "transformers",
    version=1,
    layers=block_names,
    embedding_layer=last_token_of,
    layout="tokens",
    files=["model", "tokenizer"],
    in_keys=identified,
    package="transformers",
    any_module=True,
)
def transformers(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    model: str | None = None,
    revision: str | None = None,
    type: ModelType | None = None,
    task: Task | None = None,
    tokenizer: str | None = None,
    max_length: Length = 512,
    dtype: Dtype = "float32",
    attention: Literal["eager", "sdpa"] = "eager",
    vocab_size: Annotated[int, Field(ge=2, le=10_000_000)] | None = None,
    hidden_size: Width | None = None,
    num_hidden_layers: Depth | None = None,
    num_attention_heads: Width | None = None,
    num_key_value_heads: Width | None = None,
    intermediate_size: Annotated[int, Field(ge=1, le=1_000_000)] | None = None,
    max_position_embeddings: Length | None = None,
) -> nn.Module:
    """Language model of transformers: an encoder, a causal model, or a classifier, of token ids or texts.

    `model` is a folder as `save_pretrained` writes it, or a name on the hub with the commit as `revision`; weights are
    its own by `load: pretrained`. `type` with sizes, such as `hidden_size`, is a network of random weights. Texts are
    read by the model's own tokenizer (or that in the folder `tokenizer`), cut at `max_length` tokens. Its layers are
    the outputs of its blocks; causal models put out the logits that follow the last real token.
    """
    from simbench.models.architectures.hugging_face import build

    sizes = {
        "vocab_size": vocab_size,
        "hidden_size": hidden_size,
        "num_hidden_layers": num_hidden_layers,
        "num_attention_heads": num_attention_heads,
        "num_key_value_heads": num_key_value_heads,
        "intermediate_size": intermediate_size,
        "max_position_embeddings": max_position_embeddings,
    }
    given = {name: value for name, value in sizes.items() if value is not None}
    return build(
        model,
        revision,
        type,
        given,
        task=task_of(model, revision, type, task),
        classes=classes,
        tokenizer=tokenizer,
        max_length=max_length,
        dtype=dtype,
        attention=attention,
    )


def _stages(*, model: str, **_: Any) -> list[str] | None:
    from simbench.models.architectures.timm_models import layers_of

    return list(layers_of(model)[0]) or None


def _before_the_classifier(*, model: str, **_: Any) -> str | None:
    from simbench.models.architectures.timm_models import layers_of

    return layers_of(model)[1]


def _transform(network: nn.Module, *, transform: bool, **_: Any) -> Any:
    from simbench.models.architectures.timm_models import transform_of

    return transform_of(network) if transform else None


@architecture(
    "timm",
    version=1,
    layers=_stages,
    embedding_layer=_before_the_classifier,
    preprocess=_transform,
    package="timm",
    any_module=True,
)
def timm(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    model: str,
    revision: str | None = None,
    image_size: Annotated[int, Field(ge=1, le=10_000)] | None = None,
    transform: bool = True,
) -> nn.Module:
    """Image model of timm, by its name (`model: resnet18`, or with the tag of its weights, `resnet18.a1_in1k`).

    `load: pretrained` takes the weights published at the commit `revision`; a file of weights is loaded like any other.
    Where weights are loaded, images come through the transform that timm has for them, unless `transform` is false.
    Its layers are the stages or blocks that timm lists. `image_size` is for models of images of another size.
    """
    from simbench.models.architectures.timm_models import build

    return build(model, input_shape, classes, image_size=image_size)


def _blocks_of_tower(*, model: str, tower: Literal["image", "text"]) -> list[str] | None:
    from simbench.models.architectures.clip_towers import layers_of

    return layers_of(model, tower)


@architecture("open_clip", version=1, layers=_blocks_of_tower, layout="tokens", package="open_clip", any_module=True)
def open_clip(
    input_shape: tuple[int, ...], classes: int, *, model: str, tower: Literal["image", "text"] = "image"
) -> nn.Module:
    """One tower of a model of images and texts by open_clip (`model: ViT-B-32`), which puts out an embedding.

    Weights come from a file as open_clip writes it, of both towers, or are drawn (`load: "random_{seed}"`). Images come
    through its own transform, texts through its own tokenizer. Its layers are the blocks of the tower.
    """
    from simbench.models.architectures.clip_towers import build

    return build(model, tower)
