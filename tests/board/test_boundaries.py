"""The leaderboard takes a table and knows nothing of how it was made."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.process


def test_rendering_imports_neither_torch_nor_models_nor_the_runner():
    code = (
        "import sys, simbench.publish.folder, simbench.publish.terminal;"
        "bad = {'torch', 'simbench.run', 'simbench.models', 'simbench.cli'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
