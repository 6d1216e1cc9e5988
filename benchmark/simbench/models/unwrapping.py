"""Networks without what PyTorch puts around them, so that their modules have the names that their code gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def unwrapped(network: nn.Module) -> nn.Module:
    """Return a network without DataParallel, DistributedDataParallel and `torch.compile` around it, or around a part.

    A part is replaced in the network itself.
    """
    network = _inside(network)
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            inside = _inside(child)
            if inside is not child:
                setattr(module, name, inside)
    return network


def _inside(network: nn.Module) -> nn.Module:
    from torch import nn
    from torch.nn.parallel import DistributedDataParallel

    while True:
        # Compiled modules have no public class.
        compiled = network._modules.get("_orig_mod")
        if compiled is not None and len(network._modules) == 1:
            network = compiled
        elif isinstance(network, nn.DataParallel | DistributedDataParallel):
            network = network.module
        else:
            return network
