"""torchvision's vision transformer for small images, with a name for the features that its head reads."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import cast

from torch import Tensor, nn
from torchvision.models import VisionTransformer
from torchvision.models.vision_transformer import EncoderBlock

from simbench.errors import SimbenchError


class SmallVisionTransformer(VisionTransformer):  # type: ignore[misc]  # torchvision has no types
    """Patches, encoder blocks, the class token's last output, normalised: `heads.embedding`; `heads.head` is linear."""

    def __init__(
        self, size: int, channels: int, classes: int, *, patch: int, width: int, depth: int, heads: int
    ) -> None:
        """Build the network for square images of this size."""
        super().__init__(
            image_size=size,
            patch_size=patch,
            num_layers=depth,
            num_heads=heads,
            hidden_dim=width,
            mlp_dim=4 * width,
            num_classes=classes,
        )
        if channels != 3:
            self.conv_proj = nn.Conv2d(channels, width, patch, patch)
        # torchvision selects the class token between two modules; one without content gives what is selected a name
        self.heads = nn.Sequential(OrderedDict(embedding=nn.Sequential(), head=self.get_submodule("heads.head")))

    def feature_axes(self) -> Iterator[tuple[Tensor, int]]:
        """All weights that write or read the features which run through all blocks, with the axis of these."""
        yield from ((self.class_token, 2), (self.encoder.pos_embedding, 2))
        written: list[nn.Conv2d | nn.Linear] = [self.conv_proj]
        for module in self.encoder.modules():
            if isinstance(module, nn.LayerNorm):
                yield from ((module.weight, 0), (module.bias, 0))
            elif isinstance(module, EncoderBlock):
                expand, _, _, contract, _ = cast("tuple[nn.Linear, ...]", tuple(module.mlp))
                yield from ((module.self_attention.in_proj_weight, 1), (expand.weight, 1))
                written += [module.self_attention.out_proj, contract]
        yield from ((tensor, 0) for writer in written for tensor in (writer.weight, writer.bias) if tensor is not None)
        # what `head_linear` puts between them reads in place of the head
        reader = getattr(self.heads.embedding, "bottleneck", self.heads.head)
        yield cast("nn.Linear", reader).weight, 1


def small_vision_transformer(
    input_shape: tuple[int, ...], classes: int, *, patch: int, width: int, depth: int, heads: int
) -> SmallVisionTransformer:
    """Build a vision transformer for square images `(channels, size, size)`.

    Raises:
        SimbenchError: the inputs are no such images, patches do not tile them, or the heads do not share the width
            evenly.
    """
    channels, *size = input_shape
    if len(size) != 2 or size[0] != size[1] or size[0] % patch:
        raise SimbenchError(
            f"vit takes square images that patches of {patch}×{patch} tile; the dataset has {input_shape}"
        )
    if width % heads:
        raise SimbenchError(f"vit: width {width} is not a multiple of heads {heads}")
    return SmallVisionTransformer(size[0], channels, classes, patch=patch, width=width, depth=depth, heads=heads)
