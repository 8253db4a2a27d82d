from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refseg.bench.errors import InputError
from refseg.bench.options import parse_options, split_assignments


@dataclass(frozen=True)
class Schema:
    flag: bool = False
    count: int = 1
    rate: float = 0.5
    text: str = "x"
    kind: Literal["a", "b"] = "a"
    maybe: int | None = 3
    token: Literal["none", "some"] | None = None


def parse(**values):
    return parse_options(Schema, values, owner="method m")


def test_nothing_given_is_the_defaults():
    assert parse() == Schema()


@given(st.integers(), st.floats(allow_nan=False), st.text(), st.booleans())
def test_values_come_back_as_they_were(count, rate, text, flag):
    found = parse(count=str(count), rate=repr(rate), text=text, flag=str(flag))
    assert (found.count, found.rate, found.text, found.flag) == (count, rate, text, flag)
    assert type(found.flag) is bool


def test_optional_and_choices():
    assert parse(maybe="none").maybe is None
    assert parse(maybe="7").maybe == 7
    assert parse(kind="b").kind == "b"
    # A choice that is called none is that choice.
    assert (parse(token="none").token, parse(token="some").token, parse().token) == ("none", "some", None)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"cuont": "1"}, "Unknown option of method m 'cuont'. Did you mean 'count'"),
        ({"count": "1.5"}, "count='1.5' of method m is not of type int"),
        ({"rate": "much"}, "not of type float"),
        ({"flag": "maybe"}, "not a truth value; write true or false"),
        ({"kind": "c"}, "not one of 'a', 'b'"),
        ({"maybe": "x"}, "maybe='x' of method m is not of type int"),
    ],
)
def test_wrong_values_are_told(values, said):
    with pytest.raises(InputError) as caught:
        parse(**values)
    assert said in str(caught.value)


def test_assignments():
    assert split_assignments(["a=1", " b = x=y ", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    for wrong, said in ((["a"], "KEY=VALUE"), (["=1"], "KEY=VALUE"), (["a=1", "a=2"], "given twice")):
        with pytest.raises(InputError, match=said):
            split_assignments(wrong)
