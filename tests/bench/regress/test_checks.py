"""Which figures count as moved."""

from dataclasses import replace

import numpy as np
import pytest

from refseg.bench.regress.baseline import Entry
from refseg.bench.regress.checks import ITEM_SHARE, entry_rows, speed_row

NAME = "refshapes/per_expression"
VIDEOS = frozenset(f"v{i}" for i in range(20))


def entry(change=0.0, *, network=True, **facts):
    base = np.repeat(np.random.default_rng(0).uniform(10, 90, 20), 5)
    scores = np.round(base + change, 4).tolist()
    items = [
        {"video": f"v{i // 5}", "expression": str(i % 5), "J&F": s, "J": s, "F": s, "frames": 3}
        for i, s in enumerate(scores)
    ]
    return Entry(
        "some",
        {},
        facts={"revision": "1", "config": {}, "weights": {}} | facts,
        parameters={"net": (6, 8), "all": (6, 8)} if network else {},
        protocols={NAME: items},
    )


def moved(then, now, videos=VIDEOS):
    return [(row.kind, row.what) for row in entry_rows("some", then, now, videos) if row.moved]


def test_nothing_moves_where_nothing_changed():
    rows = list(entry_rows("some", entry(), entry(), VIDEOS))
    assert not any(row.moved for row in rows)
    assert {row.kind for row in rows} == {"accuracy", "items", "parameters"}


@pytest.mark.parametrize("by", [0.5, -0.5])
def test_a_small_shift_of_every_item_moves_the_mean_in_either_direction(by):
    found = moved(entry(), entry(by))
    assert ("accuracy", f"{NAME}: J&F") in found and not any(kind == "items" for kind, _ in found)


def test_what_is_less_than_the_margin_is_rounding_with_a_network_and_a_fault_without():
    assert moved(entry(), entry(0.05)) == []
    found = moved(entry(network=False), entry(0.05, network=False))
    assert ("accuracy", f"{NAME}: F") in found and any(kind == "items" for kind, _ in found)


def test_items_that_move_up_and_down_are_seen_though_the_mean_stays():
    sway = np.zeros(100)
    sway[: int(ITEM_SHARE * 100) + 1] = [5, -5, 5, -5, 5, -5]
    (found,) = moved(entry(), entry(sway))
    assert found[0] == "items" and "of 100 items moved" in found[1]
    sway[5] = 0
    assert moved(entry(), entry(sway)) == []


def test_parameters_configuration_and_weights_are_exact():
    one_more = replace(entry(), parameters={"net": (6, 9), "all": (6, 9)})
    assert moved(entry(), one_more) == [("parameters", "net, total"), ("parameters", "all, total")]
    other = entry(config={"a": {"b": 1}}, weights={"w": "0"})
    assert moved(entry(), other) == [("configuration", "config.a.b"), ("configuration", "weights.w")]
    gone = replace(entry(), parameters={})
    assert ("parameters", "net, learnable") in moved(entry(), gone)


def test_items_and_videos_that_are_lost_count_but_those_not_looked_at_do_not():
    lost = replace(entry(), protocols={NAME: entry().protocols[NAME][5:]}, failures=("v0",))
    found = moved(entry(), lost)
    assert ("items", f"{NAME}: items") in found and ("failures", "failed videos") in found
    assert moved(entry(), replace(lost, failures=()), VIDEOS - {"v0"}) == []
    assert moved(entry(), replace(entry(), protocols={})) == [("items", f"{NAME}: items")]


def test_speed_moves_only_where_the_whole_interval_is_beyond_what_is_allowed():
    then = [1.0, 1.02, 0.98, 1.01, 0.99]
    assert speed_row("m", "x", then, [1.2 * t for t in then], 1.25).verdict == "within noise"
    row = speed_row("m", "x", then, [1.5 * t for t in then], 1.25)
    assert row.moved and row.change == pytest.approx(1.5, rel=0.03)
    wild = [1.0, 1.6, 0.9, 1.7, 1.5]
    assert not speed_row("m", "x", then, wild, 1.25).moved
    faster = speed_row("m", "x", then, [0.5 * t for t in then], 1.25)
    assert faster.verdict == "faster" and not faster.moved
