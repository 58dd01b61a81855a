"""The vocabulary: frozen values that the stages hand to one another.

Nothing here holds a tensor and nothing here imports torch, so rules, reports and the command line can
speak these words without paying for the engine. Change a value with `dataclasses.replace`.
"""

from __future__ import annotations

from nllcheck.types.axis import PAIR_STATES, Axis, Break, Candidate, LineBits, Move, PairMap, SweepTable, ZCurve
from nllcheck.types.density import Density, DensityName, Divergence
from nllcheck.types.finding import ChainStep, Event, Facts, Finding, Judged
from nllcheck.types.graph import Arg, Discarded, Graph, Node, Ref, Site
from nllcheck.types.words import (
    EFFORTS,
    NEAR,
    PLAUSIBLE,
    SEVERITIES,
    Effort,
    Kind,
    Phase,
    Severity,
    State,
    VerdictName,
    Zone,
)

__all__ = [
    "EFFORTS",
    "NEAR",
    "PAIR_STATES",
    "PLAUSIBLE",
    "SEVERITIES",
    "Arg",
    "Axis",
    "Break",
    "Candidate",
    "ChainStep",
    "Density",
    "DensityName",
    "Discarded",
    "Divergence",
    "Effort",
    "Event",
    "Facts",
    "Finding",
    "Graph",
    "Judged",
    "Kind",
    "LineBits",
    "Move",
    "Node",
    "PairMap",
    "Phase",
    "Ref",
    "Severity",
    "Site",
    "State",
    "SweepTable",
    "VerdictName",
    "ZCurve",
    "Zone",
]
