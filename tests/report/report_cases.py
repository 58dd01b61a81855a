"""Reports built by hand: the realistic one (a bivariate Gaussian) and the awkward ones."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from dataclasses import replace

from nllcheck.report import Report
from nllcheck.types import Axis, Candidate, ChainStep, Facts, Finding, Move, PairMap, Site, SweepTable, ZCurve

NAN, INF = math.nan, math.inf
MAX = 3.4028234663852886e38  # largest float32
FACTS = Facts(
    target="fixtures/bivariate_gaussian/model.pt",
    loss_name="losses.py:bivariate_nll",
    loss=-0.8312047,
    dtype="float32",
    device="cpu",
    capture="graph",
    ops=41,
    points=6144,
    seed=0,
    versions=(("nllcheck", "0.1.0"), ("torch", "2.13.0")),
    seconds=(("capture", 1.23), ("sweep", 0.05)),
    gradient_norm=4.1235,
)
COMMAND = "nllcheck run fixtures/bivariate_gaussian/model.pt --sweep 'output[..., 4]=8:10:201' --seed 0"
LINES = {
    37: ("s1", "s1 = torch.exp(log_s1)"),
    38: ("rho", "rho = torch.tanh(rho_raw)"),
    41: ("z", "z = (dx / s1)**2 + (dy / s2)**2 - 2 * rho * dx * dy / (s1 * s2)"),
    42: ("norm", "norm = 2 * math.pi * s1 * s2 * torch.sqrt(1 - rho**2)"),
    43: ("pdf", "pdf = torch.exp(-z / (2 * (1 - rho**2))) / norm"),
    44: (None, "return -torch.log(pdf).mean()"),
}


def site(line: int, expression: str = "") -> Site:
    variable, source = LINES[line]
    start = source.index(expression)
    span = (start, start + len(expression)) if expression else None
    return Site("losses.py", line, "bivariate_nll", variable, source, span)


def number_line(low: float = -MAX, high: float = MAX, per_decade: int = 4) -> list[float]:
    """Both signs, log-spaced from 1e-3, and 0: a small stand-in for the real one."""
    sizes = [10 ** (k / per_decade) for k in range(-3 * per_decade, 38 * per_decade + 1)] + [MAX]
    return sorted(v for v in [*(-s for s in sizes), 0.0, *sizes] if low <= v <= high)


def swept(
    axis: Axis, values: list[float], loss: Callable[[float], float], slope: Callable[[float], float]
) -> SweepTable:
    slopes = tuple(map(slope, values))
    states = tuple("nan" if math.isnan(s) else "inf" if math.isinf(s) else "finite" for s in slopes)
    columns = (array("d", column) for column in (values, map(loss, values), slopes))
    return SweepTable(axis, *columns, states)


RHO = Axis("rho_raw", 4, "output", channel=(4, 5), selector="output[...,4]", observed=(-1.1, 3.9))
LOG_S1 = Axis("log_s1", 4, "output", channel=(2, 3), selector="output[...,2]", observed=(-2.31, 1.04))
MU = Axis("mu_x", 4, "output", channel=(0, 1), selector="output[...,0]", observed=(-3.2, 3.4))


def rho_sweep() -> SweepTable:
    def loss(v: float) -> float:
        return NAN if abs(v) >= 9.0109129 else v * v / 3 - 1.2

    table = swept(RHO, number_line(), loss, lambda v: NAN if abs(v) >= 9.0109129 else 2 * v / 3)
    wide = [v * v / 3 - 1.2 for v in table.values]
    return replace(table, wide_loss=array("d", wide), wide_slope=array("d", (2 * v / 3 for v in table.values)))


def sigma_sweep() -> SweepTable:
    def loss(v: float) -> float:
        return NAN if v > 88.72284 else INF if v > 44 or v < -40 else abs(v) - 1

    def slope(v: float) -> float:
        return NAN if v > 44 or v < -40 else math.copysign(1.0, v)

    return swept(LOG_S1, number_line(), loss, slope)


def mu_sweep() -> SweepTable:
    return swept(
        MU,
        number_line(-1e4, 1e4),
        lambda v: INF if abs(v) > 13.2 else v * v / 2 - 0.9,
        lambda v: NAN if abs(v) > 13.2 else v,
    )


RHO_NEAR_ONE = Finding(
    rule="NLL301",
    name="correlation-near-one",
    kind="nan",
    verdict="defect",
    severity="error",
    phase="forward",
    op="div",
    site=site(43, "-z / (2 * (1 - rho**2))"),
    message="tanh rounds rho to exactly 1, so 1 - rho**2 is 0 and the exponent is a division by zero.",
    axis="rho_raw",
    threshold=9.01091289520263671875,
    last_good=9.010911941528320,
    reach=2.31,
    witness=9.01091289520263671875,
    loss=NAN,
    slope=NAN,
    reference_loss=29812.137,
    reference_slope=59635.246,
    observed=(-1.1, 3.9),
    chain=(
        ChainStep(5, "tanh", "saturation", site(38, "torch.tanh(rho_raw)"), 1.0),
        ChainStep(12, "div", "inf", site(43, "-z / (2 * (1 - rho**2))"), -INF),
        ChainStep(15, "div", "nan", site(43, "torch.exp(-z / (2 * (1 - rho**2))) / norm"), NAN),
        ChainStep(17, "neg", "loss", site(44), NAN),
        ChainStep(17, "neg", "gradient", site(44), NAN, "backward"),
    ),
    advice="Keep rho inside (-1, 1) and compute 1 - rho**2 without cancellation: "
    "1 - tanh(r)**2 = 1 / cosh(r)**2, so its log is -2 * (r + softplus(-2 * r) - log 2).",
    why="In float32 tanh(r) is exactly 1 from r = 9.010913 on. The exact 1 - rho**2 is 6e-08 there, not 0.",
    reason="float64 gives loss 29812.14 where float32 gives NaN",
    reaches=("loss", "gradient"),
    also=("rho (an intermediate)",),
    command=COMMAND,
)
PDF_THEN_LOG = Finding(
    rule="NLL201",
    name="pdf-then-log",
    kind="inf",
    verdict="defect",
    severity="error",
    phase="forward",
    op="log",
    site=site(44, "torch.log(pdf)"),
    message="The density is built first and logged after: 14 sigma out it underflows to 0, and log(0) is -inf.",
    axis="mu_x",
    threshold=13.2000007629394531,
    last_good=13.1999998092651367,
    reach=3.88,
    witness=14.0,
    loss=INF,
    slope=NAN,
    reference_loss=98.31,
    reference_slope=14.2,
    observed=(-3.2, 3.4),
    chain=(
        ChainStep(14, "exp", "underflow", site(43), 0.0),
        ChainStep(16, "log", "inf", site(44), -INF),
        ChainStep(17, "neg", "loss", site(44), INF),
    ),
    fix="log_pdf = -z / (2 * (1 - rho**2)) - torch.log(norm)\nreturn -log_pdf.mean()",
    reaches=("loss",),
    command="nllcheck run fixtures/bivariate_gaussian/model.pt --sweep 'output[..., 0]=12:15:301' --seed 0",
)
EXP_HEAD = Finding(
    rule="NLL401",
    name="exp-of-unbounded-head",
    kind="nan",
    verdict="limit",
    severity="warning",
    phase="forward",
    op="exp",
    site=site(37, "torch.exp(log_s1)"),
    message="exp of a raw output that nothing bounds overflows to inf; dx / s1 is then 0 and 0 * inf is NaN.",
    axis="log_s1",
    threshold=88.72284698486328,
    last_good=88.72283935546875,
    reach=38.4,
    witness=88.72284698486328,
    observed=(-2.31, 1.04),
    chain=(ChainStep(6, "exp", "overflow", site(37), INF), ChainStep(7, "mul", "nan", site(42), NAN)),
    advice="Bound the head, for instance log_s1.clamp(-10, 10), or work with log_s1 instead of s1.",
    reason="the exact s1 = e^88.72 does not fit float32",
    reaches=("loss", "gradient"),
    command="nllcheck run fixtures/bivariate_gaussian/model.pt --sweep 'output[..., 2]=88:90:201' --seed 0",
)
MISSING_LOG = Finding(
    rule="NLL501",
    name="missing-log",
    kind="wrong-density",
    verdict="wrong-formula",
    severity="error",
    phase="forward",
    op="mean",
    site=Site("losses.py", 61, "bivariate_loss_v2", None, "return -pdf.mean()", (7, 18)),
    message="The mean of a density is minimised, not of its log: far points pull with no gradient at all.",
    advice="return -log_pdf.mean()",
    reason="the loss is a mean of exp(...), with no log on the way to it",
)
NEGATIVE = Finding(
    rule="NLL601",
    name="negative-nll",
    kind="negative-nll",
    verdict="undecided",
    severity="note",
    phase="forward",
    op="neg",
    site=site(44),
    message="The loss is -0.831 on the batch. A density above 1 makes a negative NLL right for a continuous target; "
    "whether this one is a density at all was not tested.",
    loss=-0.8312047,
    on_batch=True,
)
FLIP = Finding(
    rule="NLL602",
    name="sign-flip",
    kind="sign-flip",
    verdict="legitimate",
    severity="note",
    phase="backward",
    op="neg",
    site=site(44),
    message="The slope along mu_x changes sign once, at 0.0132, where the loss has its minimum.",
    axis="mu_x",
    threshold=0.0131999999284744,
)


def realistic() -> Report:
    return Report(
        FACTS,
        (NEGATIVE, EXP_HEAD, RHO_NEAR_ONE, FLIP, PDF_THEN_LOG),
        (rho_sweep(), sigma_sweep(), mu_sweep()),
        notes=("line 44 of losses.py branches on a value; the branch of the batch was checked",),
        skipped=("targets: the loss takes them as indices, which have no neighbours to sweep",),
        densities=(PROPER,),
        searched=(
            Candidate("sqrt", site(42), "not reached", "best distance 0.0131"),
            Candidate("exp", site(43), "safe", "its argument is at most 0 within reach"),
        ),
        pairs=(plane(),),
    )


def plane() -> PairMap:
    """rho_raw against sigma_x: NaN where |rho_raw| is large, infinite where sigma_x is small beside it."""
    raw, sigma = tuple(float(v) for v in range(-12, 13, 2)), tuple(10.0**k for k in range(-6, 3))
    rows = tuple("".join("n" if abs(a) > 9 else "i" if abs(a) > 3e3 * b else "g" if abs(a) > 300 * b else "."
                         for b in sigma) for a in raw)  # fmt: skip
    return PairMap(
        "rho_raw", "sigma_x", raw, sigma, rows, ((1.5, 2.5), (0.05, 2.0)),
        region="|rho_raw| > 9 or |rho_raw| > 300 * sigma_x", wrong=3, points=351, failing=150,
        nearest=(4.0, 0.01), together=12,
    )  # fmt: skip


def found() -> Report:
    """A point that a search found: its axis carries where each element goes."""
    moves = (Move(0, 3, "output[0, 3]", 0.2, -8.0, (-1.0, 1.2)), Move(0, 4, "output[0, 4]", 0.1, INF, (-1.0, 1.2)))
    label = "output[0, 3] = -8 and output[0, 4] = inf"
    axis = Axis(label, 0, "output", "toward", "found", selector="log_7", observed=(0.0, 0.0), moves=moves)
    table = swept(
        axis, [0.0, 0.5, 1.0], {0.0: 1.0, 0.5: 2.0, 1.0: INF}.__getitem__, {0.0: 0.0, 0.5: 1.0, 1.0: NAN}.__getitem__
    )
    finding = Finding(
        "NLL000", "unexplained", "inf", "defect", "error", "forward", "log", site(44), "The log gives infinity.",
        axis=label, reach=4.2, loss=INF,
    )  # fmt: skip
    return Report(FACTS, (finding,), (table,))


BENT = ZCurve("log_s1", (-2.31, 1.04), (-2.0, -1.0, 0.5, 3.0), (-9.2, -0.1, 0.002, 51.0), (1e-9, 1e-3, 0.01, 0.05))
PROPER = ZCurve("mu_x", (NAN, NAN), (0.25, 1.0), (0.0, 1e-9), (1e-9, 1e-9))


def structural() -> Report:
    return Report(FACTS, (MISSING_LOG,), (rho_sweep(),), densities=(BENT, PROPER))


def clear() -> Report:
    return Report(FACTS, (NEGATIVE,), (rho_sweep(), mu_sweep()))


def empty() -> Report:
    return Report(Facts("model.pt", "mse", 0.25, "float32", "cpu", "graph", 3, 0))


def incomplete() -> Report:
    return Report(FACTS, incomplete=("rho: no node of the loss has this name, did you mean 'rho_raw'?",))


def on_batch() -> Report:
    facts = Facts("a.pt", "loss", NAN, "float16", "cuda:0", "eager", 9, 10, 3, True, gradient_norm=INF)
    finding = Finding(
        "NLL000", "unexplained", "nan", "undecided", "error", "backward", "sqrt", None, "NaN.", on_batch=True
    )
    return Report(facts, (finding,))


HOSTILE = "[nan] [red]x[/red] [..., 4] \x1b[31mred\x1b[0m \r\n\t\u202e\udc80 <script>&\"' 変数 :smile:"


def hostile() -> Report:
    """Every string a user can write is hostile, and long."""
    long = HOSTILE + "x" * 300
    where = Site(f"/no/such/{HOSTILE}.py", 7, HOSTILE, HOSTILE, long, (150, 330))
    axis = Axis(HOSTILE, 0, "output", selector=HOSTILE, observed=(NAN, NAN))
    chain = (ChainStep(0, HOSTILE, "overflow", where), ChainStep(1, HOSTILE, "nan", site(41)))
    texts = {"fix": HOSTILE, "advice": long, "why": HOSTILE, "reason": HOSTILE, "command": long, "message": HOSTILE}
    finding = Finding(
        HOSTILE, HOSTILE, "inf", "defect", "warning", "backward", HOSTILE, where,
        axis=HOSTILE, threshold=-1.0, last_good=0.5, reach=INF, witness=-1.0, loss=-INF, chain=chain,
        reaches=("gradient",), also=(HOSTILE,), **texts,
    )  # fmt: skip
    table = SweepTable(
        axis, array("d", (-INF, -2.0, -1.0, 0.5, 1.0, NAN)), array("d", (NAN, INF, -INF, 1.0, 0.0, 1.0)),
        array("d", (NAN, INF, -INF, 0.0, 1.0, 1.0)), ("nan", "inf", "inf", "finite", "nan", "finite"),
    )  # fmt: skip
    facts = Facts(HOSTILE, HOSTILE, -INF, HOSTILE, HOSTILE, "graph", 1, 1, versions=((HOSTILE, HOSTILE),))
    searched = (Candidate(HOSTILE, where, "not reached", long),)
    wild = ZCurve(HOSTILE, (-INF, 2.0), (0.0, 1.0), (0.5, 1e9), (1e9, 1e300))
    z = (
        wild,
        replace(wild, values=(-INF, 0.0), log_z=(800.0, -INF), error=(INF, NAN)),
        replace(wild, log_z=(1.0, 0.0)),
    )
    pair = PairMap(
        HOSTILE, long, (-INF, 0.0), (0.0,), ("n", "."), ((NAN, NAN), (0.0, 0.0)), "", 0, 2, 1, (-INF, 0.0), 0
    )
    return Report(
        facts, (finding,), (table,), (HOSTILE,), (long,), (HOSTILE,), searched=searched, densities=z, pairs=(pair,)
    )


REPORTS: dict[str, Callable[[], Report]] = {
    "realistic": realistic,
    "found": found,
    "structural": structural,
    "clear": clear,
    "empty": empty,
    "incomplete": incomplete,
    "on_batch": on_batch,
    "hostile": hostile,
}
