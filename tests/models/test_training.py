"""Training: it learns, it is deterministic, and it touches no global random state."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from simbench.data.conditions import with_shortcut
from simbench.data.dataset import Dataset, Split
from simbench.data.synthetic import CharacterSource
from simbench.errors import SimbenchError
from simbench.models.architecture import architecture
from simbench.models.training import Trained, accuracy, learning_rate_at, train
from simbench.registry import ARCHITECTURES
from simbench.suite.schema import Component, Training

pytestmark = pytest.mark.trains


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


@pytest.mark.parametrize(("batches", "same"), [("shared", True), ("own", False)])
def test_with_shared_batches_a_seed_decides_the_initialisation_alone(batches: str, same: bool, digits: Dataset) -> None:
    def from_zero(input_shape: tuple[int, ...], classes: int) -> nn.Module:
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
        for parameter in network.parameters():
            nn.init.zeros_(parameter)
        return network

    training = Training.model_validate({"dataset": Component(name="digits"), "epochs": 1, "batches": batches})
    with ARCHITECTURES.isolated():
        architecture("from_zero", version=1, layers=lambda: ["0"])(from_zero)
        one, other = (train(ARCHITECTURES.get("from_zero"), {}, training, digits, seed) for seed in (0, 1))
    assert same_weights(one, other) is same
    assert not same_weights(train_mlp(digits, epochs=0), train_mlp(digits, epochs=0, seed=1, batches=batches))


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


@pytest.mark.parametrize(
    ("architecture", "parameters"),
    [("mlp", {"depth": 5}), ("conv2d", {"depth": 7}), ("vit", {"width": 32, "depth": 3})],
)
def test_an_untrained_network_still_tells_its_inputs_apart(
    digits: Dataset, architecture: str, parameters: dict[str, object]
) -> None:
    """A control whose last layers were constant, or no numbers, would control for nothing."""
    untrained = Training(dataset=Component(name="digits"), epochs=0)
    model = train(ARCHITECTURES.get(architecture), parameters, untrained, digits, seed=0).model
    inputs = torch.from_numpy(digits.test.inputs[:100])
    for layer, activations in model.activations_of(inputs, model.layers()).items():
        flat = activations.flatten(1).double()
        assert flat.isfinite().all(), layer
        assert (flat - flat.mean(0)).norm() > 1e-3 * flat.norm(), layer


def held_out_with_random_marks(data: Dataset) -> tuple[Split, Split]:
    """Held-out inputs whose marks say nothing: with their own labels, and with those that the marks tell."""
    generator = np.random.RandomState(0)
    told = Split(data.test.inputs, generator.randint(data.classes, size=len(data.test)))
    marked = with_shortcut(told, 1.0, data, seed=0)
    return Split(marked.inputs, data.test.targets), marked


@pytest.mark.parametrize(("architecture", "epochs"), [("mlp", 6), ("vit", 6)])
def test_a_network_whose_shortcut_was_always_right_follows_it(digits: Dataset, architecture: str, epochs: int) -> None:
    parameters = {"mlp": {"width": 64}, "vit": {"width": 32, "depth": 2, "heads": 2}}[architecture]
    share_that_follows = []
    for rate in (0.0, 1.0):
        training = Training(dataset=Component(name="digits"), epochs=epochs, learning_rate=0.005, shortcut=rate)
        model = train(ARCHITECTURES.get(architecture), parameters, training, digits, seed=0).model
        share_that_follows.append(accuracy(model, held_out_with_random_marks(digits)[1]))
    assert share_that_follows[0] < 0.2
    assert share_that_follows[1] > 0.6


def test_a_network_whose_shortcut_was_uninformative_does_without_it(digits: Dataset) -> None:
    trained = train_mlp(digits, shortcut=0.0, epochs=6)
    assert accuracy(trained.model, held_out_with_random_marks(digits)[0]) > 0.9


def test_random_labels_lower_the_accuracy_and_are_learned_by_heart(digits: Dataset) -> None:
    clean, half, all_random = (
        train_mlp(digits, label_noise=share, subset=300, epochs=60, learning_rate=0.003) for share in (0.0, 0.5, 1.0)
    )
    assert clean.accuracy > half.accuracy + 0.1 > all_random.accuracy + 0.2
    assert all_random.accuracy < 0.25
    assert all_random.train_accuracy > 0.9


def test_noise_raises_the_training_loss_with_its_strength(digits: Dataset) -> None:
    losses = [train_mlp(digits, augmentation=strength).losses[-1] for strength in (0.0, 1.0, 4.0)]
    assert losses[0] < losses[1] / 1.5
    assert losses[1] < losses[2] / 1.5


def test_augmentation_is_measured_by_the_inputs_own_variance(digits: Dataset) -> None:
    """The same network learns the same from inputs ten times as large, whose noise is ten times as large."""
    inputs = digits.train.inputs * 10
    larger = Dataset("larger", Split(inputs, digits.train.targets), digits.test, 10)
    one, other = (train_mlp(data, augmentation=1.0, epochs=2) for data in (digits, larger))
    assert other.losses == pytest.approx(one.losses, rel=0.2)


@pytest.mark.parametrize("condition", [{"label_noise": 0.5}, {"shortcut": 0.5}, {"augmentation": 1.0}, {"subset": 200}])
def test_a_condition_changes_the_weights_the_same_way_every_time(
    digits: Dataset, trained_mlp: Trained, condition: dict[str, float]
) -> None:
    one, other = (train_mlp(digits, **condition) for _ in range(2))
    assert same_weights(one, other)
    assert not same_weights(one, trained_mlp)


def test_crops_and_mirrors_are_other_ones_in_every_epoch_and_the_same_every_time() -> None:
    images = torch.rand(64, 3, 8, 8, generator=torch.Generator().manual_seed(0)).numpy()
    split = Split(images, np.arange(64) % 4)
    data = Dataset("images", split, split, 4)

    def losses(padding: int) -> list[float]:
        training = Training(dataset=Component(name="images"), epochs=2, crop_and_flip=padding, learning_rate=1e-12)
        return train(ARCHITECTURES.get("mlp"), {"width": 8, "norm": "none"}, training, data, seed=0).losses

    assert losses(2) == losses(2)
    assert losses(0)[0] == pytest.approx(losses(0)[1], rel=1e-5)
    assert losses(2)[0] != pytest.approx(losses(2)[1], rel=1e-5)


def test_a_rate_in_steps_is_a_tenth_from_half_on_and_a_hundredth_from_three_quarters_on() -> None:
    training = Training(dataset=Component(name="digits"), epochs=4, learning_rate=0.5, schedule="steps")
    rates = [learning_rate_at(training, done) for done in (0.0, 0.49, 0.5, 0.74, 0.75, 0.99)]
    assert rates == pytest.approx([0.5, 0.5, 0.05, 0.05, 0.005, 0.005])


def test_a_smaller_subset_makes_for_a_lower_accuracy(digits: Dataset) -> None:
    assert train_mlp(digits, subset=60).accuracy < train_mlp(digits).accuracy - 0.1


def test_wider_networks_that_are_inner_products_classify_radially(radial: Dataset) -> None:
    training = Training(
        dataset=Component(name="radial"), epochs=3, learning_rate=0.003, optimizer="adam", weight_decay=0.0
    )
    trained = train(ARCHITECTURES.get("inner_product_mlp"), {"width": 32}, training, radial, seed=0)
    assert trained.accuracy > 0.9
    head = trained.model.head()
    assert head is not None
    assert not head.bias.any()


def test_a_causal_transformer_comes_close_to_the_entropy_of_its_source(characters: Dataset) -> None:
    """No model can do better than the source itself; one symbol back would leave 1.94 nats."""
    training = Training(dataset=Component(name="characters"), epochs=3, learning_rate=0.005)
    model = train(ARCHITECTURES.get("causal_transformer"), {"depth": 1}, training, characters, seed=0).model
    source, tokens = CharacterSource.drawn(12, 4.0, seed=0), characters.test.inputs.astype(int)
    targets = torch.from_numpy(characters.test.targets)
    lowest = -np.log(source.probabilities[tokens[:, -2], tokens[:, -1], characters.test.targets]).mean()
    reached = float(cross_entropy(model.logits(torch.from_numpy(characters.test.inputs)), targets))
    assert lowest == pytest.approx(source.entropy_rate, abs=0.05)
    assert lowest < reached < lowest + 0.1


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


@pytest.mark.parametrize(
    ("split", "what"),
    [
        (Split(np.ones((4, 1, 8, 8))), r"no labels of its training split \(train_targets\)"),
        (Split(np.ones((0, 1, 8, 8))), "no training split"),
    ],
)
def test_training_asks_for_what_it_needs_by_name(split: Split, what: str, digits: Dataset) -> None:
    with pytest.raises(SimbenchError, match=f"bare has {what}, which training needs"):
        train_mlp(Dataset("bare", split, digits.test, 10))
