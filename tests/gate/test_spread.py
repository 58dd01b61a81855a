"""--save-sweep, --shard, --resume and merge, as a user calls them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from nllcheck.cli.spread import share
from nllcheck.errors import NllcheckError

ONE = ("--target", "bad")
CODE = ("--model", "model.py:build", "--loss", "losses.py:nll")
ON_LINE = ("model.pt", *CODE, "--batch", "batch.pt", "--points", "17", "--effort", "quick")


@pytest.fixture(params=[ONE, ON_LINE], ids=["named", "on-the-line"])
def shards(request, project, call):
    """What was checked; its two shards are in the folder `parts`."""
    if request.param == ON_LINE:
        Path("pyproject.toml").unlink()
    for i in (1, 2):
        code, out, err = call("run", *request.param, "--shard", f"{i}/2", "--resume", "parts")
        assert (code, err) == (0, "") and f"shard {i}/2" in out
    return request.param


def test_merged_shards_are_the_report_of_one_process(shards, project, call):
    report = call("run", *shards, "--no-cache", "--format", "json", "--save-sweep", "alone.csv")
    confirmed = CODE if shards == ON_LINE else ()
    merged = call("merge", "parts", *confirmed, "--format", "json", "--save-sweep", "merged.csv")
    assert report[0] == 1 and merged == report
    assert Path("merged.csv").read_bytes() == Path("alone.csv").read_bytes()
    points = sum(axis["points"] for axis in json.loads(report[1])["sweeps"])
    assert Path("alone.csv").read_text().count("\n") == points + 1


@pytest.mark.parametrize("shards", [ON_LINE], indirect=True, ids=["on-the-line"])
def test_shards_do_not_choose_the_code_that_runs(shards, project, call):
    code, out, err = call("merge", "parts")
    assert code == 2 and out == "" and "nllcheck merge parts --model model.py:build --loss losses.py:nll" in err
    code, out, err = call("merge", "parts", "--model", "other.py:build")
    assert code == 2 and out == "" and "--model model.py:build" in err


def test_a_changed_loss_refuses_its_old_shards(project, call):
    for i in (1, 2):
        call("run", *ONE, "--shard", f"{i}/2", "--resume", "parts")
    Path("losses.py").write_text(Path("losses.py").read_text().replace("torch.log(p)", "torch.log(p + 1e-9)"))
    sys.modules.pop("losses", None)
    for words in (("merge", "parts"), ("run", *ONE, "--no-cache", "--resume", "parts")):
        code, out, err = call(*words)
        assert code == 2 and out == "" and ("of another sweep" in err or "of no use here" in err)


@pytest.mark.parametrize("change", [{"made": None}, {"made": {"request": {"paths": 3}, "given": {}}}, {"schema": 9}])
def test_what_a_piece_says_is_checked(project, call, change):
    call("run", *ONE, "--shard", "1/1", "--resume", "parts")
    for path in Path("parts").iterdir():
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
        metadata["nllcheck"] = json.dumps(json.loads(metadata["nllcheck"]) | change)
        save_file(load_file(path), path, metadata)
    code, out, err = call("merge", "parts")
    assert code == 2 and out == "" and err.startswith("error: ")


REFUSED = {
    "no folder": (("--shard", "1/2"), "--resume DIR"),
    "a report": (("--shard", "1/2", "--resume", "d", "--format", "json"), "nllcheck merge"),
    "points": (("--shard", "1/2", "--resume", "d", "--save-sweep", "a.csv"), "nllcheck merge"),
    "which": (("--shard", "3/2", "--resume", "d"), "no shard 3 of 2"),
    "none": (("--shard", "0/2", "--resume", "d"), "no shard 0 of 2"),
    "form": (("--shard", "a/b", "--resume", "d"), "cannot read the shard"),
    "file": (("--resume", "model.pt"), "cannot make the folder"),
    "engine": (("--engine", "rya"), "did you mean 'ray'"),
    "address": (("--address", "auto"), "--engine ray"),
    "suffix": (("--save-sweep", "a.txt"), "saved as .csv or .parquet"),
    "place": (("--save-sweep", "no/a.csv"), "make the directory"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_go_together_is_refused(case, project, call):
    words, said = REFUSED[case]
    code, out, err = call("run", *ONE, "--no-cache", *words)
    assert code == 2 and out == "" and said in err


def test_several_targets_do_not_share_a_folder(project, call):
    code, _, err = call("run", "--no-cache", "--resume", "parts")
    assert code == 2 and "--target" in err


def test_nothing_to_merge(project, call):
    code, _, err = call("merge", "nowhere")
    assert code == 2 and "there are no pieces" in err


def test_without_ray_the_extra_is_named(project, call, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, err = call("run", *ONE, "--no-cache", "--engine", "ray")
    assert code == 2 and "nllcheck[ray]" in err


SHARES = {
    "2/8": ({}, (2, 8)),
    "auto": ({"RANK": "0", "WORLD_SIZE": "4"}, (1, 4)),
    "auto ": ({"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "5", "SLURM_ARRAY_TASK_COUNT": "3"}, (3, 3)),
    "auto  ": (
        {
            "SLURM_ARRAY_TASK_ID": "9",
            "SLURM_ARRAY_TASK_MIN": "1",
            "SLURM_ARRAY_TASK_STEP": "4",
            "SLURM_ARRAY_TASK_COUNT": "3",
        },
        (3, 3),
    ),
    "auto/5": ({"JOB_COMPLETION_INDEX": "4"}, (5, 5)),
}


@pytest.mark.parametrize("text", SHARES)
def test_the_scheduler_says_which_share(text):
    environ, expected = SHARES[text]
    assert share(text.strip(), environ) == expected


@pytest.mark.parametrize(
    "environ",
    [{}, {"JOB_COMPLETION_INDEX": "4"}, {"RANK": "x", "WORLD_SIZE": "4"}, {"RANK": "4", "WORLD_SIZE": "4"}],
)
def test_a_share_is_never_guessed(environ):
    with pytest.raises(NllcheckError):
        share("auto", environ)


@pytest.mark.parametrize("count", range(1, 12))
def test_shares_cover_everything_once(count):
    shares = [share(f"{i + 1}/{count}", {}) for i in range(count)]
    assert sorted(k for index, many in shares for k in range(40)[index - 1 :: many]) == list(range(40))
