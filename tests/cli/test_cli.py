"""The command line as a user meets it: exit codes, one clear block on stderr, results on stdout."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nllcheck.config import Settings
from nllcheck.errors import NllcheckError
from nllcheck.target import Target

FIXTURES = Path(__file__).parents[2] / "fixtures"
STABLE = str(FIXTURES / "softmax_cross_entropy" / "stable.pt")
BAD = str(FIXTURES / "softmax_cross_entropy" / "model.pt")
QUICK = ("--effort", "quick", "--points", "17")  # what is asked here does not hang on how thorough a check is


EXITS = {
    "stable": (("run", STABLE, *QUICK), 0),
    "defects": (("run", BAD, *QUICK), 1),
    "never": (("run", BAD, *QUICK, "--fail-on", "never"), 0),
    "notes fail": (("run", STABLE, *QUICK, "--fail-on", "note"), 1),
    "version": (("--version",), 0),
    "explain": (("explain", "NLL101"), 0),
    "explain builtin": (("explain", "nll000"), 0),
    "list": (("rules", "list"), 0),
    "show": (("rules", "show", "NLL301"), 0),
    "one rule": (("rules", "test", "NLL101"), 0),
    "validate": (("rules", "validate", str(FIXTURES.parent / "rules")), 0),
    "doctor": (("doctor",), 0),
    "explain by name": (("explain", "log-of-softmax"), 0),
    "too few points": (("run", STABLE, "--points", "1"), 2),
    "no points": (("run", STABLE, "--points", "0"), 2),
    "huge seed": (("run", STABLE, "--seed", "9" * 30), 2),
    "bad output": (("run", STABLE, "-o", "json"), 2),
    "bad output kind": (("run", STABLE, "-o", "jsn=x"), 2),
    "nothing at all": ((), 2),
    "no such command": (("runn",), 2),
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
def test_exit_codes(call, case):
    words, code = EXITS[case]
    found, out, err = call(*words)
    assert found == code, err
    assert "Traceback" not in err + out
    assert (err != "") == (code in (2, 4) and bool(words))
    assert (out != "") == (code in (0, 1) or not words)


def test_json_is_strict_and_repeats_byte_for_byte(call):
    texts = [call("run", BAD, *QUICK, "--no-cache", "--format", "json")[1] for _ in range(2)]
    assert texts[0] == texts[1]
    assert json.loads(texts[0], parse_constant=pytest.fail)["schema"] == 1


def test_outputs_are_written_beside_the_terminal(call, tmp_path):
    code, out, _ = call("run", BAD, *QUICK, "-o", f"json={tmp_path}/report.json")
    assert code == 1 and "NLL101" in out
    assert json.loads((tmp_path / "report.json").read_text())["findings"]


def test_unwritable_output_is_an_error(call):
    code, _, err = call("run", STABLE, "-o", "json=/nowhere/at/all.json")
    assert code == 2 and "/nowhere/at/all.json" in err


def test_outputs_are_refused_before_the_work(monkeypatch, call, tmp_path):
    monkeypatch.setattr("nllcheck.check.run", lambda *_: pytest.fail("it ran"))
    code, out, err = call("run", STABLE, "-o", f"json={tmp_path}")
    assert (code, out) == (2, "") and "name a file in it" in err


def test_the_command_line_wins_over_the_file(monkeypatch, call):
    seen = {}

    def note(target, options):
        seen["options"] = options
        raise NllcheckError("enough", exit_code=4)

    target = Target("m", len, "len", None, (), "function", command="nllcheck run m2.pt")
    monkeypatch.setattr("nllcheck.load.load_target", lambda request: (target, Settings(seed=1, fail_on="note")))
    monkeypatch.setattr("nllcheck.check.run", note)
    words = ("m1.pt", "m2.pt", "--batch", "a.pt", "--batch", "b.pt", "--sweep", "x=0:1", "--sweep", "y=0:1")
    assert call("run", *words, "--seed", "7", "--points", "9", "--memory", "2G")[0] == 4
    options = seen["options"]
    assert (options.seed, options.fail_on, options.points, options.memory) == (7, "note", 9, "2G")
    assert options.sweep == ("x=0:1", "y=0:1")


def test_values_of_the_file_are_checked_too(monkeypatch, call):
    monkeypatch.setattr("nllcheck.load.load_target", lambda request: (request, Settings(points=1)))
    code, _, err = call("run", "m.pt")
    assert code == 2 and "at   points" in err


def test_demo_ends_with_next_steps(call):
    code, out, err = call("demo")
    assert (code, err) == (0, "")
    steps = out.rstrip().splitlines()[-2:]
    assert steps[0].startswith("  nllcheck explain NLL") and steps[1].startswith("  nllcheck run ")


def test_a_requested_sweep_is_the_only_one(call):
    _, out, _ = call("run", BAD, "--format", "json", "--sweep", "output[...,1]=-95:-85:101")
    assert [s["axis"]["selector"] for s in json.loads(out)["sweeps"]] == ["output[...,1]"]


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
