"""Every dataset of images and labelled frames is scored by its own protocol, and the truth is right by it."""

import pytest

from refseg.bench.runner import RunRequest, run


@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        ("refcoco", "ris/per_sentence"),
        ("grefcoco", "grefcoco/per_sentence"),
        ("a2d", "a2d"),
        ("jhmdb", "a2d"),
    ],
)
def test_the_truth_is_right_by_the_datasets_own_protocol(name, protocol, request, make_refer, tmp_path):
    copy = request.getfixturevalue(name) if name in ("a2d", "jhmdb") else make_refer(name)
    copy.write()
    made = RunRequest("oracle", name, root=str(copy.root), out=str(tmp_path / "run"), page=False)
    result = run(made)
    assert result["protocol"] == protocol
    assert len(result["metrics"]) >= 6 and set(result["metrics"].values()) == {100.0}
