"""Guards that are computed and thrown away: a clamp whose result nothing uses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from nllcheck.diagnose.builtin import IDLE
from nllcheck.diagnose.texts import built
from nllcheck.diagnose.wording import is_library, sentence, spelled
from nllcheck.graphs import ancestors
from nllcheck.types import Discarded, Event, Finding, Graph, Ref


def thrown_away(graph: Graph) -> Iterable[Finding]:
    """A note for every guard in the user's own lines whose result is dropped."""
    for guard in _own(graph):
        value = spelled(graph, Ref(guard.guarded))
        text = sentence(f"the {guard.op} of {value} is computed and thrown away: {value} goes on without it")
        words = built(IDLE, text)
        yield Finding(
            kind="nan",
            verdict="silent",
            severity="note",
            phase="forward",
            op=guard.op,
            site=guard.site,
            reason="nothing in the captured program reads its result",
            **words,
        )


def with_idle_guards(graph: Graph, finding: Finding, events: Sequence[Event]) -> Finding:
    """The finding of a failure, with the thrown-away guards of the values that it is computed from."""
    read = ancestors(graph, *(e.node for e in events))
    lines = dict.fromkeys(f"the {g.op} on line {g.site.line}" for g in _own(graph) if g.guarded in read and g.site)
    if not lines or finding.kind not in ("nan", "inf"):
        return finding
    return replace(
        finding, message=f"{finding.message.rstrip('.')}; {' and '.join(lines)} is computed and thrown away."
    )


def _own(graph: Graph) -> list[Discarded]:
    return [g for g in graph.discarded if g.site and not is_library(g.site)]
