"""The command as a whole: help, versions, exit codes, errors as single lines."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import simbench
from simbench.cli.main import VERBS, reporting_errors
from simbench.errors import ExitCode, SimbenchError, SuiteError

HELP_CPU_SECONDS = 1.0
"""Half of it is what we ask for; the rest is for slow machines."""


def test_help_lists_the_verbs_in_the_order_of_their_use(invoke):
    text = invoke("--help").stdout
    assert re.findall(rf"^  ({'|'.join(VERBS)})  ", text, re.MULTILINE) == list(VERBS)


@pytest.mark.process
def test_help_takes_little_time():
    process = subprocess.Popen([sys.executable, "-m", "simbench", "--help"], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    assert usage.ru_utime + usage.ru_stime < HELP_CPU_SECONDS


@pytest.mark.process
def test_help_imports_nothing_heavy():
    code = (
        "import sys; from simbench.cli.main import build_app; build_app();"
        "heavy = {'torch', 'numpy', 'scipy', 'pydantic', 'rich', 'jinja2', 'yaml'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(invoke, verb):
    done = invoke(verb, "--help")
    assert done.exit_code == 0
    assert "Usage:" in done.stdout


def test_version(invoke):
    assert invoke("--version").stdout == f"simbench {simbench.__version__}\n"


def test_an_unknown_verb_is_a_usage_error(shell):
    done = shell("rnu", "sanity")
    assert done.returncode == ExitCode.USAGE
    assert "Traceback" not in done.stderr


def test_an_unknown_option_is_a_usage_error(invoke):
    assert invoke("list", "metrics", "--jsn").exit_code == ExitCode.USAGE


def raising(error):
    """An application whose one verb raises."""
    app = typer.Typer()

    def verb() -> None:
        raise error

    app.command()(reporting_errors(verb))
    return CliRunner().invoke(app, [])


@pytest.mark.parametrize("code", [ExitCode.USAGE, ExitCode.INCOMPLETE])
def test_an_error_of_the_user_sets_the_exit_code(code):
    error = SimbenchError("no such thing")
    error.exit_code = code
    assert raising(error).exit_code == code


def test_an_error_of_the_user_is_one_line_per_problem_on_standard_error():
    done = raising(SuiteError(["a.yaml:1:1: one", "a.yaml:2:1: two"]))
    assert done.stderr == "error: a.yaml:1:1: one\nerror: a.yaml:2:1: two\n"
    assert done.stdout == ""


def test_an_interrupt_exits_with_130():
    assert raising(KeyboardInterrupt()).exit_code == ExitCode.INTERRUPTED


@pytest.mark.process
def test_ctrl_c_in_the_middle_of_a_command_exits_with_130_and_no_traceback(metric_file, tmp_path):
    path = metric_file("slow", 'import pathlib, time; pathlib.Path("started").touch(); time.sleep(60)')
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(10, 2)))
    command = [sys.executable, "-m", "simbench", "score", "x.npy", "x.npy", "--metric", str(path)]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 50
    while not (tmp_path / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (ExitCode.INTERRUPTED, "interrupted\n")
