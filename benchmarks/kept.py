"""Results that are kept: each run prints the previous one beside the new, so that a regression is seen."""

from __future__ import annotations

import datetime
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    cpu = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in cpu.read_text().splitlines() if line.startswith("model name")]
    found: dict[str, Any] = {
        "cpu": names[0] if names else platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    return found | ({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {})


def compared(name: str, figures: dict[str, float], keep: bool = True) -> str:
    """A table of the figures beside the kept ones; with `keep` they take their place."""
    path = RESULTS / f"{name}.json"
    before = json.loads(path.read_text()) if path.exists() else {"figures": {}, "date": "never", "machine": {}}
    rows = [f"| {what} | {figure:.4g} | {_previous(before['figures'].get(what))} |" for what, figure in figures.items()]
    head = [f"{name}: {machine()}", f"previous: {before['date']}, {before['machine']}", ""]
    if keep:
        command = " ".join(["python", *sys.argv])
        told = {"date": str(datetime.date.today()), "command": command, "machine": machine(), "figures": figures}
        RESULTS.mkdir(exist_ok=True)
        path.write_text(json.dumps(told, indent=2) + "\n")
    return "\n".join([*head, "| what | now | before |", "|---|--:|--:|", *rows, ""])


def _previous(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
