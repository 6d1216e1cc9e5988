"""p(y|x) ∝ exp(f(x)·g(y)) with two networks: f of the inputs, and g of the labels, which is the head."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from simbench.models.architectures.blocks import HEAD, BlockNetwork, linear_blocks


class LabelTower(nn.Linear):
    """A head without a bias whose rows, one per label, are the outputs of a network.

    While it trains, the rows are computed anew in every pass, and the network is what learns. In eval mode it is a
    linear map like any other: `weight` holds the rows as they were when training ended.
    """

    def __init__(self, features: int, classes: int, *, width: int, depth: int, slope: float) -> None:
        """Build the network that puts out the rows."""
        super().__init__(features, classes, bias=False)
        self.weight.requires_grad_(False)
        sizes = [classes - 1, *[width] * depth]
        hidden = [
            module
            for inputs, outputs in itertools.pairwise(sizes)
            for module in (nn.Linear(inputs, outputs), nn.LeakyReLU(slope))
        ]
        self.tower = nn.Sequential(*hidden, nn.Linear(sizes[-1], features, bias=False))

    def rows(self) -> Tensor:
        """g, `(labels, features)`, of labels coded as unit vectors but for the last, which is 0."""
        rows: Tensor = self.tower(torch.eye(self.out_features, self.out_features - 1).to(self.weight))
        return rows

    def forward(self, embedding: Tensor) -> Tensor:
        """`(n, features)` to logits `(n, labels)`."""
        return linear(embedding, self.rows()) if self.training else super().forward(embedding)

    def train(self, mode: bool = True) -> LabelTower:
        """Change the mode; with the end of training the rows are fixed."""
        if self.training and not mode:
            with torch.no_grad():
                self.weight.copy_(self.rows())
        super().train(mode)
        return self


def two_towers(
    input_shape: tuple[int, ...], classes: int, *, width: int, depth: int, embedding: int, slope: float
) -> BlockNetwork:
    """Build a tower for inputs and one for labels.

    Both have `depth` hidden layers of `width` units, and a last one without a bias.
    """
    network = linear_blocks(
        input_shape, classes, width=width, depth=depth, norm="none", embedding=embedding, slope=slope, head_bias=False
    )
    network.add_module(HEAD, LabelTower(embedding, classes, width=width, depth=depth, slope=slope))
    return network
