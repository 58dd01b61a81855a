"""A name for everything that the bytes of a sweep depend on."""

from __future__ import annotations

import hashlib

import torch

from nllcheck import __version__
from nllcheck.devices import convolved, flushes_denormals, shortened
from nllcheck.engine.piecefile import add_tensor
from nllcheck.engine.wire import packed
from nllcheck.sweep.plan import Plan


def key_of(plan: Plan) -> str:
    """SHA-256 over program, constants, axes, points, how the points are cut, versions and kind of device.

    Where it ran, under what name and how many processes took part is no part of it.
    """
    total = hashlib.sha256(repr(_told(plan)).encode())
    for joint in plan.joints:
        sent = packed(joint)
        total.update(repr((sent.steps, sorted(sent.constants), sent.moved, sent.trained)).encode())
        for tensor in (*(sent.constants[name] for name in sorted(sent.constants)), *sent.base):
            add_tensor(total, tensor)
    for lane in plan.lanes:
        add_tensor(total, lane.points)
    return total.hexdigest()


def _told(plan: Plan) -> object:
    lanes = [(lane.joint, lane.axis, lane.names, lane.dtype, lane.is_fused) for lane in plan.lanes]
    device = plan.joints[0].base[0].device if plan.joints else torch.device("cpu")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    rounding = flushes_denormals(device), shortened(device, torch.matmul), shortened(device, convolved)
    return __version__, torch.__version__, name, rounding, lanes, plan.pieces, plan.memory
