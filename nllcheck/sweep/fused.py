"""A sweep as one compiled program: values stay in registers that plain kernels write out and read again.

Inductor gets the same graph, vectorised over the points in the same way, and is told to round as plain kernels do; what
is left is the order of sums and the last bits of vector functions. Such a sweep only proposes: thresholds and witnesses
are decided by plain kernels (`watch.run_one`), however it was run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch.utils._pytree import tree_map

from nllcheck.errors import NllcheckError
from nllcheck.sweep.joint import Joint
from nllcheck.sweep.place import stacked
from nllcheck.sweep.program import observed
from nllcheck.sweep.trace import Row
from nllcheck.types import Axis

# Inductor's options by which it computes what plain kernels do, by their names in torch 2.10 and later. Low-precision
# values are rounded between fused ops (which also forbids a fused multiply-add in Triton), division is IEEE's,
# denormals are kept, and functions are CUDA's own instead of Triton's.
Numerics = tuple[tuple[str, Any], ...]
PLAIN: Numerics = tuple(
    {
        "emulate_precision_casts": True,
        "use_fast_math": False,
        "eager_numerics.division_rounding": True,
        "emulate_divison_rounding": True,
        "eager_numerics.disable_ftz": True,
        "eager_numerics.use_pytorch_libdevice": True,
        "cpp.enable_floating_point_contract_flag": "off",
        "cpp.enable_unsafe_math_opt_flag": False,
    }.items()
)

# Elements computed from which a compiled sweep on a GPU is done sooner, compilation included: a minute of compiling
# against plain kernels that move 12 bytes an element at 2 TB/s. From the data sheet, not measured. On a CPU a compiled
# sweep took 0.5 to 0.8 of a plain one's time and 13 to 44 s to compile (84 watched ops, one core): it never is chosen.
REPAYS = 1e13

Key = tuple[tuple[str, ...], torch.dtype | None, int]
Program = Callable[..., Row]
_MADE: WeakKeyDictionary[Joint, dict[Key, Program]] = WeakKeyDictionary()


def repays(work: float, device: torch.device) -> bool:
    """Is compiling worth while for `work` elements computed by one program, and can this machine do it?"""
    from torch.utils._triton import has_triton

    return device.type == "cuda" and work >= REPAYS and has_triton()


def fused_rows(
    joint: Joint, axis: Axis, names: tuple[str, ...], dtype: torch.dtype | None, points: torch.Tensor, most: int
) -> Row:
    """What the vectorised `watch.pointwise` gives for `points` (P,), P <= `most`, by one compiled program.

    The program is the same for all axes of a joint graph, and made for `most` points or the next power of two. Raises
    NllcheckError where this machine cannot compile it.
    """
    size = min(most, 1 << (len(points) - 1).bit_length())
    where, ways = stacked(joint, axis, filled_up(points, size), dtype)
    moves = [torch.tensor(way is not None, device=points.device) for way in ways]
    along = [torch.zeros_like(t[0]) if way is None else way for t, way in zip(where, ways, strict=True)]
    inputs = where, along, moves
    row = _program(joint, (names, dtype, size), inputs)(*inputs)
    return tree_map(lambda column: column[: len(points)], row)


def filled_up(points: torch.Tensor, size: int) -> torch.Tensor:
    """`size` points, the last one repeated, so that one program does for any number."""
    return torch.cat([points, points[-1:].expand(size - len(points))])


def _program(joint: Joint, key: Key, inputs: Any) -> Program:
    made = _MADE.setdefault(joint, {})
    if key not in made:
        made[key] = _of_many(joint, key, inputs)
    return made[key]


def _of_many(joint: Joint, key: Key, inputs: Any) -> Program:
    from torch.fx.experimental.proxy_tensor import make_fx  # loads Dynamo, more than a second

    names, dtype, _ = key

    def at(where: Any, along: Any, moves: Any) -> Row:
        return observed(joint, list(zip(where, along, strict=True)), names, dtype, moves)

    flat = make_fx(torch.func.vmap(at, in_dims=(0, None, None)))(*inputs)
    return compiled(flat, PLAIN, inputs)


def compiled(program: Callable[..., Any], numerics: Numerics, inputs: Sequence[Any]) -> Callable[..., Any]:
    """`program` by Inductor, for the shapes of `inputs`. Options that this torch does not know are left out.

    Raises NllcheckError where this machine cannot compile it.
    """
    known = torch._inductor.list_options()
    options = {name: value for name, value in numerics if name in known}
    made = torch.compile(program, fullgraph=True, dynamic=False, options=options)
    try:
        made(*inputs)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # no compiler, no Triton, an op that Inductor has no code for
        text = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        hint = "leave out --fuse and --as-compiled"
        raise NllcheckError(f"the loss cannot be compiled here: {text}", hint=hint) from error
    return made
