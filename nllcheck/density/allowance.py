"""What the density test may take each time a program is asked: memory at a time, and work in all.

Work is counted, not timed, so that an answer does not depend on the machine: an op's call is worth OP elements. 1e8
take 1 to 4 s of one core.
"""

from __future__ import annotations

from dataclasses import dataclass

OP = 1000
OF_A_LIKELIHOOD = 1e9  # where the loss claims to be a likelihood: that it is none would be an error
UNASKED = 1e8  # where the answer is a remark


class UndecidedError(Exception):
    """The test cannot be made on this loss; the text says why, as the end of a sentence. `nodes`: the culprits."""

    def __init__(self, text: str, nodes: tuple[int, ...] = ()) -> None:
        super().__init__(text)
        self.nodes = nodes


class SpentError(UndecidedError):
    """The work that the whole test may take is done; no part of it may go on as if only that part had failed."""


@dataclass
class Allowance:
    """`memory`: bytes at a time; `work`: elements that are left; `over`: what is said when they are spent."""

    memory: int = 2**30
    work: float = OF_A_LIKELIHOOD
    over: str = "the loss is too much work to integrate; a smaller batch may help"

    def spend(self, calls: int, elements: int) -> None:
        """Take the work of so many ops that make so many elements. Raises SpentError where less is left."""
        self.work -= calls * OP + elements
        if self.work < 0:
            raise SpentError(self.over)


def allowance_of(claims: bool, memory: int) -> Allowance:
    """A loss that does not claim to be a likelihood is not worth a long test."""
    if claims:
        return Allowance(memory)
    over = "much work for a loss that does not call itself a likelihood; --nll asks all the same"
    return Allowance(memory, UNASKED, over)
