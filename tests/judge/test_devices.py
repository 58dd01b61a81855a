"""What another device does to the same program: told as facts. A CPU stands in for it here, in another mode."""

import math

import pytest
import torch

from nllcheck.axes import default_axes
from nllcheck.capture.attempt import captured
from nllcheck.detect import breaks
from nllcheck.devices import answering, convolved, noise_kept, shortened
from nllcheck.errors import NllcheckError
from nllcheck.report import margins
from nllcheck.sweep import planned
from nllcheck.target import Batch, Target

CPU = torch.device("cpu")


def near_the_smallest(a, y):
    return (torch.log(1e-37 * torch.exp(a)) - y).square().mean() / 1000


@pytest.fixture
def flushing(monkeypatch):
    """From the moment on at which the program is sent to the other device."""
    if not torch.set_flush_denormal(True):
        pytest.skip("this CPU cannot flush denormals")
    torch.set_flush_denormal(False)
    send = breaks.unpacked

    def sent(*arguments):
        torch.set_flush_denormal(True)
        return send(*arguments)

    monkeypatch.setattr(breaks, "unpacked", sent)
    yield
    torch.set_flush_denormal(False)


def joint_and_axis():
    tensors = {"a": torch.tensor([0.3, -1.2, 0.8]), "y": torch.tensor([0.1, 0.2, 0.3])}
    batch = Batch(kwargs=tensors, whole=tensors)
    target = Target("t", near_the_smallest, "near_the_smallest", None, (batch,), "function", target_names=("y",))
    graph, _ = captured(target, batch, 0)
    plan = planned(graph, default_axes(graph)[0], {}, count=33)
    return plan.joints[0], next(lane.axis for lane in plan.lanes if lane.axis.label == "a")


def test_a_threshold_that_another_device_moves_is_told(flushing):
    joint, axis = joint_and_axis()
    ((found,),) = breaks.beside(joint, [axis], CPU)
    assert found.dtype == "float32 on the cpu"
    assert found.below == pytest.approx(math.log(2.0**-126 / 1e-37), rel=1e-5)
    assert "float32 on the cpu <= -2.14" in margins.rows([found], "float32")[0]


def test_a_device_that_computes_the_same_is_not_worth_a_word():
    joint, axis = joint_and_axis()
    assert breaks.beside(joint, [axis], CPU) == [[]]


def as_tf32(a, b):
    return (a.view(torch.int32) & ~0x1FFF).view(torch.float32) @ b


@pytest.mark.parametrize("product, is_short", [(torch.matmul, False), (convolved, False), (as_tf32, True)])
def test_products_of_fewer_bits_are_noticed(product, is_short):
    assert shortened(CPU, product) == is_short


def test_a_convolution_of_width_one_is_a_product():
    a, b = torch.randn(2, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(convolved(a, b), a @ b)


@pytest.mark.parametrize("fails", [False, True])
def test_a_device_that_answers_no_more_is_one_clear_error(fails):
    """Torch's device without numbers stands in for a GPU that an assertion has stopped."""
    with pytest.raises(NllcheckError, match="stopped the device meta") as told, answering(torch.device("meta")):
        if fails:
            raise ValueError("what came of it")
    assert "--device cpu" in told.value.hint and isinstance(told.value.__cause__, ValueError) == fails


def test_an_error_on_a_device_that_answers_stays_what_it_is():
    with pytest.raises(ValueError, match="of the user"), answering(CPU):
        raise ValueError("of the user")


def test_noise_comes_back_and_wakes_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: pytest.fail("a GPU was woken"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    state = torch.get_rng_state()
    with noise_kept():
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), state)
