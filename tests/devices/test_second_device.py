"""Wherever a loss lives the report is the CPU's: on a second device that computes the CPU's numbers, to the letter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from second import built, compiler

BOTH = Path(__file__).with_name("both.py")
ROOT = BOTH.parents[2]


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="no C++ compiler")
def test_a_second_device_is_told_what_the_cpu_is(tmp_path):
    """In a process of its own: a device stays for good once it is registered."""
    command = [sys.executable, str(BOTH), str(built(tmp_path))]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests/engine")])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    differing = dict(json.loads(line) for line in run.stdout.splitlines())
    assert len(differing) > 12
    assert {name: found for name, found in differing.items() if found} == {}
