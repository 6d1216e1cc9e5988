"""Training: it learns, it is deterministic, and it touches no global random state."""

import numpy as np
import pytest
import torch

from simbench.data.dataset import Dataset, Split
from simbench.errors import SimbenchError
from simbench.models.training import Trained, train
from simbench.registry import ARCHITECTURES
from simbench.suite.schema import Component, Training


def weights_of(trained: Trained) -> dict[str, torch.Tensor]:
    return trained.model.network.state_dict()


def same_weights(one: Trained, other: Trained) -> bool:
    return all(torch.equal(tensor, weights_of(other)[name]) for name, tensor in weights_of(one).items())


def train_mlp(data: Dataset, seed: int = 0, **changed: object) -> Trained:
    values = {"dataset": Component(name="digits"), "epochs": 4, "learning_rate": 0.01} | changed
    return train(ARCHITECTURES.get("mlp"), {"width": 64}, Training.model_validate(values), data, seed)


def test_an_mlp_learns_the_digits(trained_mlp: Trained) -> None:
    assert trained_mlp.accuracy > 0.9


def test_the_loss_falls(trained_mlp: Trained) -> None:
    assert trained_mlp.losses == sorted(trained_mlp.losses, reverse=True)


def test_a_seed_gives_the_same_weights_bit_for_bit(trained_mlp: Trained, digits: Dataset) -> None:
    torch.manual_seed(123)
    assert same_weights(train_mlp(digits), trained_mlp)


def test_another_seed_gives_other_weights(trained_mlp: Trained, digits: Dataset) -> None:
    assert not same_weights(train_mlp(digits, seed=1), trained_mlp)


def test_global_random_state_is_left_alone(digits: Dataset) -> None:
    torch.manual_seed(5)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index]
    train_mlp(digits, epochs=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.random.get_state()[1].tolist() == numpy_before  # type: ignore[index]


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_every_optimizer_learns(digits: Dataset, optimizer: str) -> None:
    assert train_mlp(digits, optimizer=optimizer, epochs=3, learning_rate=0.03).accuracy > 0.8


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_every_schedule_learns(digits: Dataset, schedule: str) -> None:
    assert train_mlp(digits, schedule=schedule, epochs=3).accuracy > 0.8


def test_a_vision_transformer_learns_too(digits: Dataset) -> None:
    training = Training(dataset=Component(name="digits"), epochs=5, learning_rate=0.003, batch_size=32)
    parameters = {"patch": 4, "width": 32, "depth": 2, "heads": 2}
    assert train(ARCHITECTURES.get("vit"), parameters, training, digits, seed=0).accuracy > 0.8


def test_no_epoch_gives_an_untrained_network(digits: Dataset) -> None:
    trained = train_mlp(digits, epochs=0)
    assert trained.losses == []
    assert trained.accuracy < 0.5


def test_progress_is_told_after_each_epoch(digits: Dataset, brief: Training) -> None:
    told: list[tuple[int, int]] = []
    train(ARCHITECTURES.get("mlp"), {}, brief, digits, 0, progress=lambda done, all_: told.append((done, all_)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_rest_of_one_input_is_left_out(digits: Dataset) -> None:
    few = Dataset("few", Split(digits.train.inputs[:65], digits.train.targets[:65]), digits.test, 10)
    assert len(train_mlp(few, epochs=1, batch_size=64).losses) == 1


def test_a_diverged_training_names_the_epoch(digits: Dataset) -> None:
    damaged = digits.train.inputs.copy()
    damaged[0] = np.inf
    with pytest.raises(SimbenchError, match="training diverged in epoch 1"):
        train_mlp(Dataset("damaged", Split(damaged, digits.train.targets), digits.test, 10))


def test_the_trained_network_is_in_eval_mode(trained_mlp: Trained) -> None:
    assert not any(module.training for module in trained_mlp.model.network.modules())


@pytest.mark.slow
@pytest.mark.parametrize("embedding", [None, 4])
def test_seven_convolutions_learn_mnist1d(mnist1d: Dataset, embedding: int | None) -> None:
    training = Training(dataset=Component(name="mnist1d"), epochs=10, learning_rate=0.01)
    trained = train(ARCHITECTURES.get("conv1d"), {"embedding": embedding}, training, mnist1d, seed=0)
    assert trained.accuracy >= 0.95


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_trains_the_same_twice(digits: Dataset, brief: Training) -> None:
    one, other = (train(ARCHITECTURES.get("conv2d"), {}, brief, digits, 0, device="cuda") for _ in range(2))
    assert same_weights(one, other)
