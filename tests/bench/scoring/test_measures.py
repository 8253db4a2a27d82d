import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from refseg.bench.scoring.measures import (
    bound_pixels,
    boundary_measure,
    intersection_and_union,
    region_similarity,
)

GOLDEN = Path(__file__).parents[2] / "data/golden/davis_jf_cases.npz"


@pytest.fixture(scope="module")
def cases():
    with np.load(GOLDEN) as data:
        stored = {k: data[k] for k in data.files}
    flat = {k: np.unpackbits(stored[f"{k}_bits"]).astype(bool) for k in ("gt", "pred", "void")}
    out = []
    for i, shape in enumerate(stored["shape"]):
        part = slice(stored["offset"][i], stored["offset"][i + 1])
        masks = {k: v[part].reshape(1, *shape) for k, v in flat.items()}
        out.append(
            (masks, {k: stored[k][i] for k in ("J", "F", "J_void", "F_void", "F_bound3", "F_bound005")})
        )
    return out


def test_j_and_f_equal_the_official_ones_exactly(cases):
    assert len(cases) == 200
    for masks, official in cases:
        p, t, v = masks["pred"], masks["gt"], masks["void"]
        assert region_similarity(p, t)[0] == official["J"]
        assert region_similarity(p, t, v)[0] == official["J_void"]
        assert boundary_measure(p, t)[0] == official["F"]
        assert boundary_measure(p, t, v)[0] == official["F_void"]
        assert boundary_measure(p, t, bound_th=3)[0] == official["F_bound3"]
        assert boundary_measure(p, t, bound_th=0.05)[0] == official["F_bound005"]


def slow_boundary(mask):
    """The rule of the border, pixel by pixel."""
    h, w = mask.shape
    out = np.zeros((h, w), bool)
    for y in range(h):
        for x in range(w):
            near = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
            if y == h - 1 or x == w - 1:
                near = [(y, x + 1)] if y == h - 1 else [(y + 1, x)]
            out[y, x] = any(a < h and b < w and mask[a, b] != mask[y, x] for a, b in near)
    return out


def slow_f(prediction, truth, radius):
    p, t = (np.argwhere(slow_boundary(m)) for m in (prediction, truth))
    if not len(p) or not len(t):
        return float(len(p) == len(t))
    near = ((p[:, None] - t[None]) ** 2).sum(-1) <= radius**2
    precision, recall = near.any(1).mean(), near.any(0).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


sizes = st.tuples(st.integers(1, 14), st.integers(1, 14))
pairs = sizes.flatmap(lambda s: st.tuples(arrays(bool, s), arrays(bool, s)))


@settings(deadline=None, max_examples=80)
@given(pairs, st.integers(1, 4))
def test_f_equals_distances_between_boundary_pixels(pair, radius):
    prediction, truth = pair
    found = boundary_measure(prediction[None], truth[None], bound_th=radius)[0]
    assert found == pytest.approx(slow_f(prediction, truth, radius), abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(pairs)
def test_scores_are_symmetric_and_bounded(pair):
    a, b = pair[0][None], pair[1][None]
    for measure in (region_similarity, boundary_measure):
        assert 0 <= measure(a, b)[0] <= 1
        assert measure(a, b)[0] == pytest.approx(measure(b, a)[0], abs=1e-12)
        assert measure(a, a)[0] == 1


def test_edge_policy():
    empty, full, dot = np.zeros((3, 1, 8, 8), bool)
    full[:] = True
    dot[0, 4, 4] = True
    assert region_similarity(empty, empty)[0] == boundary_measure(empty, empty)[0] == 1
    # A mask of the whole frame has no boundary.
    assert (region_similarity(full, empty)[0], boundary_measure(full, empty)[0]) == (0, 1)
    assert (region_similarity(dot, empty)[0], boundary_measure(dot, empty)[0]) == (0, 0)
    # Everything relevant is void.
    assert region_similarity(dot, empty, full)[0] == boundary_measure(dot, empty, full)[0] == 1


@pytest.mark.parametrize(
    ("size", "radius"), [((480, 854), 8), ((480, 910), 9), ((480, 1152), 10), ((64, 80), 1)]
)
def test_tolerance_in_pixels(size, radius):
    assert bound_pixels(*size) == radius == math.ceil(0.008 * math.hypot(*size))


def test_counts_leave_void_out():
    p, t, v = np.random.default_rng(0).random((3, 2, 9, 9)) < 0.5
    both, either = intersection_and_union(p, t, v)
    assert both.tolist() == [(a & b & ~c).sum() for a, b, c in zip(p, t, v, strict=True)]
    assert either.tolist() == [((a | b) & ~c).sum() for a, b, c in zip(p, t, v, strict=True)]


def test_masks_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        region_similarity(np.zeros((1, 4, 4), bool), np.zeros((1, 4, 5), bool))
