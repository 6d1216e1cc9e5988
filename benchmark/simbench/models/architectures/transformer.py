"""A causal transformer as a chain of named stages: tokens, block1 … blockN, embedding, head."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from simbench.errors import SimbenchError
from simbench.models.architectures.blocks import EMBEDDING, HEAD, StagedNetwork, named_blocks

# Hidden units of a block's feed-forward part, per feature.
EXPANSION = 4
# Standard deviation of the embeddings of tokens and positions at the start.
INITIAL_DEVIATION = 0.02


class CausalTransformer(StagedNetwork):
    """From whole sequences to the logits of the token that comes next.

    Every stage up to the last block puts out `(n, tokens, features)`. The embedding is the normalised last position,
    `(n, features)`; the head is linear without a bias, and untied from the embedding of the tokens.
    """

    # every position is read, and the last one in particular
    reads_padding = False

    def __init__(self, context: int, vocabulary: int, *, width: int, depth: int, heads: int) -> None:
        """Build the stages for sequences of `context` tokens."""
        blocks = [_Block(width, heads) for _ in range(depth)]
        last = nn.Sequential(OrderedDict(norm=nn.LayerNorm(width), last=_LastPosition()))
        stages = [("tokens", _Tokens(context, vocabulary, width)), *named_blocks(blocks), (EMBEDDING, last)]
        super().__init__(OrderedDict([*stages, (HEAD, nn.Linear(width, vocabulary, bias=False))]))
        self.vocabulary = vocabulary

    def feature_axes(self) -> Iterator[tuple[Tensor, int]]:
        """All weights that write or read the features which run through all blocks, with the axis of these."""
        for module in self.modules():
            if isinstance(module, nn.LayerNorm):
                yield from ((module.weight, 0), (module.bias, 0))
            elif isinstance(module, _Tokens):
                yield from ((module.token, 1), (module.position, 1))
            elif isinstance(module, _Block):
                expand, _, contract = cast("tuple[nn.Linear, nn.Module, nn.Linear]", tuple(module.feed_forward))
                reading, writing = (module.attention.mixed, expand), (module.attention.output, contract)
                yield from ((reader.weight, 1) for reader in reading)
                yield from ((tensor, 0) for writer in writing for tensor in (writer.weight, writer.bias))
        # what `head_linear` puts between them reads in place of the head
        yield getattr(self.embedding, "bottleneck", self.head).weight, 1


def causal_transformer_network(
    input_shape: tuple[int, ...], classes: int, *, width: int, depth: int, heads: int
) -> CausalTransformer:
    """Build a transformer for sequences `(tokens,)` that are continued by one of `classes` tokens.

    Raises:
        SimbenchError: the inputs are no sequences, or the heads do not share the width evenly.
    """
    if len(input_shape) != 1:
        raise SimbenchError(f"causal_transformer takes sequences of tokens, (context,); the dataset has {input_shape}")
    if width % heads:
        raise SimbenchError(f"causal_transformer: width {width} is not a multiple of heads {heads}")
    return CausalTransformer(input_shape[0], classes, width=width, depth=depth, heads=heads)


class _Tokens(nn.Module):
    """Token embedding plus position embedding, both learned."""

    def __init__(self, context: int, vocabulary: int, width: int) -> None:
        super().__init__()
        self.token = nn.Parameter(INITIAL_DEVIATION * torch.randn(vocabulary, width))
        self.position = nn.Parameter(INITIAL_DEVIATION * torch.randn(context, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """`(n, tokens)`, whole numbers in any dtype, to `(n, tokens, features)`."""
        return embedding(tokens.long(), self.token) + self.position


class _Block(nn.Module):
    """Attention and a feed-forward part, each after a layer norm and added to what came in (pre-norm)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = _CausalAttention(width, heads)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            OrderedDict(
                expand=nn.Linear(width, EXPANSION * width), gelu=nn.GELU(), contract=nn.Linear(EXPANSION * width, width)
            )
        )

    def forward(self, activations: Tensor) -> Tensor:
        """`(n, tokens, features)`, in and out."""
        activations = activations + self.attention(self.attention_norm(activations))
        contribution: Tensor = self.feed_forward(self.feed_forward_norm(activations))
        return activations + contribution


class _CausalAttention(nn.Module):
    """Self-attention in which every position attends to itself and those before it.

    Written out: the fused kernels are not deterministic on every device.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.mixed = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, activations: Tensor) -> Tensor:
        """`(n, tokens, features)`, in and out."""
        n, tokens, width = activations.shape
        separate = self.mixed(activations).reshape(n, tokens, 3, self.heads, width // self.heads)
        queries, keys, values = separate.permute(2, 0, 3, 1, 4)
        scores = queries @ keys.transpose(-1, -2) / math.sqrt(width // self.heads)
        later = torch.ones(tokens, tokens, dtype=torch.bool, device=scores.device).triu(1)
        attended = scores.masked_fill(later, -math.inf).softmax(-1) @ values
        result: Tensor = self.output(attended.transpose(1, 2).reshape(n, tokens, width))
        return result


class _LastPosition(nn.Module):
    """The features of the last position."""

    def forward(self, activations: Tensor) -> Tensor:
        """`(n, tokens, features)` to `(n, features)`."""
        return activations[:, -1]
