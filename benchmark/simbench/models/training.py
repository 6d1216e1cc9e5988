"""Training one network: deterministic given its seed and one thread, and without touching global random state."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.backends import cudnn
from torch.nn.functional import cross_entropy, kl_div, l1_loss

from simbench.data.conditions import conditioned, cropped_and_flipped, noisy
from simbench.data.dataset import Dataset, Split
from simbench.data.items import Items, tensor_of
from simbench.errors import SimbenchError
from simbench.models.architecture import Architecture
from simbench.models.inputs import InputReader
from simbench.models.model import Model
from simbench.seeds import seed_for
from simbench.suite.schema import DistillationLoss, Training

Progress = Callable[[int, int], None]
SGD_MOMENTUM = 0.9


@dataclass(frozen=True)
class Trained:
    """A trained model and how its training went.

    Attributes:
        model: in eval mode.
        accuracy: on the held-out split, to which no condition applies.
        train_accuracy: on the training split as it was trained on (noise in labels and shortcut included, augmentation
            not), in eval mode.
        losses: mean cross entropy per epoch, while training.
        seconds: wall time of the training loop.
    """

    model: Model
    accuracy: float
    train_accuracy: float
    losses: list[float]
    seconds: float


def train(
    architecture: Architecture,
    parameters: Mapping[str, Any],
    training: Training,
    dataset: Dataset,
    seed: int,
    device: str = "cpu",
    progress: Progress | None = None,
    layers: Sequence[str] | None = None,
    teacher: Model | None = None,
) -> Trained:
    """Train one network from scratch: with cross entropy, or to have a teacher's logits if `training.distil` says so.

    Args:
        architecture: what to build.
        parameters: its parameters.
        training: epochs, optimiser and the like, and the conditions under which to train; `sgd` has a momentum of 0.9.
        dataset: what to train on, before any condition.
        seed: decides the initialisation, the order of the batches (unless that is `shared`), dropout, and what is
            random in the conditions; nothing else does.
        device: where to train.
        progress: called after each epoch with the number done and the number in all.
        layers: the layers to compare, if not all that the architecture names.
        teacher: whose logits are learned. It sees the training inputs as they are, without what is added to batches.

    Raises:
        SimbenchError: the loss became infinite or no number; or the architecture does not take these inputs; or the
            dataset does not admit a condition.
    """
    if len(dataset.train) == 0 or dataset.train.targets is None:
        what = "no labels of its training split (train_targets)" if len(dataset.train) else "no training split"
        raise SimbenchError(f"{dataset.name} has {what}, which training needs")
    dataset = conditioned(dataset, training, seed)
    inputs = _inputs_of(dataset.train).to(device)
    if training.distil is None:
        aims = _Aims(torch.from_numpy(dataset.train.labels).to(device))
    else:
        taught = inputs if isinstance(dataset.train.inputs, np.ndarray) else dataset.train.inputs
        aims = _Aims(_taught(teacher, taught), training.distil.loss)
    start = time.perf_counter()
    with _private_randomness(device, seed_for(purpose="training", seed=seed)):
        network = architecture.build(dataset.input_shape, dataset.classes, **parameters).to(device)
        read = InputReader(network).read(inputs)
        if training.augmentation and not read.is_floating_point():
            raise SimbenchError(f"augmentation: noise cannot be added to integers, which {dataset.name} consists of")
        losses = _fit(network, read, aims, training, seed, progress)
    seconds = time.perf_counter() - start
    model = Model.of(network, architecture, parameters, dataset.input_shape, layers)
    return Trained(model, _accuracy_if_any(model, dataset.test), accuracy(model, dataset.train), losses, seconds)


def accuracy(model: Model, split: Split) -> float:
    """Return the share of the inputs whose largest logit is their label's."""
    inputs = _as_tensor(split.inputs) if isinstance(split.inputs, np.ndarray) else split.inputs
    predicted = model.logits(inputs).argmax(dim=1)
    return float((predicted == torch.from_numpy(split.labels)).double().mean())


def _accuracy_if_any(model: Model, split: Split) -> float:
    return accuracy(model, split) if len(split) and split.targets is not None else math.nan


def _inputs_of(split: Split) -> Tensor:
    if isinstance(split.inputs, np.ndarray):
        return _as_tensor(split.inputs)
    return tensor_of(split.inputs, None, "training")


def _as_tensor(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(array if array.flags.writeable else array.copy())  # one mapped from a file is read-only


@dataclass(frozen=True)
class _Aims:
    """Aims of training: labels `(n,)`, or with `distil` logits `(n, labels)`."""

    values: Tensor
    distil: DistillationLoss | None = None

    def loss(self, logits: Tensor, chosen: Tensor) -> Tensor:
        """Return the mean loss of the `chosen` inputs' logits."""
        aimed = self.values[chosen]
        if self.distil == "kl":
            return kl_div(logits.log_softmax(1), aimed.log_softmax(1), reduction="batchmean", log_target=True)
        return l1_loss(logits, aimed) if self.distil == "l1" else cross_entropy(logits, aimed)


def _taught(teacher: Model | None, inputs: Tensor | Items) -> Tensor:
    assert teacher is not None, "a student needs its teacher"
    return teacher.logits(inputs)


def _fit(
    network: nn.Module,
    inputs: Tensor,
    aims: _Aims,
    training: Training,
    seed: int,
    progress: Progress | None,
) -> list[float]:
    """Run all epochs; return the mean loss of each."""
    network.train()
    optimizer = _optimizer(network, training)
    shared = training.batches == "shared"
    order = torch.Generator().manual_seed(seed_for(purpose="batches", seed="shared" if shared else seed))
    augment = _augmentation(inputs, training, seed)
    # batch norm cannot train on a single input: such a rest is left out of the epoch
    whole = len(inputs) - (1 if len(inputs) % training.batch_size == 1 else 0)
    steps = max(1, training.epochs * math.ceil(whole / training.batch_size))
    losses: list[float] = []
    step = 0
    for epoch in range(training.epochs):
        # summed on the device: reading the loss after every step would wait for it
        total = torch.zeros((), device=inputs.device)
        for batch in torch.split(torch.randperm(len(inputs), generator=order)[:whole], training.batch_size):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate_at(training, step / steps)
            chosen = batch.to(inputs.device)
            loss = aims.loss(network(augment(inputs[chosen])), chosen)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.detach() * len(batch)
            step += 1
        losses.append(float(total) / whole)
        if not math.isfinite(losses[-1]):
            raise SimbenchError(
                f"training diverged in epoch {epoch + 1} (loss {losses[-1]}); "
                f"lower the learning_rate of {training.learning_rate}"
            )
        if progress is not None:
            progress(epoch + 1, training.epochs)
    return losses


def _augmentation(inputs: Tensor, training: Training, seed: int) -> Callable[[Tensor], Tensor]:
    """Return the function that augments each batch of inputs, afresh every time."""
    padding, share = training.crop_and_flip, training.augmentation
    largest = share * float(inputs.double().var(unbiased=False)) if share else 0.0
    noise, crops = (
        torch.Generator().manual_seed(seed_for(purpose=purpose, seed=seed))
        for purpose in ("augmentation", "crop and flip")
    )

    def augmented(batch: Tensor) -> Tensor:
        batch = cropped_and_flipped(batch, padding, crops) if padding else batch
        return noisy(batch, largest, noise) if largest else batch

    return augmented


def _optimizer(network: nn.Module, training: Training) -> torch.optim.Optimizer:
    weights, rate, decay = network.parameters(), training.learning_rate, training.weight_decay
    # one fused kernel per step: for small networks the usual loop over tensors is an eighth of the training time
    if training.optimizer == "sgd":
        return torch.optim.SGD(weights, lr=rate, momentum=SGD_MOMENTUM, weight_decay=decay, fused=True)
    kind = torch.optim.AdamW if training.optimizer == "adamw" else torch.optim.Adam
    return kind(weights, lr=rate, weight_decay=decay, fused=True)


def learning_rate_at(training: Training, done: float) -> float:
    """Return the learning rate when the share `done` of all steps is done."""
    factor = {
        "constant": 1.0,
        "cosine": 0.5 * (1 + math.cos(math.pi * done)),
        "steps": 1.0 if done < 1 / 2 else 0.1 if done < 3 / 4 else 0.01,
    }[training.schedule]
    return training.learning_rate * factor


@contextmanager
def _private_randomness(device: str, seed: int) -> Iterator[None]:
    """Seed torch's global generators for the block and restore them afterwards; compute exactly on a GPU."""
    place = torch.device(device)
    devices = [place] if place.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=devices),
        cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
    ):
        torch.manual_seed(seed)
        yield
