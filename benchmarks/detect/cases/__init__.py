"""All cases, one module a family."""

from __future__ import annotations

from benchmarks.detect.case import Case
from benchmarks.detect.cases import (
    binary,
    categorical,
    counting,
    gaussian,
    latent,
    library,
    metric,
    modules,
    quiet,
    sequence,
    structure,
    styles,
    training,
)

FAMILIES = (
    categorical,
    binary,
    gaussian,
    latent,
    metric,
    sequence,
    counting,
    structure,
    modules,
    training,
    styles,
    quiet,
    library,
)
CASES: tuple[Case, ...] = tuple(case for family in FAMILIES for case in family.CASES)
