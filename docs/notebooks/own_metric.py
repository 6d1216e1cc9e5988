# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # A metric of your own
#
# From an idea to a verdict: write an index, see where it agrees with others, have its claims measured, and put it to a test.

# %%
import numpy as np
import simbench

random = np.random.default_rng(0)

# %% [markdown]
# ## An index
#
# Two representations are alike if each unit of one has a unit of the other that it correlates with.


# %%
@simbench.metric("best_match", higher_is_more_similar=True, value_range=(0, 1), invariant_to={"permutation"})
def best_match(x, y, power: float = 1.0):
    """Mean over units of X of the largest |correlation| with a unit of Y, raised to a power."""
    x, y = x - x.mean(0), y - y.mean(0)
    correlations = (x.T @ y) / (x.norm(dim=0)[:, None] * y.norm(dim=0)).clip(min=1e-12)
    return correlations.abs().amax(dim=1).pow(power).mean()


# %% [markdown]
# A rotation leaves nothing of the units, and everything of the distances between inputs. Each index sees what it says that
# it sees.

# %%
x = random.normal(size=(300, 12)) * np.linspace(1, 3, 12)
rotation, _ = np.linalg.qr(random.normal(size=(12, 12)))
for name, y in {"permuted": x[:, ::-1], "rotated": x @ rotation, "unrelated": random.normal(size=x.shape)}.items():
    print(f"{name:10}  best_match {simbench.score(x, y, best_match):.2f}  cka {simbench.score(x, y, 'cka'):.2f}")

# %% [markdown]
# An argument with a default is a parameter:

# %%
{power: round(simbench.score(x, x @ rotation, best_match, power=power), 2) for power in (0.5, 1, 2)}

# %% [markdown]
# ## Is it true?
#
# What `simbench check` prints can be had in Python, too. Everything declared is measured on inputs that are easy to get
# wrong; what holds and was not declared is said.

# %%
from simbench.registry import METRICS
from simbench.testing.conformance import check_metric

findings = check_metric(METRICS.get("best_match"))
print([finding.property for finding in findings if finding.ok is False])
for finding in findings:
    if finding.property.startswith(("range", "symmetry", "invariance")):
        print(f"{finding.property:32} declared {finding.declared:18} measured {finding.measured}")

# %% [markdown]
# ## A verdict
#
# Twelve small networks: is every layer most like itself, and does it find its counterpart in a network trained from another
# seed? `simbench.run` trains what it needs once, and keeps it.

# %%
result = simbench.run(
    "quick", metrics=["cka", best_match], suite_metrics=False, only=["identity", "correspondence"], engine="serial"
)
result

# %% [markdown]
# Batches, declarations and packages: [metrics of your own](../metrics-of-your-own.md).
