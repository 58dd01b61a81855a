"""Bad input through Python: one clear error, or a finding where the data itself is the problem."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import nllcheck
from nllcheck import calls
from nllcheck.errors import NllcheckError


def batch(rows: int = 6):
    torch.manual_seed(0)
    return torch.randn(rows, 3), torch.randn(rows)


def model():
    torch.manual_seed(0)
    return torch.nn.Linear(3, 2)


def squares(output, target):
    return (output[:, 0] - target).pow(2).mean()


def raising(output, target):
    raise ValueError("labels out of range")


class IntegerOutput(torch.nn.Module):
    def forward(self, x):
        return x.argmax(-1)


LOADER = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*batch()))
BAD = {
    "vector": (lambda o, t: o[:, 0] - t, {}, r"shape \(6,\), not one number"),
    "text": (lambda o, t: "0.5", {}, "returned a str"),
    "none": (lambda o, t: None, {}, "returned None"),
    "complex": (lambda o, t: torch.complex(o.sum(), o.sum()), {}, "complex64"),
    "integer": (lambda o, t: o.long().sum(), {}, "int64"),
    "no derivative": (
        lambda o, t: torch.special.gammainc(o[:, 0].exp(), t.exp()).mean(),
        {},
        "no gradient for all .*igam",
    ),
    "meta device": (squares, {"model": torch.nn.Linear(3, 2, device="meta")}, "meta device"),
    "raises": (raising, {}, "labels out of range"),
    "shapes": (squares, {"batch": (torch.randn(6, 4), torch.randn(6))}, "raised RuntimeError"),
    "empty": (squares, {"batch": (torch.zeros(0, 3), torch.zeros(0))}, "empty"),
    "no batch": (squares, {"batch": None}, "needs a batch"),
    "no model": (squares, {"model": None}, "needs a model"),
    "option": (squares, {"sweeps": ()}, "unknown option 'sweeps'"),
    "fail_on": (squares, {"fail_on": "fatal"}, "unknown severity"),
    "axis": (squares, {"sweep": {"outptu": (0, 1)}}, "nothing named 'outptu'"),
    "far axis": (squares, {"sweep": {"rho": (0, 1)}}, "(?s)nothing named 'rho'.*known: .*output"),
    "range": (squares, {"sweep": {"output": (1, 0)}}, "LOW < HIGH"),
    "ends": (squares, {"sweep": {"output": "a"}}, "cannot read the range of 'output'"),
    "places changed": (model(), {"model": squares}, "(?s)changed places.*the loss comes first"),
    "class of model": (squares, {"model": torch.nn.Linear}, "Linear is a class, not a model"),
    "function for a model": (squares, {"model": squares}, "no torch.nn.Module but of type function"),
    "class of loss": (torch.nn.MSELoss, {}, r"(?s)class, not a loss.*MSELoss\(\)"),
    "number for a loss": (torch.zeros(()), {}, "of type Tensor and cannot be called"),
    "loader": (squares, {"batch": LOADER}, r"(?s)DataLoader is no batch.*next\(iter\(loader\)\)"),
    "data set": (squares, {"batch": LOADER.dataset}, "TensorDataset is no batch"),
    "iterator": (squares, {"batch": iter([batch()])}, "list_iterator is no batch"),
    "arguments": (lambda a, b, c: a.sum(), {}, r"(?s)missing 1 required.*loss\(output, target\).* takes a, b, c"),
    "detached": (lambda o, t: squares(o.detach(), t), {}, "(?s)depends on no parameter.*detach"),
}


@pytest.mark.parametrize("case", BAD)
def test_one_clear_error(case):
    loss, changes, message = BAD[case]
    with pytest.raises(NllcheckError, match=message):
        nllcheck.check(loss, **{"model": model(), "batch": batch(), **changes})


NAMED = '"output": output, "target": target}, target="target"'
FUNCTIONS = {
    "no names": ((squares, batch()), f"(?s)dict of named tensors.*{NAMED}"),
    "other names": ((squares, dict(zip("ab", batch(), strict=True))), "(?s)name: a, b; squares takes output, target"),
    "a tensor for a name": ((squares, dict(zip("ab", batch(), strict=True)), batch()[1]), "target names a tensor"),
}


@pytest.mark.parametrize("case", FUNCTIONS)
def test_one_clear_error_for_a_bare_function(case):
    given, message = FUNCTIONS[case]
    with pytest.raises(NllcheckError, match=message):
        nllcheck.check_function(*given)


def gaussian_nll(mu, y):
    return (0.5 * (y - mu) ** 2).mean()


TAKEN = [(gaussian_nll, None, True), (gaussian_nll, (), False), (gaussian_nll, "y", False), (squares, None, False)]


@pytest.mark.parametrize(("loss", "target", "taken"), TAKEN, ids=lambda v: getattr(v, "__name__", str(v)))
def test_data_that_are_called_so_are_the_target_of_what_is_called_a_likelihood(loss, target, taken):
    names = loss.__code__.co_varnames[:2]
    given = {names[0]: torch.randn(6, 1), names[1]: torch.randn(6)}
    report = nllcheck.check_function(loss, given, target=target, sweep=f"{names[0]}=-1:1:11", effort="quick")
    assert ("y is taken for the target, by its name; target=... says otherwise" in report.notes) == taken


def test_by_position_and_of_numpy_arrays():
    arrays = tuple(value.numpy() for value in batch())
    by_position = nllcheck.check(squares, model(), arrays, sweep="output=-1:1")
    assert by_position.to_dict() == nllcheck.check(squares, model=model(), batch=batch(), sweep="output=-1:1").to_dict()


ARRAYS = (np.array(2.0), np.arange(3.0, dtype=">f8"), np.arange(3.0, dtype=np.longdouble), np.arange(6.0)[::-2])


@pytest.mark.parametrize("array", ARRAYS, ids=["number", "other bytes", "long double", "backwards"])
def test_arrays_of_any_kind_keep_shape_and_values(array):
    array.flags.writeable = False
    made = calls.batch_of({"y": array})["y"]
    assert made.shape == array.shape and made.tolist() == array.tolist()


def test_a_torch_loss_has_not_changed_places_with_a_function():
    with pytest.raises(NllcheckError, match=r"no torch\.nn\.Module but of type function"):
        nllcheck.check(torch.nn.MSELoss(), model=lambda x: x, batch=batch())


class Stepping(torch.nn.Linear):
    def training_step(self, batch, index):
        inputs, targets = batch
        return {"loss": squares(self(inputs), targets)}


def test_a_models_own_step_takes_the_batch():
    torch.manual_seed(0)
    own = Stepping(3, 2)
    report = nllcheck.check(own.training_step, model=own, batch=batch(), points=9, effort="quick")
    assert report.facts.loss == pytest.approx(float(squares(own(batch()[0]), batch()[1])))


def test_a_raising_loss_names_the_users_line():
    with pytest.raises(NllcheckError) as caught:
        nllcheck.check(raising, model=model(), batch=batch())
    assert caught.value.where.startswith(__file__)


def test_nan_in_the_batch_is_a_finding():
    inputs, targets = batch()
    targets[2] = math.nan
    report = nllcheck.check(squares, model=model(), batch=(inputs, targets))
    finding = report.findings[0]
    assert (finding.rule, finding.kind, finding.severity, finding.on_batch) == ("NLL003", "nan", "error", True)
    assert "1 of 6 values of target" in finding.message


def test_nan_in_the_weights_is_a_finding():
    broken = model()
    with torch.no_grad():
        broken.weight[0, 0] = math.inf
    report = nllcheck.check(squares, model=broken, batch=batch())
    assert report.findings[0].rule == "NLL003" and "weight" in report.findings[0].message


def test_nan_padding_that_is_masked_is_no_alarm():
    def masked(output, target):
        seen = ~torch.isnan(target)
        safe = torch.where(seen, target, torch.zeros_like(target))
        return ((output[:, 0] - safe).pow(2) * seen).sum() / seen.sum()

    inputs, targets = batch()
    targets[2] = math.nan
    report = nllcheck.check(masked, model=model(), batch=(inputs, targets))
    assert [f for f in report.findings if f.severity != "note"] == []


def test_double_inputs_for_a_float_model_are_converted():
    inputs, targets = batch()
    report = nllcheck.check(squares, model=model(), batch=(inputs.double(), targets.double()))
    assert report.facts.dtype == "float32"


def test_integer_outputs_without_gradient_still_end_in_a_report():
    def count(output, target):
        return (output.float() - target).abs().mean()

    report = nllcheck.check(count, model=IntegerOutput(), batch=batch())
    assert report.findings == () or report.ok


def test_the_users_objects_are_left_as_they_were():
    net, (inputs, targets) = model(), batch()
    before = [t.clone() for t in (*net.state_dict().values(), inputs, targets)]
    state = torch.random.get_rng_state()

    def writes(output, target):
        output[:, 0] -= target
        return output[:, 0].pow(2).mean()

    nllcheck.check(writes, model=net, batch=(inputs, targets))
    after = [*net.state_dict().values(), inputs, targets]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(p.grad is None for p in net.parameters())


def test_check_is_callable_after_any_import():
    import nllcheck.check as module

    assert module is nllcheck.check and callable(nllcheck.check)
    assert callable(module.run)
