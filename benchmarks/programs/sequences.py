"""Programs whose data are sequences: text, speech, strokes, tags."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.programs.program import Program


class Characters(nn.Module):
    """nanoGPT at the size that it documents for a CPU: 4 layers of 128, 64 characters of context."""

    def __init__(self, kinds: int = 65, wide: int = 128, context: int = 64) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(kinds, wide), nn.Embedding(context, wide)
        layer = nn.TransformerEncoderLayer(wide, 4, 4 * wide, 0.0, F.gelu, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(wide), nn.Linear(wide, kinds, bias=False)

    def forward(self, x):
        ahead = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        hidden = self.tokens(x) + self.places(torch.arange(x.shape[1]))
        return self.head(self.norm(self.blocks(hidden, mask=ahead)))


def next_character(model, batch):
    x, y = batch
    scores = model(x)
    return F.cross_entropy(scores.view(-1, scores.size(-1)), y.reshape(-1), ignore_index=-1)


class Words(nn.Module):
    """The language model of pytorch/examples/word_language_model: steps first, 33,278 words, two layers of 200."""

    def __init__(self, kinds: int = 33278, wide: int = 200) -> None:
        super().__init__()
        self.words, self.steps = nn.Embedding(kinds, wide), nn.LSTM(wide, wide, 2, dropout=0.2)
        self.out = nn.Linear(wide, kinds)

    def forward(self, x):
        return F.log_softmax(self.out(self.steps(self.words(x))[0]).flatten(0, 1), 1)


class Masked(nn.Module):
    """BERT with four layers of 256 and its 30,522 pieces of words, which are the scores' weights, too."""

    def __init__(self, kinds: int = 30522, wide: int = 256, context: int = 64) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(kinds, wide), nn.Embedding(context, wide)
        layer = nn.TransformerEncoderLayer(wide, 4, 4 * wide, 0.1, F.gelu, batch_first=True)
        self.blocks = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.first, self.last, self.hidden = nn.LayerNorm(wide), nn.LayerNorm(wide), nn.Linear(wide, wide)
        self.bias = nn.Parameter(torch.zeros(kinds))

    def forward(self, x):
        hidden = self.blocks(self.first(self.tokens(x) + self.places(torch.arange(x.shape[1]))))
        return self.last(F.gelu(self.hidden(hidden))) @ self.tokens.weight.T + self.bias


def masked_words(model, batch):
    x, y = batch
    scores = model(x)
    return F.cross_entropy(scores.view(-1, scores.size(-1)), y.view(-1))


class Speech(nn.Module):
    """Deep Speech 2, smaller: a strided convolution over 80 bands and a GRU of both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.bands, self.norm = nn.Conv1d(80, 128, 11, 2, 5), nn.BatchNorm1d(128)
        self.steps, self.out = nn.GRU(128, 128, bidirectional=True, batch_first=True), nn.Linear(256, 29)

    def forward(self, x):
        hidden = F.hardtanh(self.norm(self.bands(x)), 0, 20).transpose(1, 2)
        return F.log_softmax(self.out(self.steps(hidden)[0]), -1)


def transcription(model, batch):
    x, y, steps, letters = batch
    return F.ctc_loss(model(x).transpose(0, 1), y, steps, letters, zero_infinity=True)


class Strokes(nn.Module):
    """Graves' handwriting prediction: 20 bivariate normals and an end of stroke a step."""

    def __init__(self) -> None:
        super().__init__()
        self.steps, self.out = nn.LSTM(3, 200, batch_first=True), nn.Linear(200, 121)

    def forward(self, x):
        return self.out(self.steps(x)[0])


def stroke_nll(out, y):
    lift, share, *rest = out.split([1, *[20] * 6], -1)
    mean_x, mean_y, raw_x, raw_y, tied = rest
    scale_x, scale_y, rho = torch.exp(raw_x), torch.exp(raw_y), torch.tanh(tied)
    x, up = (y[..., :1] - mean_x) / scale_x, (y[..., 1:2] - mean_y) / scale_y  # <- here
    z = x**2 + up**2 - 2 * rho * x * up  # <- here
    whole = 2 * math.pi * scale_x * scale_y * torch.sqrt(1 - rho**2)
    each = torch.exp(-z / (2 * (1 - rho**2))) / whole  # <- here
    place = torch.log((F.softmax(share, -1) * each).sum(-1) + 1e-20)  # <- here
    return (F.binary_cross_entropy_with_logits(lift, y[..., 2:], reduction="none")[..., 0] - place).mean()


class Tagger(nn.Module):
    """A bidirectional LSTM with a conditional random field behind it (Lample et al. 2016): 9 tags."""

    def __init__(self, tags: int = 9) -> None:
        super().__init__()
        self.words, self.steps = nn.Embedding(2000, 100), nn.LSTM(100, 64, bidirectional=True, batch_first=True)
        self.out, self.moves = nn.Linear(128, tags), nn.Parameter(0.1 * torch.randn(tags, tags))

    def forward(self, x):
        return self.out(self.steps(self.words(x))[0])


def tag_nll(model, batch):
    words, tags, kept = batch
    scores, rows = model(words), torch.arange(len(words))
    own, every = scores[rows, 0, tags[:, 0]], scores[:, 0]
    for t in range(1, scores.shape[1]):
        step = model.moves[tags[:, t - 1], tags[:, t]] + scores[rows, t, tags[:, t]]
        after = torch.logsumexp(every[:, :, None] + model.moves + scores[:, t, None], 1)
        own, every = own + step * kept[:, t], torch.where(kept[:, t, None] > 0, after, every)
    return (torch.logsumexp(every, 1) - own).mean()


def _text():
    tokens = torch.randint(0, 65, (12, 65))
    return Characters(), (tokens[:, :-1], tokens[:, 1:])


def _words():
    tokens = torch.randint(0, 33278, (36, 20))
    return Words(), (tokens[:-1], tokens[1:].reshape(-1))


def _masked():
    tokens = torch.randint(0, 30522, (8, 64))
    is_masked = torch.rand(8, 64) < 0.15
    return Masked(), (torch.where(is_masked, 103, tokens), torch.where(is_masked, tokens, -100))


def _speech():
    letters = torch.tensor([30, 28, 25, 25, 20, 20, 15, 10])
    return Speech(), (torch.randn(8, 80, 300), torch.randint(1, 29, (8, 30)), 150 - 5 * torch.arange(8), letters)


def _strokes():
    points = torch.cat([torch.randn(16, 101, 2), (torch.rand(16, 101, 1) < 0.04).float()], -1)
    return Strokes(), (points[:, :-1], points[:, 1:])


def _tags():
    kept = (torch.arange(25) < torch.tensor([25, 18] * 8)[:, None]).float()
    return Tagger(), (torch.randint(0, 2000, (16, 25)), torch.randint(0, 9, (16, 25)), kept)


PROGRAMS = (
    Program("characters", "karpathy/nanoGPT", next_character, _text),
    Program("words", "pytorch/examples word_language_model", F.nll_loss, _words),
    Program("masked_words", "Devlin et al. 2019, arXiv:1810.04805", masked_words, _masked),
    Program("speech", "Amodei et al. 2016, arXiv:1512.02595", transcription, _speech),
    Program("strokes", "Graves 2013, arXiv:1308.0850, densities in linear space", stroke_nll, _strokes),
    Program("tagger", "Lample et al. 2016, arXiv:1603.01360", tag_nll, _tags),
)
