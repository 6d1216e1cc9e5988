"""Extraction that is killed by -9 goes on from its last shards; one that is refused says so in one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from simbench.representations.storage import load_activations

pytestmark = [pytest.mark.process, pytest.mark.trains]

# A network that is slow where it is told to be, counts the inputs that it reads, and writes small shards.
NETWORK = """\
import os, time
from torch import nn
import simbench.representations.writer
from simbench.models.architecture import architecture

simbench.representations.writer.SHARD_BYTES = 20_000

class Network(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv, self.second, self.out = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(8, classes)
    def forward(self, x):
        with open(os.environ["COUNTED"], "a") as file:
            file.write(f"{len(x)}\\n")
        if len(x) > 100:
            time.sleep(float(os.environ.get("SECONDS", "0")))
        return self.out(self.second(self.conv(x).relu()).mean((2, 3)))

@architecture("slow", version=1)
def slow(input_shape, classes): return Network(classes)
"""
SUITE = """\
suite: slow
version: 1
plugins: [./network.py]
probe: {dataset: digits, split: train, inputs: 1250, spatial: SPATIAL}
models:
  a: {architecture: slow, train: {dataset: digits, epochs: 0}, layers: [conv, second]}
metrics: [cka]
tests:
  - {id: identity, kind: identity, models: [a]}
"""


def command(store: str) -> list[str]:
    return [sys.executable, "-m", "simbench.cli.main", "run", "suite.yaml", "--store", store, "--jobs", "1"]


def finished(folder: Path, store: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COUNTED": str(folder / store) + ".counted", "COLUMNS": "200"}
    return subprocess.run(command(store), cwd=folder, env=environment, capture_output=True, text=True, check=False)


def counted(folder: Path, store: str) -> int:
    return sum(int(line) for line in Path(f"{folder / store}.counted").read_text().split())


@pytest.mark.parametrize("spatial", ["pool", "flatten"])
def test_kill_9_in_the_middle_of_extraction_loses_a_shard(spatial: str, tmp_path: Path) -> None:
    (tmp_path / "network.py").write_text(NETWORK)
    (tmp_path / "suite.yaml").write_text(SUITE.replace("SPATIAL", spatial))
    environment = {**os.environ, "COUNTED": str(tmp_path / "killed.counted"), "SECONDS": "0.3"}
    process = subprocess.Popen(command("killed"), cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "killed").glob("activations/*/*.shards/*.safetensors")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)  # with which its workers end, too
    process.wait()
    assert not list((tmp_path / "killed").glob("activations/*/*.safetensors"))
    time.sleep(0.5)
    Path(tmp_path / "killed.counted").unlink()
    resumed, whole = finished(tmp_path, "killed"), finished(tmp_path, "whole")
    assert resumed.returncode == whole.returncode == 0, resumed.stderr
    assert "damaged" not in resumed.stderr
    assert counted(tmp_path, "killed") < counted(tmp_path, "whole")
    files = [sorted((tmp_path / store).glob("activations/*/*.safetensors")) for store in ("killed", "whole")]
    assert [path.name for path in files[0]] == [path.name for path in files[1]]
    for mine, other in zip(*files, strict=True):
        assert torch.equal(load_activations(mine), load_activations(other))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "network.py").write_text(NETWORK)
    (tmp_path / "suite.yaml").write_text(SUITE.replace("SPATIAL", "pool"))
    (tmp_path / "store").mkdir(mode=0o555)
    done = finished(tmp_path, "store")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
