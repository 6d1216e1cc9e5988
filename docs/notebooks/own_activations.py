# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Activations of your own
#
# Two networks that share nothing but their inputs: which layer of one is like which layer of the other, and may the index be
# believed?

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import simbench
from sklearn.datasets import load_digits

images, labels = load_digits(return_X_y=True)
images = images[:400] / 16

# %% [markdown]
# ## Layers
#
# Any mapping of names to arrays will do, or a folder with a file for each layer. Here networks are random, so that the page
# is quick to make: each layer mixes the one before it, and adds something that no other network has.


# %%
def activations(seed, widths):
    random, x, layers = np.random.default_rng(seed), images, {}
    for number, width in enumerate(widths):
        mixed = x @ random.normal(size=(x.shape[1], width)) / np.sqrt(x.shape[1])
        x = np.tanh(mixed + 0.5 * random.normal(size=mixed.shape))
        layers[f"layer{number}"] = x
    return layers


deep, flat = activations(0, [40, 40, 40, 40, 40]), activations(1, [80, 80, 80])
scores = simbench.score_layers(deep, flat, "cka")
print(scores.most_similar)

# %%
figure, axes = plt.subplots(figsize=(4, 4))
picture = axes.imshow(scores.values, origin="lower", vmin=0, vmax=1)
axes.set_xticks(range(len(scores.columns)), scores.columns)
axes.set_yticks(range(len(scores.rows)), scores.rows)
figure.colorbar(picture, label="cka")
plt.show()

# %% [markdown]
# ## May it be believed?
#
# One pair of networks cannot tell. With a dozen of a kind, a suite asks what a sound index must show.

# %%
folder = Path(tempfile.mkdtemp())
for seed in range(12):
    (folder / f"deep{seed}").mkdir()
    for name, layer in activations(seed, [40, 40, 40, 40]).items():
        np.save(folder / f"deep{seed}" / f"{name}.npy", layer)

(folder / "acts.yaml").write_text("""
suite: acts
version: 1
models:
  deep: {activations: "deep{seed}/{layer}.npy", seeds: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]}
metrics: [cka, svcca, procrustes, mutual_knn]
tests:
  - {id: identity, kind: identity, models: [deep], pass_if: ">= 0.9"}
  - {id: counterparts, kind: correspondence, models: [deep], claim: arg_max, pass_if: ">= 0.5"}
  - {id: depth, kind: layer_monotonicity, models: [deep], pass_if: ">= 0.9"}
""")
result = simbench.run(folder / "acts.yaml", engine="serial")
result

# %% [markdown]
# More forms of files, labels, and what is skipped where there is no network:
# [activations of your own](../activations-of-your-own.md).
