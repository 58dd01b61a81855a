"""How far an argument is from its bad set: the numbers that a descent goes by."""

from __future__ import annotations

import pytest
import torch

from nllcheck.search.distance import DISTANCES, ENDS

EYE, TILTED = torch.eye(3), torch.tensor([[1.0, 0.0], [1.0, 1e-3]])
NO_ROW = torch.tensor([[0.0, 0.0], [1.0, 2.0]])


@pytest.mark.parametrize("size", [1e-6, 1e-3, 1.0])
@pytest.mark.parametrize(("matrix", "distance"), [(EYE, 1.0), (TILTED, 1e-3), (TILTED[[0, 0]], 0.0), (NO_ROW, 0.0)])
def test_a_matrix_is_no_nearer_to_a_singular_one_for_being_small(matrix, distance, size):
    assert float(DISTANCES["singular"](size * matrix)) == pytest.approx(distance, rel=1e-3)


@pytest.mark.parametrize("size", [10.0, 1e3])
def test_a_matrix_of_large_numbers_is_further_away(size):
    assert float(DISTANCES["singular"](size * EYE)) == pytest.approx(size**3, rel=1e-3)


@pytest.mark.parametrize(
    ("kind", "values", "distance"),
    [("up to 1", [0.4, 3.0], 0.6), ("up to 0", [-0.5, 2.0], 0.5), ("outside (-1, 1)", [-1.25, 0.1], 0.25)],
)
def test_the_end_of_a_domain_is_approached_from_both_sides(kind, values, distance):
    assert float(ENDS[kind](torch.tensor(values))) == pytest.approx(distance)
