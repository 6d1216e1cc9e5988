"""Whatever the command line prints, a name in a stranger's file cannot steer the terminal."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from tests.publish.test_hidden_characters import EVIL, hidden
from typer.testing import CliRunner

from simbench.cli import main, output
from simbench.cli.main import reporting_errors
from simbench.cli.output import print_json, say
from simbench.cli.progress import listener
from simbench.errors import SimbenchError
from simbench.publish.visible_console import VisibleConsole
from simbench.run.events import Advanced, StageFinished, StageStarted, Warned
from simbench.verify.report import Discrepancy, Report, Step, lines

CLI = Path(main.__file__).parent


def test_verbs_print_through_helpers_alone():
    """Those of `output.py` show what would steer a terminal."""
    direct = re.compile(r"(?<![\w.])print\(|typer\.echo\(|(?<!\w)Console\(")
    found = {
        path.name
        for path in CLI.glob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if direct.search(line) and "__version__" not in line
    }
    assert found == {Path(output.__file__).name}


def test_errors(capsys):
    import typer

    def fails():
        raise SimbenchError(EVIL)

    with pytest.raises(typer.Exit):
        reporting_errors(fails)()
    printed = capsys.readouterr().err
    assert hidden(printed) == []
    assert all(line.startswith("error: ") for line in printed.splitlines())


def test_tracebacks(capsys):
    try:
        raise ValueError(EVIL)
    except ValueError as error:
        main._print_traceback(type(error), error, error.__traceback__)
    printed = capsys.readouterr().err
    assert hidden(printed) == []
    assert printed.startswith("Traceback")


def test_warnings():
    said = main._format_warning(UserWarning(EVIL), UserWarning, EVIL, 3)
    assert hidden(said) == []
    assert said.count("\n") == 1


def test_json_is_the_same_document(capsys):
    print_json({EVIL: [EVIL, "é"]})
    printed = capsys.readouterr().out
    assert hidden(printed) == []
    assert json.loads(printed) == {EVIL: [EVIL, "é"]}
    assert "é" in printed


def test_a_report_on_a_bundle_has_a_line_for_each_finding(capsys):
    finding = Discrepancy("score", EVIL, EVIL, EVIL)
    report = Report(
        EVIL, EVIL, EVIL, (Step("claimed", "differs", EVIL, (finding, Discrepancy(EVIL, EVIL, note=EVIL)), (EVIL,)),)
    )
    say(*lines(report))
    printed = capsys.readouterr().out
    assert hidden(printed) == []
    assert not any(line.lstrip().startswith("✓ verified") for line in printed.splitlines())


@pytest.mark.parametrize("terminal", [True, False])
def test_progress(terminal):
    out = io.StringIO()
    with listener(VisibleConsole(file=out, force_terminal=terminal, color_system=None, width=200)) as listen:
        listen(StageStarted("scores", 3, 0))
        listen(Advanced("scores", 1, EVIL))
        listen(Warned(EVIL))
        listen(StageFinished("scores", 0))
    text = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]|\r", "", out.getvalue()) if terminal else out.getvalue()
    assert hidden(text) == []
    assert "\x1b[2K\x1b]0" not in out.getvalue()
    assert r"\x1b]0;title" in out.getvalue()


def test_a_bundle_with_hidden_characters_in_its_name(tmp_path, invoke):
    (tmp_path / "evil\x1b[2K.zip").write_text("hello")
    done = invoke("verify", "evil\x1b[2K.zip")
    assert done.exit_code == 2
    assert hidden(done.stderr) == []
    assert r"evil\x1b[2K.zip" in done.stderr


def test_a_suite_with_hidden_characters_in_a_reference(tmp_path, invoke):
    (tmp_path / "s.yaml").write_text("suite: x\u202e\nversion: \u200b1\nmetrics: ['a\u2066']\n")
    done = invoke("check", "s.yaml")
    assert done.exit_code == 2
    assert hidden(done.stderr) == []


def test_help_and_usage_errors_are_typers_own():
    done = CliRunner().invoke(main.build_app(), ["verify"])
    assert done.exit_code == 2
