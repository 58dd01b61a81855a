"""The fallback: the user's own function run op by op, for losses that cannot be captured as one graph.

A loss that branches on a tensor's value, selects with a boolean mask, or brings its own backward is run as it is
under a dispatch mode that watches every op, forward and backward. Here, and only here, there is a loop over points,
so there are fewer of them.
"""

from nllcheck.eager.run import Outcome, by_hand

__all__ = ["Outcome", "by_hand"]
