"""Where predictions lie in a folder or zip that nobody described."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refseg.bench.errors import InputError
from refseg.bench.layouts.detect import Place, annotator_of, count_places, find_place
from refseg.bench.types import DatasetInfo, Expression, Video

YTVOS = ["zoo/0/00000.png", "zoo/0/00005.png", "ant/0/00000.png"]
SINGLE = ["zoo/00000.png", "ant/00000.png"]


@dataclass
class Listed:
    """Files by name only."""

    names: frozenset[str]
    path: Path = Path("/data/results")

    def shown(self, name):
        return name


def listed(*names, path="/data/results"):
    return Listed(frozenset(names), Path(path))


def videos_of(ids, expressions=("0", "1")):
    class Named:
        info = DatasetInfo("tiny", "1", "val", ())

        def videos(self):
            said = tuple(Expression(e, "x") for e in expressions)
            return [Video(i, ("00000",), (4, 5), said, lambda i: None) for i in ids]

    return Named()


@pytest.mark.parametrize("above", ["", "Annotations/", "valid/Annotations/", "out/x/y/"])
@pytest.mark.parametrize(
    ("names", "layout", "single"),
    [
        (YTVOS, "ytvos", False),
        (SINGLE, "davis", True),
        ([f"anno_{k}/{n}" for k in range(4) for n in SINGLE], "davis", False),
        ([f"anno_{k}/{n}" for k in (0, 2) for n in SINGLE], "davis", False),
    ],
)
def test_each_layout_is_found_below_any_folder_beside_junk(dataset, above, names, layout, single):
    files = listed(*(above + n for n in names), "README.txt", "log/curve.png", "scores.json")
    for given_layout in (None, layout):
        assert find_place(files, dataset, given_layout) == Place(layout, above, single)


def test_mevis_is_ytvos_by_another_name(dataset):
    assert find_place(listed(*YTVOS), dataset, "mevis") == Place("ytvos", "")


@pytest.mark.parametrize(
    ("path", "names", "annotator"),
    [
        ("/r/anno_2", SINGLE, 2),
        ("/r/anno_2.zip", SINGLE, 2),
        ("/r/results", [f"anno_3/{n}" for n in SINGLE], 3),
        ("/r/anno_1.zip", [f"x/anno_3/{n}" for n in SINGLE], 3),
        ("/r/anno_1", [f"masks/{n}" for n in SINGLE], 0),
        ("/r/osvos", SINGLE, 0),
        ("/r/anno_02", SINGLE, 0),
    ],
)
def test_one_folder_of_label_maps_is_the_annotator_s_that_it_is_named_for(dataset, path, names, annotator):
    files = listed(*names, path=path)
    place = find_place(files, dataset, None)
    assert place.single and annotator_of(files, place) == annotator


def test_the_working_folder_has_its_name_too(tmp_path, monkeypatch):
    (tmp_path / "anno_3").mkdir()
    monkeypatch.chdir(tmp_path / "anno_3")
    assert annotator_of(listed(path="."), Place("davis", "", single=True)) == 3


def test_several_sets_are_told_and_one_of_them_is_asked_for(dataset):
    files = listed(*(f"{top}/{n}" for top in ("masks", "overlays") for n in YTVOS))
    with pytest.raises(
        InputError, match=r"2 sets of predictions: ytvos in masks/ \(3 PNGs\); ytvos in overlays/"
    ):
        find_place(files, dataset, None)
    both = listed(*YTVOS, *(f"merged/{n}" for n in SINGLE))
    with pytest.raises(InputError, match="or give --layout"):
        find_place(both, dataset, None)
    assert find_place(both, dataset, "davis") == Place("davis", "merged/", single=True)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "it is empty"),
        (["zebra/0/00000.png"], "found: zebra/0/00000.png, 1 file"),
        (["zoo/0/00000.jpg"], "masks must be saved as PNGs"),
        (["all.zip"], "archives in it, such as all.zip, are not opened: unpack them"),
        (["zoo/x\x1b[2J.png.bak"], r"zoo/x\\x1b\[2J\.png\.bak"),
    ],
)
def test_nothing_for_the_dataset_is_told_with_what_is_there_and_what_is_expected(dataset, names, said):
    with pytest.raises(
        InputError, match=rf"holds no PNG for a video of tiny val .*{said}.*Expected is ytvos"
    ):
        find_place(listed(*names), dataset, None)


def test_another_layout_than_was_named_is_told(dataset):
    with pytest.raises(InputError, match=r"not of layout davis; it looks like ytvos in its top folder"):
        find_place(listed(*YTVOS), dataset, "davis")


def test_numbers_may_be_videos_and_expressions_at_once():
    numbered = videos_of(("0", "1"))
    assert find_place(listed("0/1/00000.png", "1/0/00000.png"), numbered, None) == Place("ytvos", "")
    assert find_place(listed("0/00000.png", "1/00000.png"), numbered, None) == Place("davis", "", single=True)


def test_a_folder_above_may_have_a_video_s_name():
    named = videos_of(("zoo", "ant"))
    assert find_place(listed("zoo/ant/00000.png"), named, None) == Place("davis", "zoo/", single=True)
    assert find_place(listed("zoo/zoo/0/00000.png"), named, None) == Place("ytvos", "zoo/")


def test_videos_may_be_named_by_paths():
    """As ReVOS's are."""
    paths = videos_of(("UVO/all/-fb", "LVVIS/train/00000"))
    assert find_place(listed("out/UVO/all/-fb/0/00000.png"), paths, None) == Place("ytvos", "out/")
    assert find_place(listed("LVVIS/train/00000/00000.png"), paths, None) == Place("davis", "", single=True)


WORD = st.text("ab01_", min_size=1, max_size=3)


@settings(max_examples=100, deadline=None)
@given(
    st.sets(WORD, min_size=1, max_size=3),
    st.sets(WORD, min_size=1, max_size=3),
    st.lists(WORD, max_size=3),
    st.sampled_from(["ytvos", "davis", "single"]),
    st.lists(st.lists(WORD, min_size=1, max_size=5).map("/".join), max_size=6),
)
def test_whatever_the_names_a_whole_set_is_found_or_the_choice_is_told(ids, expressions, above, layout, junk):
    base = "".join(f"{a}/" for a in above)
    if layout == "ytvos":
        wanted = {f"{base}{v}/{e}/00000.png" for v in ids for e in expressions}
    elif layout == "davis":
        wanted = {f"{base}anno_{k}/{v}/00000.png" for k in range(2) for v in ids}
    else:
        wanted = {f"{base}{v}/00000.png" for v in ids}
    found = count_places(wanted | {*junk}, dict.fromkeys(ids, frozenset(expressions)))
    # Names are looked at alone, so what else lies there changes nothing for them.
    assert found == count_places(wanted, dict.fromkeys(ids, frozenset(expressions)))
    assert 0 < sum(found.values()) <= len(wanted)
    only = {"ytvos": "ytvos", "davis": "davis", "single": "davis"}[layout]
    places = count_places(wanted, dict.fromkeys(ids, frozenset(expressions)), only)
    assert Place(only, base, single=layout == "single") in places
