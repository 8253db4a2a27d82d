"""REFER's pickles are read as plain data; whatever could run code or fill the memory is refused in one sentence."""

import os
import pickle
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refseg.bench.errors import InputError
from refseg.datasets.refcoco import plain_pickle
from refseg.datasets.refcoco.plain_pickle import read_plain_pickle

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("pickles") / "refs(unc).p"


def read(path, data):
    path.write_bytes(data)
    return read_plain_pickle(path)


@given(PLAIN, st.sampled_from([0, 1, 2, 3, 4]))
@settings(deadline=None, max_examples=60)
def test_plain_data_of_any_protocol_is_read_as_the_library_reads_it(path, value, protocol):
    assert read(path, pickle.dumps(value, protocol)) == value


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda b: b"\x80\x02" + b + b"."))
@settings(deadline=None, max_examples=150)
def test_any_bytes_are_read_or_refused_and_nothing_else(path, data):
    try:
        read(path, data)
    except InputError as error:
        assert "\n" not in str(error) and str(path) in str(error)


@pytest.mark.parametrize("protocol", [0, 2])
def test_python_2_strings_are_latin_1(path, protocol):
    raw = b"S'caf\\xe9'\n." if protocol == 0 else b"\x80\x02U\x04caf\xe9."
    assert read(path, raw) == "caf\xe9"


def test_every_beginning_of_a_file_is_refused(path):
    whole = pickle.dumps([{"a": [1, 2], "b": "text"}], 2)
    for end in range(len(whole)):
        with pytest.raises(InputError, match="no whole pickle"):
            read(path, whole[:end])


class Runs:
    """An object whose pickle makes a file when it is loaded."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("protocol", range(6))
def test_a_call_is_refused_before_it_is_made(path, tmp_path, protocol):
    data = pickle.dumps([{"ref_id": Runs(tmp_path / "ran")}], protocol)
    with pytest.raises(InputError, match=r"is refused: its pickle holds the instruction (STACK_)?GLOBAL"):
        read(path, data)
    assert not (tmp_path / "ran").exists()
    # The same bytes do run where they are loaded without care, so the test says something.
    pickle.loads(data)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("data", "instruction"),
    [
        (b"cos\nsystem\n.", "GLOBAL"),
        (b"(S'true'\nios\nsystem\n.", "INST"),
        (b"(N(o.", "OBJ"),
        (b"N)R.", "REDUCE"),
        (b"}}b.", "BUILD"),
        (b"N)\x81.", "NEWOBJ"),
        (b"N)}\x92.", "NEWOBJ_EX"),
        (b"P1\n.", "PERSID"),
        (b"I1\nQ.", "BINPERSID"),
        (b"\x82\x01.", "EXT1"),
        (b"\x83\x01\x00.", "EXT2"),
        (b"\x84\x01\x00\x00\x00.", "EXT4"),
        (b"\x8f.", "EMPTY_SET"),
        (b"\x96\xff\xff\xff\xff\xff\xff\xff\x7f.", "BYTEARRAY8"),
        (b"\x97.", "NEXT_BUFFER"),
        (b"\x00.", "0x00"),
    ],
)
def test_instructions_that_plain_data_does_not_need_are_refused(path, data, instruction):
    with pytest.raises(
        InputError, match=f"is refused: its pickle holds the instruction {instruction},"
    ) as caught:
        read(path, data)
    assert "\n" not in str(caught.value)


def test_memo_bomb_costs_no_memory(path):
    """The library's reader in C makes its memo as long as the largest number in it, here 64 GB."""
    tracemalloc.start()
    assert read(path, b"\x80\x02]r\xff\xff\xff\xff.") == []
    assert read(path, b"]p99999999999\n.") == []
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("size", [b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff"])
def test_string_longer_than_the_file_is_refused(path, size):
    with pytest.raises(InputError, match="no whole pickle"):
        read(path, b"\x80\x02T" + size + b"abc.")


def test_too_many_instructions_are_refused(path, monkeypatch):
    monkeypatch.setattr(plain_pickle, "MOST_READS", 1000)
    assert read(path, pickle.dumps([[]] * 100, 2)) == [[]] * 100
    with pytest.raises(InputError, match="more than 500 instructions"):
        read(path, b"}" * 5000 + b".")


def test_huge_file_is_refused_unread(path):
    with open(path, "wb") as file:
        file.truncate(plain_pickle.MOST_BYTES + 1)
    with pytest.raises(InputError, match="is 536,870,913 bytes"):
        read_plain_pickle(path)
    path.unlink()


def test_nested_and_self_referring_lists_do_no_harm(path):
    deep = read(path, b"]" * 100_000 + b"a" * 99_999 + b".")
    assert len(deep) == 1
    own = read(path, b"]q\x00h\x00a.")
    assert own[0] is own
