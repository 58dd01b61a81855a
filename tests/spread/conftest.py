"""Puts the losses of tests/engine on the path, and cuts sweeps into many small pieces."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "engine")]  # for spread_plans, for cases


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    from nllcheck.sweep import plan as plans

    monkeypatch.setattr(plans, "WORK", 1.0)
