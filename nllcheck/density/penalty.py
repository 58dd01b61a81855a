"""Is what a reading leaves out a penalty?

A penalty has a lowest value; a normaliser left over from a density has none.
"""

from __future__ import annotations

from nllcheck.density.samples.sample import Samples
from nllcheck.density.samples.terms import Term
from nllcheck.density.theta import Theta, far_along

DOUBLED = (4.0, 8.0, 16.0, 32.0)  # steps, each twice the one before
GOES_ON = 0.9  # share of a step's fall that the next one, twice as long, must at least have
FELT = 0.1  # nats over the last step
MOST_AXES = 16


def falls_on(samples: Samples, theta: Theta, left: tuple[Term, ...] | None) -> bool:
    """Do the terms `left` of most samples (None: their whole loss) fall without end along an axis?

    Seen where every step outwards, each twice as long as the last, brings no less than the one before: a bounded
    function soon brings nothing.
    """
    if not theta.axes:
        return False
    far = far_along(samples, theta.axes[:MOST_AXES], DOUBLED)
    value = samples.nats_at(far.tensors, left).reshape(-1, len(DOUBLED), samples.count)
    steps = value.diff(dim=1).nan_to_num(1.0, 1.0, -1e300)
    goes_on = (steps < 0).all(1) & (steps[:, -1] < -FELT) & (steps[:, -1] <= GOES_ON * steps[:, -2])
    return bool((goes_on[:, samples.counted].double().mean(-1) > 0.5).any())


def without(samples: Samples, kept: tuple[bool, ...]) -> tuple[Term, ...]:
    """The free terms that are not kept."""
    return tuple(t for t, k in zip(samples.free, kept, strict=True) if not k)
