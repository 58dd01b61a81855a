"""Writes what the documentation takes from the program: `python docs/make.py`.

docs/rules.md   every rule, from its file
docs/run.svg    a real run on a shipped model, as a terminal shows it
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MODEL = "fixtures/softmax_cross_entropy/model.pt"


def rules_page() -> str:
    """Markdown: a table of all rules, then each in full."""
    from nllcheck.diagnose.builtin import BUILTINS
    from nllcheck.rules import load

    rules = load()
    rows = [(rule.id, rule.name, rule.severity) for rule in rules] + [(b.id, b.name, "by verdict") for b in BUILTINS]
    table = ["| rule | offence | severity |", "|---|---|---|"]
    table += [f"| [{name}](#{name.lower()}) | {offence} | {severity} |" for name, offence, severity in sorted(rows)]
    texts = {rule.id: _rule(rule) for rule in rules} | {b.id: _builtin(b) for b in BUILTINS}
    head = (
        "# Rules\n\nMade from the rule files by `python docs/make.py`. `nllcheck explain NLL101` prints one of them.\n"
    )
    return "\n".join([head, *table, "", *(texts[name] for name in sorted(texts))])


def _rule(rule: Any) -> str:
    told = [f"## {rule.id}\n\n**{rule.name}** · {rule.severity}\n", f"{_line(rule.why)}\n"]
    told += [f"- {label}: {text}" for label, text in _facts(rule) if text]
    examples = (("It fires on", rule.tests.fires[0]), ("and stays silent on", rule.tests.silent[0]))
    told += [f"\n{label}\n\n```python\n{code.strip()}\n```" for label, code in examples]
    return "\n".join(told) + "\n"


def _facts(rule: Any) -> list[tuple[str, str]]:
    return [
        ("matches", ", ".join(f"`{pattern}`" for pattern in rule.match)),
        ("when", f"`{rule.when}`" if rule.when else ""),
        ("instead", f"`{_line(rule.fix)}`" if rule.fix else ""),
        ("advice", _line(rule.advice or "")),
        ("not meant", _line(rule.false_positives or "")),
        ("sources", _line("; ".join(rule.references))),
    ]


def _builtin(builtin: Any) -> str:
    head = f"## {builtin.id}\n\n**{builtin.name}** · built in\n"
    return f"{head}\n{_line(builtin.why)}\n\n- advice: {_line(builtin.advice)}\n"


def _line(text: str) -> str:
    return " ".join(text.split())


def picture() -> str:
    """SVG of `nllcheck run` on a shipped model, without the web fonts that rich would load."""
    from rich.console import Console
    from rich.text import Text

    from nllcheck.cli.run import gated
    from nllcheck.report.terminal import render

    request = {"paths": (MODEL,), "model": None, "loss": None, "batches": (), "target": None, "trust": False}
    reports = gated({**request, "init": False}, {}, {})
    console = Console(record=True, width=100, file=io.StringIO(), force_terminal=True, legacy_windows=False)
    console.print(Text(f"$ nllcheck run {MODEL}\n", style="bold"))
    console.print(Text.from_ansi(render(reports[0], 100, color=True)))
    made = console.export_svg(title="nllcheck", unique_id="nllcheck")
    return re.sub(r"@font-face \{.*?\}\s*", "", made, flags=re.DOTALL)


if __name__ == "__main__":
    os.chdir(HERE.parent)
    (HERE / "rules.md").write_text(rules_page(), encoding="utf-8")
    (HERE / "run.svg").write_text(picture(), encoding="utf-8")
