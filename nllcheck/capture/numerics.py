"""One fixed way to compute in: seeded, with plain kernels, and functions that a traced graph repeats as they are."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch.distributions import dirichlet, gamma
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from nllcheck.capture.implicit import DirichletSample, gamma_sample
from nllcheck.capture.passing import nan_passes
from nllcheck.devices import noise_kept


@contextlib.contextmanager
def plain_kernels() -> Iterator[None]:
    """Kernels that have batching rules and do not depend on the machine's vendor library; no warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.backends.mkldnn.flags(enabled=False), nan_passes():
            yield


def _seed(seed: int) -> None:
    """`torch.manual_seed` for the devices that are there; itself it also takes three stack traces, one for each kind of
    device that might come, which is most of the time that a small graph takes (torch 2.10 to 2.13)."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


@contextlib.contextmanager
def quiet_numerics(seed: int, validates: bool = False) -> Iterator[None]:
    """One fixed way to compute: seeded, plain kernels that have batching rules, no argument validation.

    Distribution arguments are not validated unless `validates`, since validation branches on values; a loss that
    would have raised is looked at by `eager/raises.py` separately. The user's random state and settings come back
    untouched.
    """
    validate = torch.distributions.Distribution._validate_args
    with noise_kept(), plain_kernels(), nan_passes(validates), sdpa_kernel(SDPBackend.MATH):
        _seed(seed)
        torch.distributions.Distribution.set_default_validate_args(validate and validates)
        try:
            with _traceable_functions():
                yield
        finally:
            torch.distributions.Distribution.set_default_validate_args(validate)


@contextlib.contextmanager
def _traceable_functions() -> Iterator[None]:
    """Functions of torch that a traced graph would not repeat as they are, in a form that it does."""
    with contextlib.ExitStack() as stack:
        for module, name, other in (
            (functional, "dropout", partial(_dropout, functional.dropout)),
            (functional, "ctc_loss", partial(_ctc_loss, functional.ctc_loss)),
            (gamma, "_standard_gamma", gamma_sample),
            (dirichlet, "_Dirichlet", DirichletSample),
        ):
            stack.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, other)
        yield


def _dropout(
    plain: Callable[..., torch.Tensor],
    input: torch.Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
) -> torch.Tensor:
    """Dropout draws in the order of its input's memory, which a traced graph need not share: here row by row."""
    if input.is_contiguous() or not training:
        return plain(input, p, training, inplace)
    dropped = plain(input.contiguous(), p)
    return input.copy_(dropped) if inplace else dropped


def _ctc_loss(
    plain: Callable[..., torch.Tensor], log_probs: torch.Tensor, targets: torch.Tensor, input_lengths: Any,
    target_lengths: Any, *args: Any, **kwargs: Any,
) -> torch.Tensor:  # fmt: skip
    """Lengths given as numbers are copied into memory behind the tracer's back: here they are tensors."""
    lengths = (torch.as_tensor(given) for given in (input_lengths, target_lengths))
    return plain(log_probs, targets, *lengths, *args, **kwargs)
