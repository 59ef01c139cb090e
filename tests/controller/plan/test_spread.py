"""Two normal figures at once, and many curves looked up at once."""

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.plan.spread import both, rates
from tests.controller.worlds import line


@pytest.mark.parametrize(
    ("h", "k", "correlation", "probability"),
    [
        (0.0, 0.0, 0.0, 1 / 4),
        (0.0, 0.0, 0.5, 1 / 3),
        (0.0, 0.0, -0.5, 1 / 6),
        (0.0, 0.0, 1.0, 1 / 2),
        (0.0, 0.0, -1.0, 0.0),
        (1.0, 2.0, 1.0, 0.8413),
        (1.0, 2.0, -1.0, 0.8186),
        (inf, 1.0, 0.3, 0.8413),
        (-inf, 1.0, 0.3, 0.0),
        (1.0, 1.0, 0.9999999, 0.8413),
    ],
)
def test_how_likely_two_normal_figures_are_both_above_a_bound(h, k, correlation, probability):
    assert both(h, k, correlation) == pytest.approx(probability, abs=3e-4)


def test_both_agrees_with_very_many_draws():
    rng = np.random.default_rng(0)
    x, z = rng.standard_normal((2, 400_000))
    y = 0.8 * x + 0.6 * z
    for h, k in ((0.3, -0.2), (1.5, 1.0), (-0.4, 2.0)):
        assert both(h, k, 0.8) == pytest.approx(np.mean((x > -h) & (y > -k)), abs=0.003)


@given(st.floats(-6, 6), st.floats(-6, 6), st.floats(-1, 1))
def test_both_at_once_is_never_likelier_than_either_nor_less_likely_than_it_must_be(h, k, correlation):
    one, other = both(h, inf, 0.0), both(inf, k, 0.0)
    assert max(0.0, one + other - 1) - 1e-3 <= both(h, k, correlation) <= min(one, other) + 1e-3


def test_no_curves_have_no_rates():
    assert len(rates([], [])) == 0


@given(st.lists(st.tuples(st.integers(1, 6), st.floats(-2, 8)), max_size=8), st.sampled_from([1.0, 1e-6, 1e15]))
def test_many_curves_are_read_as_each_is_alone(those, unit):
    rng = np.random.default_rng(len(those))
    curves = [line("rack-1/a", unit * np.cumsum(rng.random(n)), np.cumsum(rng.random(n))) for n, _ in those]
    at = [unit * x for _, x in those]
    assert rates(curves, at) == pytest.approx([curve.at(x) for curve, x in zip(curves, at, strict=True)], abs=1e-9)
