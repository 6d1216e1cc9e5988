# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Reading results
#
# A published board is data: verdicts as JSON, scores as Parquet. This reads those of the suite `quick`; `simbench publish`
# writes the same files for yours, and `simbench.run(…).to_dict()` gives the document of a run.

# %%
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pyarrow.parquet as parquet

folders = (folder / "leaderboard" / "quick" for folder in (Path.cwd(), *Path.cwd().parents))
board = next(folder for folder in folders if folder.is_dir())
document = json.loads((board / "leaderboard.json").read_text())
rows = {row["metric"]: row for row in document["rows"]}
print(document["suite"], document["version"], "-", len(rows), "metrics")

# %% [markdown]
# ## Verdicts
#
# A verdict has an outcome, what the test is to the metric (`owed`), a grade, and its 95 % interval. A failure is decided: all
# of the interval is below what the test needs. What a metric does not owe is not held against it.

# %%
tests = [column["id"] for column in document["columns"] if column["parent"] is None]


def with_outcome(outcome):
    """Yield metric, test and verdict of every verdict that is owed and has this outcome."""
    for metric, row in rows.items():
        for test in tests:
            verdict = row["tests"][test]
            if verdict["outcome"] == outcome and verdict["owed"] != "not promised":
                yield metric, test, verdict


for metric, test, verdict in with_outcome("fail"):
    low, high = verdict["interval"]
    print(f"{metric:18} {test:18} {verdict['grade']:.2f} [{low:.2f}, {high:.2f}]")

# %% [markdown]
# An undecided verdict is no weak pass. The wider its interval, the more networks are missing.

# %%
widths = [
    (verdict["interval"][1] - verdict["interval"][0], metric, test)
    for metric, test, verdict in with_outcome("undecided")
]
for width, metric, test in sorted(widths, reverse=True)[:5]:
    print(f"{metric:26} {test:18} interval of width {width:.2f}")

# %% [markdown]
# ## Scores
#
# Every score that a verdict rests on has a row: the two sides, the value or the reason why there is none, and the seconds.

# %%
columns = ["metric", "test", "a_model", "a_layer", "a_change", "b_model", "b_layer", "b_change", "value"]
scores = parquet.read_table(board / "scores.parquet", columns=columns).to_pylist()
layers = sorted({score["a_layer"] for score in scores if score["test"] == "correspondence"})


def mean_map(metric):
    """Mean over pairs of networks of the score of every layer with every other one."""
    cells = {(a, b): [] for a in layers for b in layers}
    for score in scores:
        if (
            score["metric"] == metric
            and score["test"] == "correspondence"
            and not score["a_change"] + score["b_change"]
        ):
            cells[score["a_layer"], score["b_layer"]].append(score["value"])
    return np.array([[np.mean(cells[a, b]) if cells[a, b] else np.nan for b in layers] for a in layers])


# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
for place, metric in zip(axes, ("cka", "svcca"), strict=True):
    picture = place.imshow(mean_map(metric), origin="lower")
    place.set_title(metric)
    place.set_xticks(range(len(layers)), layers)
    place.set_yticks(range(len(layers)), layers)
    figure.colorbar(picture, ax=place)
plt.show()

# %% [markdown]
# What the marks mean, and what a tier is: [how to read a verdict](../reading-verdicts.md). Pictures for papers:
# `simbench plot`, in the [gallery](../gallery.md).
