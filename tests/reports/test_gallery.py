import pytest

from refseg.reports.gallery import EACH, ranked, score_names


def items(*scores):
    return [
        {"video": f"v{i}", "expression": "0", "J&F": s, "J": s, "frames": 3, "object": 7}
        for i, s in enumerate(scores)
    ]


def shown(rank, chosen):
    return [item["J&F"] for r, item in chosen if r == rank]


def test_best_median_and_worst_are_shown_from_high_to_low():
    chosen = ranked(items(*[(37 * i) % 101 for i in range(101)]), "J&F")
    assert shown("best", chosen) == [100, 99, 98, 97]
    assert shown("worst", chosen) == [3, 2, 1, 0]
    assert len(shown("median", chosen)) == EACH and 50 in shown("median", chosen)


@pytest.mark.parametrize("count", range(1, 30))
def test_no_item_twice_and_all_where_they_are_few(count):
    chosen = ranked(items(*range(count)), "J&F")
    ids = [item["video"] for _, item in chosen]
    assert len(ids) == len(set(ids)) == min(count, 3 * EACH)
    ordered = [item["J&F"] for _, item in chosen]
    assert ordered == sorted(ordered, reverse=True)


def test_equals_keep_the_order_of_the_data_set():
    assert [item["video"] for _, item in ranked(items(*[50.0] * 40), "J&F")][:4] == ["v0", "v1", "v2", "v3"]


def test_scores_are_the_numbers_before_the_facts():
    assert score_names(items(1.0)) == ["J&F", "J"]
    assert score_names([]) == []
