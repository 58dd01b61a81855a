"""Names that people give to distribution parameters, and the values such a parameter can have."""

from __future__ import annotations

import math
import re

_POSITIVE = (
    r"sig(ma)?s?|sd|std|stds|stddev|scale|scales|var|vars|variance|variances|alpha|alphas|beta|betas|conc|"
    r"concentration|concentrations|rate|lam|lambda_?|kappa|precision|prec|tau|temperature|temp|nu|df|dof|"
    r"sigma_?sq|bandwidth|dispersion|total_count|gamma|s[xy12]|sxsy|s1s2|theta|shape|var_?[xy12]|variance_?[xy12]"
)
_UNIT = r"p|ps|prob|probs|probability|probabilities|pi|pis|weights?_?pi|mix(ing)?|mixture|pdf|density|likelihoods?|q"
_CORRELATION = r"rho|rhos|corr|correlation|cor|r"
_REAL = (
    r"mu|mus|mean|means|loc|locs|m|log_?var(iance)?|log_?(sigma|std|scale|alpha|conc|rate|prob|probs|lam|p|q|pdf)s?|"
    r"logits?|raw_?\w*|mu_?[xy12]|z|quad|maha(lanobis)?|energy|logp|kl|nll|exponent"
)
_SUFFIX = r"(_?(x|y|z|[0-9]+|hat|q|p|theta|sq|post|prior|t|i|raw|pred))*"

_TABLE = (
    (re.compile(rf"({_POSITIVE}){_SUFFIX}", re.I), (0.0, math.inf)),
    (re.compile(rf"({_UNIT}){_SUFFIX}", re.I), (0.0, 1.0)),
    (re.compile(rf"({_CORRELATION}){_SUFFIX}", re.I), (-1.0, 1.0)),
    (re.compile(rf"({_REAL}){_SUFFIX}", re.I), (-math.inf, math.inf)),
)


_ALIASED = re.compile(r"([\w.]+) \(.+\[\.\.\., [\d:]+\]\)")


def short_label(label: str) -> str:
    """ "rho" of "rho (output[..., 4])", the label of a channel with a name; any other label as it is."""
    found = _ALIASED.fullmatch(label)
    return found[1] if found else label


def is_parameter_name(name: str) -> bool:
    """Does a variable of this name look like a parameter of a distribution?"""
    return any(pattern.fullmatch(name) for pattern, _ in _TABLE)


def domain_of_name(name: str) -> tuple[float, float]:
    """Values a parameter of this name can have by its meaning (closed ends): sigma >= 0, |rho| <= 1."""
    return next((domain for pattern, domain in _TABLE if pattern.fullmatch(name)), (-math.inf, math.inf))
