"""The command line as a user meets it: exit codes, one clear block on stderr, results on stdout."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nllcheck import cli

FIXTURES = Path(__file__).parents[2] / "fixtures"
STABLE = str(FIXTURES / "softmax_cross_entropy" / "stable.pt")
BAD = str(FIXTURES / "softmax_cross_entropy" / "model.pt")


def call(monkeypatch, capsys, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["nllcheck", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    assert "Traceback" not in err + out
    return int(ended.value.code or 0), out, err


EXITS = {
    "stable": (("run", STABLE), 0),
    "defects": (("run", BAD), 1),
    "never": (("run", BAD, "--fail-on", "never"), 0),
    "notes fail": (("run", STABLE, "--fail-on", "note"), 1),
    "version": (("--version",), 0),
    "explain": (("explain", "NLL101"), 0),
    "explain builtin": (("explain", "nll000"), 0),
    "list": (("rules", "list"), 0),
    "show": (("rules", "show", "NLL301"), 0),
    "one rule": (("rules", "test", "NLL101"), 0),
    "validate": (("rules", "validate", str(FIXTURES.parent / "rules")), 0),
    "doctor": (("doctor",), 0),
    "no such option": (("run", STABLE, "--nosuch"), 2),
    "no such rule": (("explain", "NLL999"), 2),
    "no such file": (("run", "nowhere.pt"), 2),
    "bad format": (("run", STABLE, "--format", "pdf"), 2),
    "bad severity": (("run", STABLE, "--fail-on", "errors"), 2),
    "bad dtype": (("run", STABLE, "--dtype", "float23"), 2),
    "bad device": (("run", STABLE, "--device", "gpu"), 2),
    "bad memory": (("run", STABLE, "--memory", "lots"), 2),
    "bad sweep": (("run", STABLE, "--sweep", "output"), 2),
    "unknown axis": (("run", STABLE, "--sweep", "sgima=0:1"), 4),
    "channel too high": (("run", STABLE, "--sweep", "output[...,9]=0:1"), 4),
    "rules folder missing": (("run", STABLE, "--rules", "nowhere"), 2),
}


@pytest.mark.parametrize("case", EXITS)
def test_exit_codes(monkeypatch, capsys, case):
    words, code = EXITS[case]
    found, out, err = call(monkeypatch, capsys, *words)
    assert found == code, err
    assert (err != "") == (code in (2, 4))
    assert (out != "") == (code in (0, 1))


def test_json_is_strict_and_repeats_byte_for_byte(monkeypatch, capsys):
    texts = [call(monkeypatch, capsys, "run", BAD, "--format", "json")[1] for _ in range(2)]
    assert texts[0] == texts[1]
    assert json.loads(texts[0], parse_constant=pytest.fail)["schema"] == 1


def test_outputs_are_written_beside_the_terminal(monkeypatch, capsys, tmp_path):
    code, out, _ = call(monkeypatch, capsys, "run", BAD, "-o", f"json={tmp_path}/report.json")
    assert code == 1 and "NLL101" in out
    assert json.loads((tmp_path / "report.json").read_text())["findings"]


def test_unwritable_output_is_an_error(monkeypatch, capsys):
    code, _, err = call(monkeypatch, capsys, "run", STABLE, "-o", "json=/nowhere/at/all.json")
    assert code == 2 and "/nowhere/at/all.json" in err


def test_a_requested_sweep_is_the_only_one(monkeypatch, capsys):
    _, out, _ = call(monkeypatch, capsys, "run", BAD, "--format", "json", "--sweep", "output[...,1]=-95:-85:101")
    assert [s["axis"]["selector"] for s in json.loads(out)["sweeps"]] == ["output[...,1]"]


def test_an_unexpected_exception_is_exit_3(monkeypatch, capsys):
    def explode():
        raise RuntimeError("boom")

    monkeypatch.setattr(cli, "app", explode)
    code, _, err = call(monkeypatch, capsys, "run")
    assert code == 3 and "internal error: RuntimeError: boom" in err


def test_ctrl_c_is_one_line(monkeypatch, capsys):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "app", interrupt)
    code, _, err = call(monkeypatch, capsys, "run")
    assert code == 130 and err.count("\n") == 1


def test_help_imports_neither_torch_nor_pandas():
    code = (
        "import sys; sys.argv = ['nllcheck', 'run', '--help']\n"
        "from nllcheck import cli\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'pandas'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--sweep" in done.stdout


def test_closed_pipe_is_silent():
    done = subprocess.run(
        f"{sys.executable} -m nllcheck rules show NLL301 | head -1", shell=True, capture_output=True, text=True
    )
    assert done.stderr == "" and done.stdout.startswith("# yaml-language-server")
