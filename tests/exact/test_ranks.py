"""Bisection by rank: sections of any span of a dtype's numbers, and ranks turned back into numbers together."""

from __future__ import annotations

import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st

from nllcheck.axes.points import from_ordinal, from_ordinals, to_ordinal
from nllcheck.detect.threshold import _between

LARGEST = {d: to_ordinal(torch.finfo(d).max, d) for d in (torch.float16, torch.bfloat16, torch.float32, torch.float64)}


@given(st.data(), st.sampled_from(list(LARGEST)), st.sampled_from([4, 5, 64, 256]))
def test_a_span_is_cut_evenly_from_its_first_end_to_its_second(data, dtype, parts):
    ranks = st.integers(-LARGEST[dtype], LARGEST[dtype])
    first, second = data.draw(ranks), data.draw(ranks)
    tried = _between((first, second), parts).tolist()
    low, high = sorted((first, second))
    assert tried == sorted(set(tried), reverse=second < first)
    assert all(low < rank < high for rank in tried)
    edges = sorted([low, *tried, high])
    assert max(b - a for a, b in itertools.pairwise(edges)) <= -(-(high - low) // parts)
    assert from_ordinals(torch.tensor(tried, dtype=torch.int64), dtype).tolist() == [
        from_ordinal(rank, dtype) for rank in tried
    ]
