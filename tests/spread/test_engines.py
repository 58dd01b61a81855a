"""Whoever evaluates the pieces, and however often they were interrupted: the same bytes as from one process."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from cases import ALL, batch_for, model_for
from spread_plans import LOSSES, plan_for

import nllcheck
from nllcheck.engine.folder import Folder, collected
from nllcheck.engine.identity import key_of
from nllcheck.errors import NllcheckError
from nllcheck.sweep.plan import evaluate, gathered, local
from nllcheck.sweep.trace import Trace


def quiet(text: str) -> None:
    """Nobody waits."""


def everything(plan) -> range:
    return range(len(plan.pieces))


def shards(folder: Path):
    """Three processes' shares, then their merge."""

    def engine(plan, wanted, tell):
        for first in range(3):
            for _ in Folder(folder, shard=f"{first + 1}/3")(plan, wanted[first::3], tell):
                pass
        yield from collected([folder])(plan, wanted, tell)

    return engine


def resumed(folder: Path):
    """Half of it is there, one piece of that cut short and one with a bit turned."""

    def engine(plan, wanted, tell):
        for _ in Folder(folder)(plan, wanted[::2], tell):
            pass
        short, turned = sorted(folder.iterdir())[:2]
        short.write_bytes(short.read_bytes()[:-9])
        content = bytearray(turned.read_bytes())
        content[-3] ^= 1
        turned.write_bytes(content)
        yield from Folder(folder)(plan, wanted, tell)

    return engine


def backwards(folder: Path):
    """Pieces may come in any order."""
    return lambda plan, wanted, tell: local(plan, wanted[::-1], tell)


ENGINES = {"shards": shards, "resumed": resumed, "folder": Folder, "backwards": backwards}


def content(trace: Trace) -> list[object]:
    """Every column, bit by bit."""
    values = [getattr(trace, f.name) for f in fields(Trace)]
    return [v.contiguous().view(torch.uint8).numpy().tobytes() if isinstance(v, torch.Tensor) else v for v in values]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", LOSSES)
def test_every_engine_gives_the_same_bytes(name, engine, tmp_path):
    plan = plan_for(name)
    assert len(plan.pieces) > len(plan.lanes)
    alone = gathered(plan, local(plan, everything(plan), quiet))
    spread = gathered(plan, ENGINES[engine](tmp_path)(plan, everything(plan), quiet))
    assert list(map(content, spread)) == list(map(content, alone))


@pytest.mark.parametrize("name", ["correlation", "mixture_logsumexp"])
def test_states_and_ranges_are_those_of_the_single_points(name):
    plan = plan_for(name)
    for lane, trace in zip(plan.lanes, gathered(plan, local(plan, everything(plan), quiet)), strict=True):
        rows = [evaluate(plan, piece) for piece in plan.pieces if plan.lanes[piece.lane] is lane]
        state = trace.patterns[trace.pattern]
        assert torch.equal(state, torch.cat([row.patterns[row.pattern] for row in rows]))
        assert state.shape == (trace.points.numel(), len(lane.names))


@pytest.mark.parametrize("engine", ["shards", "resumed"])
def test_reports_are_the_same_bytes(engine, tmp_path):
    case = ALL["correlation"]
    options = {"memory": "1M", "points": 60}

    def report(**more):
        return nllcheck.check(case.loss, model=model_for(case), batch=batch_for(case), **options, **more).to_json()

    assert report(engine=ENGINES[engine](tmp_path)) == report()


def test_what_is_there_is_not_evaluated_again(tmp_path):
    plan = plan_for("correlation")

    def none_left(plan, wanted, tell):
        assert list(wanted) == []
        return iter(())

    gathered(plan, Folder(tmp_path)(plan, everything(plan), quiet))
    gathered(plan, Folder(tmp_path, none_left)(plan, everything(plan), quiet))


def test_the_key_is_of_the_sweep_and_not_of_the_process(tmp_path):
    plan = plan_for("correlation")
    assert key_of(plan) == key_of(plan_for.__wrapped__("correlation"))
    assert key_of(plan) != key_of(plan_for("where_hides_nan"))


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
import nllcheck.disk as disk
from nllcheck.sweep import plan as plans
plans.WORK = 1.0
from spread_plans import plan_for
from nllcheck.engine.folder import Folder

def killing(aside, target, done=[], real=os.replace):
    done.append(target)
    if len(done) == 5:
        if sys.argv[2] == "half":
            os.truncate(aside, 100)
        if sys.argv[2] == "after":
            real(aside, target)
        os.kill(os.getpid(), signal.SIGKILL)
    real(aside, target)

os.replace = killing
plan = plan_for("correlation")
list(Folder(Path(sys.argv[1]))(plan, range(len(plan.pieces)), lambda text: None))
"""


@pytest.mark.parametrize(("moment", "kept"), [("half", 4), ("after", 5)])
def test_a_killed_run_loses_one_piece_at_most(tmp_path, moment, kept):
    here = Path(__file__).parent
    command = [
        sys.executable,
        "-c",
        KILLED,
        str(tmp_path),
        moment,
        str(here),
        str(here.parent / "engine"),
        str(here.parents[1]),
    ]
    assert subprocess.run(command, capture_output=True, timeout=120).returncode == -9
    pieces = sorted(tmp_path.glob("piece-*"))
    before = {path: path.read_bytes() for path in pieces}
    assert len(pieces) == kept
    plan = plan_for("correlation")
    alone = gathered(plan, local(plan, everything(plan), quiet))
    assert list(map(content, gathered(plan, Folder(tmp_path)(plan, everything(plan), quiet)))) == [
        content(trace) for trace in alone
    ]
    assert {path: path.read_bytes() for path in pieces} == before


def filled(folder: Path, name: str = "correlation"):
    plan = plan_for(name)
    for first in range(2):
        for _ in Folder(folder, shard=f"{first + 1}/2")(plan, everything(plan)[first::2], quiet):
            pass
    return plan, sorted(folder.iterdir())


def test_a_missing_piece_is_named_with_its_shard(tmp_path):
    _, paths = filled(tmp_path)
    paths[1].unlink()
    with pytest.raises(NllcheckError, match=f"pieces are missing: {paths[1].name}") as caught:
        collected([tmp_path])
    assert "shard 2/2" in caught.value.hint and caught.value.exit_code == 4


def test_a_double_piece_is_named(tmp_path):
    _, paths = filled(tmp_path)
    again = tmp_path / "again.safetensors"
    again.write_bytes(paths[0].read_bytes())
    with pytest.raises(NllcheckError, match=f"there twice: also as {paths[0]}") as caught:
        collected([tmp_path, again])
    assert caught.value.where == str(again)


def test_a_foreign_piece_is_named(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    filled(tmp_path / "a")
    _, strange = filled(tmp_path / "b", "where_hides_nan")
    with pytest.raises(NllcheckError, match="belongs to another target") as caught:
        collected([tmp_path / "a", strange[0]])
    assert caught.value.where == str(strange[0])
    plan = plan_for("correlation")
    with pytest.raises(NllcheckError, match="of another sweep"):
        list(collected([tmp_path / "b"])(plan, everything(plan), quiet))


def test_a_folder_of_something_else_is_refused(tmp_path):
    _plan, paths = filled(tmp_path)
    other = plan_for("where_hides_nan")
    paths[0].rename(tmp_path / f"piece-00000-of-{len(other.pieces):05}.safetensors")
    with pytest.raises(NllcheckError, match="of no use here"):
        list(Folder(tmp_path)(other, everything(other), quiet))


@pytest.mark.parametrize("damage", [b"", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ", b"no tensors at all, but text"])
def test_what_is_no_piece_is_named(tmp_path, damage):
    _, paths = filled(tmp_path)
    paths[0].write_bytes(damage)
    with pytest.raises(NllcheckError, match="damaged") as caught:
        collected([tmp_path])
    assert caught.value.where == str(paths[0])


def test_a_turned_bit_is_found_at_the_merge(tmp_path):
    plan, paths = filled(tmp_path)
    content = bytearray(paths[2].read_bytes())
    content[len(content) // 2] ^= 4
    paths[2].write_bytes(content)
    with pytest.raises(NllcheckError, match="damaged") as caught:
        list(collected([tmp_path])(plan, everything(plan), quiet))
    assert caught.value.where == str(paths[2])


def test_a_full_disk_is_one_clear_error(tmp_path):
    plan = plan_for("correlation")
    name = f"piece-00000-of-{len(plan.pieces):05}.safetensors"
    (tmp_path / name).symlink_to("/dev/full")
    with pytest.raises(NllcheckError, match="no space left") as caught:
        list(Folder(tmp_path)(plan, everything(plan), quiet))
    assert caught.value.where == str(tmp_path / name)
