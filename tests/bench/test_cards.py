"""Cards: every built-in dataset has one that says everything, and the page in docs is what they say."""

from pathlib import Path

import pytest

from refseg.bench import registry
from refseg.bench.cards import all_cards_markdown, card_text, find_card
from refseg.bench.errors import InputError
from refseg.bench.types import DatasetRequest

DOCS = Path(__file__).parents[2] / "docs/datasets.md"
NAMES = [n for n, e in registry.TABLE["datasets"].items() if e.provider == registry.BUILT_IN]


@pytest.mark.parametrize("name", NAMES)
def test_a_card_says_everything(name):
    card = find_card(name)
    assert card is not None and card.name == name
    for text in (
        card.title,
        card.summary,
        card.licence,
        card.citation,
        card.version,
        *card.source,
        *card.traps,
    ):
        assert text.strip()
    assert card.source and card.protocols and card.traps and card.default_split in card.splits
    assert set(card.aliases.values()) <= set(card.splits)
    text = card_text(card)
    for part in (card.title, card.licence, *card.splits, *card.traps, *card.options):
        assert part in text


@pytest.mark.parametrize("name", [n for n in NAMES if n != "refshapes"])
def test_without_a_root_the_card_s_tree_is_shown(name):
    with pytest.raises(InputError, match=r"(?s)--root DIR.*bench data set.*DIR/"):
        registry.build_dataset(DatasetRequest(name))


def test_split_s_other_names_and_unknown_ones():
    card = find_card("refytvos")
    assert (card.split(None), card.split("val"), card.split("test")) == ("valid", "valid", "test")
    with pytest.raises(InputError, match=r"Unknown split of refytvos 'tset'.*Did you mean 'test'"):
        card.split("tset")


def test_a_dataset_may_have_no_card(clips):
    assert find_card("clips") is None


def test_the_page_is_what_the_cards_say():
    made = f"{all_cards_markdown()}\n"
    assert DOCS.read_text("utf-8") == made, "make it anew: bench data cards > docs/datasets.md"
