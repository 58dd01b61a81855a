"""The words for what needs no rule file: failures that no rule explains, signs, and data that is not finite."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Builtin:
    """An id that `explain` knows and that stands in reports, with its texts."""

    id: str
    name: str
    why: str
    advice: str


UNEXPLAINED = Builtin(
    "NLL000",
    "unexplained-failure",
    "The loss or its gradient stops being finite here and no rule names the pattern. The op, the line, the exact "
    "threshold and the way of the failure are measured all the same.",
    "Look at the first station of the chain: the overflow, underflow or saturation there is where to rewrite. If the "
    "pattern is a common one, a rule file for it can be added without touching Python.",
)
NEGATIVE = Builtin(
    "NLL001",
    "negative-nll",
    "A density can exceed 1, so the negative logarithm of a continuous likelihood can be below zero in a correct "
    "model: a Gaussian with sigma 0.05 has density 8 at its mean. The probability of a label cannot exceed 1.",
    "For continuous targets compare with the spread of the data: a loss that keeps falling without end means a scale "
    "that shrinks to nothing. For labels look for a missing log or a wrong sign.",
)
SIGNS = Builtin(
    "NLL002",
    "gradient-sign-changes",
    "A gradient changes sign wherever a parameter passes its optimum, and from sample to sample because each sample "
    "has an optimum of its own. That is how training works. It is a fault only where the computed sign differs from "
    "the sign of the exact slope.",
    "Where the sign is wrong, digits are lost to cancellation, or to a number too small for a float: rewrite the "
    "expression at the line, or compute it in a wider type.",
)
DATA = Builtin(
    "NLL003",
    "non-finite-data",
    "A value is NaN or infinite before anything is computed, so nothing the loss does can help.",
    "Find where the value comes from: a division in the preprocessing, a missing entry, or weights saved after the "
    "training had diverged already.",
)
RAISES = Builtin(
    "NLL004",
    "raises",
    "The code raises an exception at this value, where training would stop.",
    "Keep the value inside the range that the check demands, or widen the check.",
)

DIGITS = Builtin(
    "NLL005",
    "digits-lost",
    "The result is finite and wrong: two values that nearly cancel were rounded before, and what is left is their "
    "rounding. Training goes on with a loss or a gradient of which only the first digits, or none, are right.",
    "Rewrite the expression so that the cancelling part never arises (log1p, expm1, (1 - r) * (1 + r), a two-pass "
    "variance), or compute this line in float64.",
)
DEAD = Builtin(
    "NLL006",
    "dead-gradient",
    "The gradient is exactly 0 although the loss is not at its best: a value is held at a bound, or a derivative has "
    "underflowed. Whatever gets there stays there, because nothing pulls it back.",
    "Use a smooth bound (softplus(x) + eps, a scaled tanh or sigmoid) in place of a clamp, and logits in place of "
    "probabilities that saturate.",
)

IDLE = Builtin(
    "NLL007",
    "guard-thrown-away",
    "Tensor methods without a trailing underscore return a new tensor and leave the old one as it is. The line "
    "computes the guarded value and nothing uses it, so all that follows works on the unguarded one.",
    "Assign the result: p = p.clamp(min=1e-7).",
)

NO_LIKELIHOOD = Builtin(
    "NLL700",
    "no-likelihood",
    "exp(-loss) of a negative log-likelihood integrates (or sums) to 1 over the target, whatever the parameters. Where "
    "the integral Z changes with the parameters, training also moves them to where Z is large, not only to where the "
    "data are likely: the fit is biased by d log Z / d parameter, a sample.",
    "Compare with the density's textbook formula, term by term: a missing log, a missing 1/2, a missing normaliser or "
    "Jacobian, an epsilon inside the log. If the loss is not meant as a likelihood, this is no fault.",
)
CONSTANT = Builtin(
    "NLL701",
    "dropped-constant",
    "exp(-loss) integrates to the same number whatever the parameters, but not to 1 (or only after a factor of the "
    "target alone). Every gradient is right; the reported value is not the negative log-likelihood, and cannot be "
    "compared with another model's, and its sign means nothing.",
    "Nothing to change for training. To report nats, add the constant (full=True where torch offers it).",
)

UNBOUNDED = Builtin(
    "NLL707",
    "unbounded-loss",
    "Moving every sample's value alike, the loss falls without end, so training has nowhere to stop: it goes on until "
    "numbers overflow, and a lower loss means nothing. The likelihood of several data points turns upwards in both "
    "directions, and a KL divergence is never below 0.",
    "Look for a wrong sign (a KL term written as minus itself), a normaliser that is missing, or scores that nothing "
    "bounds.",
)

MIXED = Builtin(
    "NLL008",
    "mixed-precision-step",
    "A gradient scaler begins with a large scale and halves it whenever a scaled gradient overflows; that step is "
    "skipped and nothing is lost. It is a fault only where the step fails at scale 1, too: then a value at that line "
    "is beyond the half precision (float16 ends at 65504 and knows nothing below 6e-8), or the loss fails in any.",
    "For the range of float16: run that line in float32 (torch.autocast(..., enabled=False) around it and .float() on "
    "its inputs), or take bfloat16, which has float32's range. For the scaler's search: nothing.",
)
COMPILED = Builtin(
    "NLL009",
    "compiled-differs",
    "torch.compile fuses ops and has code of its own for some of them: half precision stays in float32 between fused "
    "ops, and a vector function may be right only up to an absolute error, which is everything where a logarithm or a "
    "division follows. A loss that is sound in one can so be wrong in the other.",
    "Keep the line out of the compiled region (torch.compiler.disable on its function), or rewrite it so that no tiny "
    "number decides. For half precision TORCHINDUCTOR_EMULATE_PRECISION_CASTS=1 rounds as plain kernels do.",
)
COLLAPSE = Builtin(
    "NLL709",
    "unbounded-likelihood",
    "A density that may be as narrow as it likes has no highest value: one sample that is fitted exactly, with a scale "
    "going to 0, makes the loss as low as one wants. That is so in every correct likelihood with a free scale for each "
    "sample; training on few data, or a mixture, can go that way, and the loss on new data is then infinite.",
    "Keep the scale away from 0 by a floor that means something in the data's unit (the measurement error), add a "
    "prior, or share the scale between samples.",
)

LABELS = Builtin(
    "NLL714",
    "labels-outside-0-1",
    "A binary cross entropy, -t log p - (1 - t) log(1 - p), is lowest at p = t. With a label t below 0 or above 1 "
    "there is no such p: one of the two weights is negative, and a surer score lowers the loss without end, below 0, "
    "too.",
    "Map the labels to [0, 1]: (t + 1) / 2 for -1 and 1, t / 255 for pixels, t - 1 for 1 and 2, clamp(0, 1) for an "
    "overlap or a score that may leave it. Samples without a label want a mask or a weight of 0.",
)

PAIRED = Builtin(
    "NLL715",
    "all-pairs-by-broadcasting",
    "A layer with one output gives a column of shape (N, 1), a data set's targets are a row of shape (N,). Arithmetic "
    "between the two is broadcast to (N, N): the loss is the mean over all pairs, its best prediction the same for "
    "every sample (of squares the targets' mean), and nothing but a loss that stops falling tells.",
    "Give both one shape: output.squeeze(-1), or target.unsqueeze(-1). Where all pairs are meant, write "
    "output[:, None] in the loss: that says so.",
)

READS_ITSELF = Builtin(
    "NLL716",
    "reads-what-it-predicts",
    "The likelihood of a sequence is a product of p(x[t] | x[:t]): what predicts a step may read the steps before it, "
    "and never itself. Where it does, copying the step is a perfect prediction: the loss falls towards 0, and what was "
    "learned predicts nothing that it is not shown.",
    "Compare the output at a step with the next one: logits[:, :-1] against x[:, 1:]. In a masked network (MADE, a "
    "PixelCNN) the first layer's mask must leave out the element itself.",
)

NO_LOGARITHM = Builtin(
    "NLL717",
    "missing-logarithm",
    "A likelihood is trained by -log p(y), not by -p(y). Without the logarithm a sample that the model finds unlikely "
    "hardly counts: the slope is as small as the density, so what fits worst is learned last, and a sum over samples "
    "is the logarithm of no product of probabilities.",
    "Take the logarithm of the density of each sample before the mean: -torch.log(p), or better the log-density itself "
    "(log_prob, log_softmax, logsumexp), which does not underflow.",
)

NO_MINUS = Builtin(
    "NLL718",
    "missing-minus",
    "log p(y) is to be made large, and an optimiser makes a loss small: of the log-likelihood itself it makes the data "
    "ever less likely. The loss falls without end and looks like progress.",
    "Put a minus before the log-likelihood: -log_prob(y).mean(). With an optimiser that was made with maximize=True "
    "this is right as it stands.",
)

NO_DIVERGENCE = Builtin(
    "NLL710",
    "no-divergence",
    "The KL divergence of q from p is the mean of log q - log p under q: never negative, and 0 only where the two are "
    "the same distribution. Of N(mu, sigma^2) from N(m, s^2) it is log(s / sigma) + (sigma^2 + (mu - m)^2) / (2 s^2) - "
    "1/2. A term with another sign, or with other weights at its pieces, pulls the posterior to where neither the data "
    "nor the prior are.",
    "With log_var = log(sigma^2) and a standard normal prior: -0.5 * (1 + log_var - mu**2 - exp(log_var)), added to "
    "the loss; or torch.distributions.kl_divergence(Normal(mu, sigma), Normal(0, 1)), which knows other families, too.",
)

BUILTINS = (
    UNEXPLAINED,
    NEGATIVE,
    SIGNS,
    DATA,
    RAISES,
    DIGITS,
    DEAD,
    IDLE,
    MIXED,
    COMPILED,
    NO_LIKELIHOOD,
    READS_ITSELF,
    NO_LOGARITHM,
    NO_MINUS,
    CONSTANT,
    UNBOUNDED,
    COLLAPSE,
    LABELS,
    PAIRED,
    NO_DIVERGENCE,
)
