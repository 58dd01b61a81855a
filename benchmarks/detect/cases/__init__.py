"""All cases, one module a family."""

from __future__ import annotations

from benchmarks.detect.case import Case
from benchmarks.detect.cases import (
    binary,
    categorical,
    counting,
    gaussian,
    heldout_graphs,
    heldout_latent,
    heldout_likelihood,
    heldout_metric,
    heldout_networks,
    heldout_programs,
    heldout_ranking,
    heldout_scripts,
    heldout_survival,
    heldout_vision,
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
    heldout_likelihood,
    heldout_survival,
    heldout_vision,
    heldout_metric,
    heldout_latent,
    heldout_ranking,
    heldout_networks,
    heldout_graphs,
    heldout_scripts,
    heldout_programs,
)
CASES: tuple[Case, ...] = tuple(case for family in FAMILIES for case in family.CASES)
