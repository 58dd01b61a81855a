"""One table, a row an op: the name rules use, the ATen spellings, and what the op can do to a number.

Rules, patterns and reports speak the names in the first column. ATen names are packet names without overload
(`aten.log`, `aten.log_` and `aten.log.out` are all `log`). Imports nothing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Op:
    """A row of the table."""

    name: str  # the rule name
    aten: tuple[str, ...]  # packet names
    commutative: bool = False
    kind: str = "elementwise"  # elementwise | reduce | view | select | linear | create | random | norm | other
    saturates: tuple[float, ...] = ()  # values the rounded result can reach that the exact one cannot
    bounds: tuple[float, float] | None = None  # of the rounded result, ends included, whatever the input
    pole: str = ""  # where the op leaves the finite numbers, in words


_INF = float("inf")

TABLE: tuple[Op, ...] = (
    # arithmetic
    Op("add", ("add", "__add__", "__iadd__"), commutative=True),
    Op("sub", ("sub", "rsub")),
    Op("mul", ("mul",), commutative=True),
    Op("div", ("div", "reciprocal", "true_divide"), pole="a divisor of 0, or a quotient that overflows"),
    Op("neg", ("neg",)),
    Op("pow", ("pow", "square", "float_power"), pole="0 to a negative power; a negative base to a fraction"),
    Op("sqrt", ("sqrt",), bounds=(0.0, _INF), pole="a negative input; the slope at 0"),
    Op("rsqrt", ("rsqrt",), pole="an input of 0 or below"),  # of -0.0 it is -inf
    Op("abs", ("abs",), bounds=(0.0, _INF)),
    Op("sign", ("sign", "sgn"), bounds=(-1.0, 1.0)),
    Op("round", ("round", "floor", "ceil", "trunc", "frac")),
    Op("remainder", ("remainder", "fmod"), pole="a divisor of 0"),
    Op("addcmul", ("addcmul",)),
    Op("addcdiv", ("addcdiv",), pole="a divisor of 0"),
    Op("lerp", ("lerp",)),
    # exponentials and logarithms
    Op("exp", ("exp", "exp2"), saturates=(0.0,), bounds=(0.0, _INF), pole="an input above 88.72 (float32)"),
    Op("expm1", ("expm1",), saturates=(-1.0,), bounds=(-1.0, _INF), pole="an input above 88.72 (float32)"),
    Op("log", ("log",), pole="0 or below"),
    Op("log2", ("log2",), pole="0 or below"),
    Op("log10", ("log10",), pole="0 or below"),
    Op("log1p", ("log1p",), pole="-1 or below"),
    Op("xlogy", ("xlogy", "special_xlogy"), pole="a second input below 0"),
    Op("logaddexp", ("logaddexp", "logaddexp2"), commutative=True),
    Op("logit", ("logit",), pole="0 and 1"),
    # squashing
    Op("tanh", ("tanh",), saturates=(-1.0, 1.0), bounds=(-1.0, 1.0)),
    Op("sigmoid", ("sigmoid",), saturates=(0.0, 1.0), bounds=(0.0, 1.0)),
    Op("softplus", ("softplus",), saturates=(0.0,), bounds=(0.0, _INF)),
    Op("logsigmoid", ("log_sigmoid_forward", "log_sigmoid"), bounds=(-_INF, 0.0)),
    Op("relu", ("relu", "threshold"), bounds=(0.0, _INF)),
    Op("leaky_relu", ("leaky_relu", "elu", "celu", "selu", "prelu", "_prelu_kernel", "rrelu_with_noise")),
    Op("gelu", ("gelu", "silu", "mish", "hardswish")),
    Op("hardtanh", ("hardtanh", "hardsigmoid", "relu6")),
    Op("softmax", ("_softmax", "softmax", "_safe_softmax"), saturates=(0.0, 1.0), bounds=(0.0, 1.0), kind="softmax"),
    Op("log_softmax", ("_log_softmax", "log_softmax"), bounds=(-_INF, 0.0), kind="softmax"),
    # special functions
    Op("lgamma", ("lgamma", "special_gammaln", "mvlgamma"), pole="0 and the negative integers"),
    Op("digamma", ("digamma", "special_psi", "polygamma"), pole="0 and the negative integers"),
    Op("erf", ("erf",), saturates=(-1.0, 1.0), bounds=(-1.0, 1.0)),
    Op("erfc", ("erfc", "special_erfcx"), saturates=(0.0, 2.0), bounds=(0.0, _INF)),
    Op("erfinv", ("erfinv", "special_ndtri"), pole="the ends of its interval"),
    Op("ndtr", ("special_ndtr",), saturates=(0.0, 1.0), bounds=(0.0, 1.0)),
    Op("log_ndtr", ("special_log_ndtr",), bounds=(-_INF, 0.0)),
    Op("i0", ("i0", "special_i0", "special_i0e", "special_i1", "special_i1e"), pole="overflow above 91"),
    Op("sin", ("sin",), bounds=(-1.0, 1.0)),
    Op("cos", ("cos",), bounds=(-1.0, 1.0)),
    Op("tan", ("tan",)),
    Op("asin", ("asin",), pole="the ends -1 and 1"),
    Op("acos", ("acos",), pole="the ends -1 and 1"),
    Op("atan", ("atan",)),
    Op("atan2", ("atan2",), pole="the slope at (0, 0)"),
    Op("sinh", ("sinh",), pole="overflow above 89.4"),
    Op("cosh", ("cosh",), pole="overflow above 89.4"),
    Op("asinh", ("asinh",)),
    Op("acosh", ("acosh",), pole="an input below 1"),
    Op("atanh", ("atanh",), pole="the ends -1 and 1"),
    # choice and bounds
    Op("where", ("where",), kind="choice"),
    Op("masked_fill", ("masked_fill",), kind="choice"),
    Op("clamp", ("clamp", "clamp_min", "clamp_max", "clip"), kind="clamp"),
    Op("maximum", ("maximum", "fmax"), commutative=True),
    Op("minimum", ("minimum", "fmin"), commutative=True),
    Op("nan_to_num", ("nan_to_num",)),
    Op(
        "compare",
        ("eq", "ne", "lt", "le", "gt", "ge", "isnan", "isinf", "isfinite", "logical_and", "logical_or", "logical_not"),
        kind="other",
    ),
    # reductions
    Op("sum", ("sum", "nansum"), kind="reduce"),
    Op("mean", ("mean", "nanmean"), kind="reduce", pole="no elements"),
    Op("prod", ("prod",), kind="reduce"),
    Op("max", ("max", "amax"), kind="reduce"),
    Op("min", ("min", "amin"), kind="reduce"),
    Op("logsumexp", ("logsumexp", "special_logsumexp"), kind="reduce"),
    Op("logcumsumexp", ("logcumsumexp", "_logcumsumexp"), kind="scan"),
    Op("cumsum", ("cumsum",), kind="scan"),
    Op("cumprod", ("cumprod",), kind="scan"),
    Op("var", ("var", "var_mean"), kind="reduce", pole="fewer than two elements"),
    Op("std", ("std", "std_mean"), kind="reduce", pole="fewer than two elements; the slope at 0"),
    Op("norm", ("norm", "linalg_vector_norm", "frobenius_norm", "dist"), kind="reduce", bounds=(0.0, _INF)),
    # losses that stay one op
    Op("nll_loss", ("nll_loss_forward", "nll_loss", "nll_loss2d_forward", "nll_loss_nd"), kind="loss"),
    Op("binary_cross_entropy", ("binary_cross_entropy",), kind="loss"),
    Op("bce_with_logits", ("binary_cross_entropy_with_logits",), kind="loss"),
    Op("kl_div", ("kl_div",), kind="loss"),
    Op("mse_loss", ("mse_loss",), kind="loss"),
    Op("smooth_l1_loss", ("smooth_l1_loss", "huber_loss", "l1_loss"), kind="loss"),
    Op("ctc_loss", ("_ctc_loss", "ctc_loss"), kind="loss"),
    # linear algebra and layers
    Op("linear", ("addmm", "addmv", "baddbmm", "addbmm", "linear", "convolution", "_convolution"), kind="linear"),
    Op("matmul", ("mm", "bmm", "mv", "dot", "matmul", "einsum"), kind="linear"),
    Op("cholesky", ("linalg_cholesky_ex", "linalg_cholesky", "cholesky"), kind="linalg", pole="not positive definite"),
    Op("logdet", ("logdet", "linalg_slogdet", "_linalg_slogdet", "slogdet"), kind="linalg"),
    Op("det", ("_linalg_det", "linalg_det", "det"), kind="linalg", pole="a product of pivots that overflows"),
    Op(
        "solve",
        ("linalg_solve_triangular", "_linalg_solve_ex", "linalg_inv_ex", "triangular_solve", "cholesky_solve"),
        kind="linalg",
        pole="a singular matrix",
    ),
    Op("eigh", ("_linalg_eigh", "linalg_eigh"), kind="linalg", pole="equal eigenvalues: the slope of the vectors"),
    Op("svd", ("_linalg_svd", "linalg_svd"), kind="linalg", pole="equal singular values: the slope of the vectors"),
    Op("eig", ("linalg_eig", "_linalg_eigvals"), kind="linalg", pole="equal eigenvalues: the slope of the vectors"),
    Op("pinv", ("linalg_pinv", "pinverse"), kind="linalg", pole="a matrix that loses rank"),
    Op("lstsq", ("linalg_lstsq",), kind="linalg", pole="a matrix that loses rank"),
    Op("norm_layer", ("native_layer_norm", "native_batch_norm", "native_group_norm", "_native_batch_norm_legit",
                      "_fused_rms_norm", "_native_batch_norm_legit_no_training"), kind="norm"),
    Op("gamma_quantile", ("gamma_quantile",), bounds=(0.0, _INF)),  # what a sample is, see `capture/implicit.py`
    Op("dirichlet_quantile", ("dirichlet_quantile",), kind="other", bounds=(0.0, 1.0)),
    Op("own_backward", ("own_backward",), kind="other"),  # what a custom function gives, see `capture/own.py`
    Op("dropout", ("native_dropout", "bernoulli"), kind="random"),
    Op("embedding", ("embedding",), kind="select"),
    # selection: the values are some of the input's
    Op("gather", ("gather", "take_along_dim"), kind="select"),
    Op("index", ("index", "index_select", "masked_select", "take"), kind="select"),
    Op("select", ("select", "slice", "narrow", "diagonal", "unbind", "split", "chunk", "split_with_sizes",
                  "getitem", "unfold"), kind="select"),
    Op("sort", ("sort", "topk"), kind="select"),
    # the same values in another shape
    Op(
        "view",
        ("view", "_unsafe_view", "reshape", "_reshape_alias", "expand", "unsqueeze", "squeeze", "transpose", "t",
         "permute", "clone", "contiguous", "alias", "lift_fresh", "lift_fresh_copy", "lift", "_to_copy", "to",
         "expand_as", "flatten", "view_as", "movedim", "swapaxes", "roll", "flip", "repeat", "detach",
         "_conj", "squeeze_copy", "copy", "positive"),
        kind="view",
    ),
    Op("cat", ("cat", "stack", "concat", "hstack"), kind="join"),
    Op("scatter", ("scatter", "scatter_add", "index_put", "_unsafe_index_put", "slice_scatter", "select_scatter",
                   "index_add", "index_fill", "index_copy", "masked_scatter"), kind="join"),
    Op("pad", ("constant_pad_nd", "pad"), kind="join"),
    Op("triu", ("triu", "tril", "diag_embed", "diag"), kind="join"),
    # made from nothing
    Op("full", ("full", "full_like", "zeros", "zeros_like", "ones", "ones_like", "empty", "empty_like", "new_zeros",
                "new_ones", "new_full", "new_empty", "arange", "linspace", "eye", "scalar_tensor", "one_hot",
                "fill", "zero"), kind="create"),
    Op("noise", ("randn", "randn_like", "rand", "rand_like", "normal", "normal_functional", "randint", "randperm",
                 "uniform", "exponential", "multinomial", "poisson", "_standard_gamma", "_sample_dirichlet",
                 "cauchy", "log_normal", "geometric"), kind="random"),
)  # fmt: skip

# Op -> (argument, the set of its values where a finite value or slope ends). "overflow": its exponential does;
# "singular": a matrix without an inverse.
SINGULAR: dict[str, tuple[int, str]] = {
    "div": (1, "zero"), "remainder": (1, "zero"), "addcdiv": (2, "zero"),
    "sqrt": (0, "up to 0"), "rsqrt": (0, "up to 0"), "log": (0, "up to 0"), "log2": (0, "up to 0"),
    "log10": (0, "up to 0"), "lgamma": (0, "up to 0"), "digamma": (0, "up to 0"), "std": (0, "constant"),
    "exp": (0, "overflow"), "expm1": (0, "overflow"), "sinh": (0, "overflow"), "cosh": (0, "overflow"),
    "log1p": (0, "up to -1"), "acosh": (0, "up to 1"), "logit": (0, "outside (0, 1)"),
    "asin": (0, "outside (-1, 1)"), "acos": (0, "outside (-1, 1)"), "atanh": (0, "outside (-1, 1)"),
    "erfinv": (0, "outside (-1, 1)"),
    "cholesky": (0, "singular"), "logdet": (0, "singular"), "det": (0, "singular"), "solve": (0, "singular"),
}  # fmt: skip

BY_NAME: dict[str, Op] = {row.name: row for row in TABLE}
_BY_ATEN: dict[str, Op] = {aten: row for row in TABLE for aten in row.aten}


def packet(aten: str) -> str:
    """`aten.log_.default` -> `log`: the packet's name, in-place and `.out` spellings folded."""
    if "getitem" in aten:
        return "getitem"
    name = aten.split(".")[1] if aten.startswith(("aten.", "prims.", "nllcheck.")) else aten.partition(".")[0]
    return name if name in _BY_ATEN or name.startswith("__") else name.rstrip("_")


def rule_name(aten: str) -> str:
    """The rule name of an ATen op; an op outside the table keeps its packet name."""
    row = _BY_ATEN.get(packet(aten))
    return row.name if row else packet(aten)


def row(name: str) -> Op:
    """The row of a rule name; an unknown op is an elementwise row without facts."""
    return BY_NAME.get(name) or Op(name, (name,), kind="other")


def is_transparent(name: str) -> bool:
    """Does the op hand on (some of) its first input's values unchanged, so that patterns look through it?"""
    return row(name).kind in ("view", "select")
