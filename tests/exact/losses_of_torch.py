"""Losses and distributions of torch at ordinary values: name -> (loss, tensors). The first table of the exact tests."""

import torch
import torch.nn.functional as F

D = torch.distributions
g = torch.Generator().manual_seed(0)
x = torch.randn(6, generator=g)
p = torch.rand(6, generator=g) * 0.8 + 0.1
q = torch.rand(6, generator=g) * 0.8 + 0.1
pos = torch.rand(6, generator=g) + 0.5
y = torch.randn(6, generator=g)
m = torch.randn(6, 4, generator=g)
lab = torch.arange(6) % 4
cnt = torch.poisson(torch.full((6,), 3.0), generator=g)
b = (y > 0).float()
sim = torch.rand(6, 3, generator=g) + 0.2
simy = sim.flip(0) / sim.flip(0).sum(-1, keepdim=True)
L = torch.eye(3) + 0.1
CASES = {
    "Normal": (lambda a, s, t: -D.Normal(a, s).log_prob(t).mean(), {"a": x, "s": pos, "t": y}),
    "LogNormal": (lambda a, s, t: -D.LogNormal(a, s).log_prob(t).mean(), {"a": x, "s": pos, "t": pos}),
    "Gamma": (lambda a, s, t: -D.Gamma(a, s).log_prob(t).mean(), {"a": pos, "s": pos, "t": pos}),
    "Beta": (lambda a, s, t: -D.Beta(a, s).log_prob(t).mean(), {"a": pos, "s": pos, "t": p}),
    "Dirichlet": (lambda a, t: -D.Dirichlet(a).log_prob(t).mean(), {"a": sim, "t": simy}),
    "StudentT": (lambda a, s, t: -D.StudentT(pos + 2, a, s).log_prob(t).mean(), {"a": x, "s": pos, "t": y}),
    "Cauchy": (lambda a, s, t: -D.Cauchy(a, s).log_prob(t).mean(), {"a": x, "s": pos, "t": y}),
    "Laplace": (lambda a, s, t: -D.Laplace(a, s).log_prob(t).mean(), {"a": x, "s": pos, "t": y}),
    "Gumbel": (lambda a, s, t: -D.Gumbel(a, s).log_prob(t).mean(), {"a": x, "s": pos, "t": y}),
    "HalfNormal": (lambda s, t: -D.HalfNormal(s).log_prob(t).mean(), {"s": pos, "t": pos}),
    "HalfCauchy": (lambda s, t: -D.HalfCauchy(s).log_prob(t).mean(), {"s": pos, "t": pos}),
    "VonMises": (lambda a, s, t: -D.VonMises(a, s).log_prob(t).mean(), {"a": x, "s": pos, "t": y}),
    "Pareto": (lambda s, t: -D.Pareto(torch.tensor(0.3), s).log_prob(t).mean(), {"s": pos, "t": pos}),
    "Weibull": (lambda a, s, t: -D.Weibull(a, s).log_prob(t).mean(), {"a": pos, "s": pos, "t": pos}),
    "Kumaraswamy": (lambda a, s, t: -D.Kumaraswamy(a, s).log_prob(t).mean(), {"a": pos, "s": pos, "t": p}),
    "InverseGamma": (lambda a, s, t: -D.InverseGamma(a, s).log_prob(t).mean(), {"a": pos, "s": pos, "t": pos}),
    "Chi2": (lambda s, t: -D.Chi2(s).log_prob(t).mean(), {"s": pos, "t": pos}),
    "Exponential": (lambda s, t: -D.Exponential(s).log_prob(t).mean(), {"s": pos, "t": pos}),
    "F": (lambda a, s, t: -D.FisherSnedecor(a, s).log_prob(t).mean(), {"a": pos, "s": pos, "t": pos}),
    "Poisson": (lambda s, t: -D.Poisson(s).log_prob(t).mean(), {"s": pos, "t": cnt}),
    "NB": (lambda s, t: -D.NegativeBinomial(s, logits=x).log_prob(t).mean(), {"s": pos, "t": cnt}),
    "Binomial": (lambda v, t: -D.Binomial(10, logits=v).log_prob(t).mean(), {"v": x, "t": cnt}),
    "Bernoulli": (lambda v, t: -D.Bernoulli(logits=v).log_prob(t).mean(), {"v": x, "t": b}),
    "BernoulliP": (lambda v, t: -D.Bernoulli(probs=v).log_prob(t).mean(), {"v": p, "t": b}),
    "ContBern": (lambda v, t: -D.ContinuousBernoulli(logits=v).log_prob(t).mean(), {"v": x, "t": p}),
    "Geometric": (lambda v, t: -D.Geometric(logits=v).log_prob(t).mean(), {"v": x, "t": cnt}),
    "Categorical": (lambda v, t: -D.Categorical(logits=v).log_prob(lab).mean(), {"v": m, "t": y}),
    "OneHot": (lambda v: -D.OneHotCategorical(logits=v).log_prob(F.one_hot(lab, 4).float()).mean(), {"v": m}),
    "Multinomial": (lambda v: -D.Multinomial(4, logits=v).log_prob(F.one_hot(lab, 4).float() * 4).mean(), {"v": m}),
    "MVN": (lambda a, t: -D.MultivariateNormal(a, scale_tril=L.tril()).log_prob(t).mean(), {"a": sim, "t": simy}),
    "MVNcov": (
        lambda a, c, t: -D.MultivariateNormal(a, c @ c.T + torch.eye(3)).log_prob(t).mean(),
        {"a": sim, "c": L + 0.3 * torch.arange(9.0).reshape(3, 3) / 9, "t": simy},
    ),
    "LowRank": (
        lambda a, t: -D.LowRankMultivariateNormal(a, torch.ones(3, 1), torch.ones(3)).log_prob(t).mean(),
        {"a": sim, "t": simy},
    ),
    "Mixture": (
        lambda v, a, t: -D.MixtureSameFamily(D.Categorical(logits=v), D.Normal(a, torch.ones(4))).log_prob(t).mean(),
        {"v": m, "a": m, "t": y},
    ),
    "LKJ": (lambda s: -D.LKJCholesky(3, s).log_prob(L.tril()).mean(), {"s": pos[0]}),
    "Wishart": (lambda s: -D.Wishart(s + 4, torch.eye(3)).log_prob(torch.eye(3) * 2).mean(), {"s": pos[0]}),
    "RelaxedB": (lambda v, t: -D.RelaxedBernoulli(torch.tensor(0.7), logits=v).log_prob(t).mean(), {"v": x, "t": p}),
    "kl_normal": (lambda a, s: D.kl_divergence(D.Normal(a, s), D.Normal(0.0, 1.0)).mean(), {"a": x, "s": pos}),
    "kl_gamma": (
        lambda a, s: D.kl_divergence(D.Gamma(a, s), D.Gamma(torch.tensor(1.0), torch.tensor(1.0))).mean(),
        {"a": pos, "s": pos},
    ),
    "kl_dir": (lambda a: D.kl_divergence(D.Dirichlet(a), D.Dirichlet(torch.ones(3))).mean(), {"a": sim}),
    "ce": (lambda v: F.cross_entropy(v, lab), {"v": m}),
    "ce_weighted": (lambda v: F.cross_entropy(v, lab, weight=torch.tensor([1.0, 0.5, 2.0, 3.0])), {"v": m}),
    "ce_ignored": (lambda v: F.cross_entropy(v, lab, ignore_index=2), {"v": m}),
    "argmax": (lambda v: v.exp().gather(1, v.argmax(1, keepdim=True)).mean() + v.argmin(-1).float().mean(), {"v": m}),
    "argmax_of_all": (lambda v: v.flatten().exp()[v.argmax()], {"v": m}),
    "ce_ls": (lambda v: F.cross_entropy(v, lab, label_smoothing=0.1), {"v": m}),
    "ce2d": (lambda v: F.cross_entropy(v[:, :, None].expand(-1, -1, 2), lab[:, None].expand(-1, 2)), {"v": m}),
    "bcewl": (lambda v, t: F.binary_cross_entropy_with_logits(v, t), {"v": x, "t": b}),
    "bce": (lambda v, t: F.binary_cross_entropy(v, t), {"v": p, "t": b}),
    "gnll": (lambda a, v, t: F.gaussian_nll_loss(a, t, v), {"a": x, "v": pos, "t": y}),
    "pnll": (lambda a, t: F.poisson_nll_loss(a, t, full=True), {"a": x, "t": cnt}),
    "kldiv": (lambda v: F.kl_div(v.log_softmax(-1), m.flip(0).softmax(-1), reduction="batchmean"), {"v": m}),
    "smooth": (lambda v, t: F.smooth_l1_loss(v, t), {"v": x, "t": y}),
    "huber": (lambda v, t: F.huber_loss(v, t), {"v": x, "t": y}),
    "l1": (lambda v, t: F.l1_loss(v, t), {"v": x, "t": y}),
    "mse": (lambda v, t: F.mse_loss(v, t), {"v": x, "t": y}),
    "cosemb": (lambda v, k: F.cosine_embedding_loss(v, k, torch.ones(6)), {"v": m, "k": m.flip(0)}),
    "triplet": (lambda v, k, n: F.triplet_margin_loss(v, k, n), {"v": m, "k": m.flip(0), "n": m.roll(1, 0)}),
    "margin": (lambda v: F.multi_margin_loss(v, lab), {"v": m}),
    "mlsm": (lambda v: F.multilabel_soft_margin_loss(v, (m > 0).float()), {"v": m}),
    "softmargin": (lambda v: F.soft_margin_loss(v, 2 * b - 1), {"v": x}),
    "hinge": (lambda v: F.hinge_embedding_loss(v, 2 * b - 1), {"v": x}),
    "mrank": (lambda v, k: F.margin_ranking_loss(v, k, 2 * b - 1), {"v": x, "k": y}),
    "mlm": (
        lambda v: F.multilabel_margin_loss(v, lab[:, None].expand(-1, 4) * 0 + torch.tensor([0, 2, -1, -1])),
        {"v": m},
    ),
    "ctc": (
        lambda v: F.ctc_loss(
            v.reshape(6, 1, 4).log_softmax(-1), torch.tensor([[1, 2]]), torch.tensor([6]), torch.tensor([2])
        ),
        {"v": m},
    ),
    "layernorm": (lambda v: F.layer_norm(v, (4,)).pow(3).mean(), {"v": m}),
    "gelu": (lambda v: F.gelu(v).mean(), {"v": m}),
    "silu": (lambda v: F.silu(v).mean(), {"v": m}),
    "elu": (lambda v: F.elu(v).mean(), {"v": m}),
    "leaky": (lambda v: F.leaky_relu(v).mean(), {"v": m}),
    "hardtanh": (lambda v: F.hardtanh(v).mean(), {"v": m}),
    "logndtr": (lambda v: torch.special.log_ndtr(v).mean(), {"v": m}),
    "ndtr": (lambda v: torch.special.ndtr(v).mean(), {"v": m}),
    "erfinv": (lambda v: torch.erfinv(torch.tanh(v)).mean(), {"v": m}),
    "i0": (lambda v: torch.special.i0e(v).mean(), {"v": m}),
    "polyg": (lambda v: torch.polygamma(1, v).mean(), {"v": pos}),
    "lcse": (lambda v: torch.logcumsumexp(v, 0).mean(), {"v": m}),
    "cumprod": (lambda v: torch.cumprod(v, 0).mean(), {"v": m}),
    "atan2": (lambda v, k: torch.atan2(v, k).mean(), {"v": x, "k": y}),
    "cross": (lambda v, w: torch.linalg.cross(v, w).exp().sum(), {"v": sim, "w": sim.flip(0, 1) + 0.5}),
    "cross_of_columns": (lambda v, w: torch.cross(v, w, dim=0).exp().sum(), {"v": sim.T, "w": sim.T.flip(0, 1) + 0.5}),
    "logdet": (lambda c: torch.logdet(c @ c.T + torch.eye(3)), {"c": L}),
    "chol": (lambda c: torch.linalg.cholesky(c @ c.T + torch.eye(3)).diagonal().log().sum(), {"c": L}),
    "solve": (lambda c: torch.linalg.solve(c, torch.ones(3)).sum(), {"c": L}),
    "inv": (lambda c: torch.linalg.inv(c).sum(), {"c": L}),
    "sort": (lambda v: (v.sort(-1).values * torch.arange(4.0)).mean(), {"v": m}),
    "topk": (lambda v: v.topk(2, -1).values.mean(), {"v": m}),
    "maxd": (lambda v: v.max(-1).values.mean(), {"v": m}),
    "median": (lambda v: v.median(-1).values.mean(), {"v": m}),
    "nantonum": (lambda v: torch.nan_to_num(v.log()).mean(), {"v": x}),
    "sign": (lambda v: (v.sign() * v).mean(), {"v": x}),
    "round": (lambda v: (v.round() + v).mean(), {"v": x}),
    "norm3": (lambda v: torch.norm(v, p=3), {"v": x}),
    "cdist": (lambda v, k: torch.cdist(v, k).mean(), {"v": m, "k": m.flip(0) * 0.5}),
    "pdist": (lambda v, k: F.pairwise_distance(v, k).mean(), {"v": m, "k": m.flip(0) * 0.5}),
    "cos": (lambda v, k: F.cosine_similarity(v, k).mean(), {"v": m, "k": m.flip(0) * 0.5}),
    "normalize": (lambda v: F.normalize(v).pow(3).mean(), {"v": m}),
    "einsum": (lambda v, k: torch.einsum("ij,kj->ik", v, k).logsumexp(-1).mean(), {"v": m, "k": m.flip(0)}),
    "scatter": (lambda v: torch.zeros(4).scatter_add(0, lab, v).exp().mean(), {"v": x}),
    "cumsum": (lambda v: v.cumsum(0).exp().mean(), {"v": x}),
    "addcmul": (lambda v, k: torch.addcmul(v, v, k, value=0.5).mean(), {"v": x, "k": y}),
    "lerp": (lambda v, k: torch.lerp(v, k, 0.3).mean(), {"v": x, "k": y}),
    "expm": (lambda v: torch.exp2(v).mean(), {"v": x}),
    "sinc": (lambda v: torch.sinc(v).mean(), {"v": x}),
    "hypot": (lambda v, k: torch.hypot(v, k).mean(), {"v": x, "k": y}),
    "mvlgamma": (lambda v: torch.mvlgamma(v + 3, 2).mean(), {"v": pos}),
    "entr": (lambda v: torch.special.entr(v).mean(), {"v": pos}),
    "xlog1py": (lambda v, k: torch.special.xlog1py(v, k).mean(), {"v": pos, "k": pos}),
}
