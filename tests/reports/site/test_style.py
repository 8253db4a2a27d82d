"""The pages' colours, from the style sheet itself: WCAG 2.1 AA in light and dark."""

import re

import pytest

from refseg.reports.site.pages import TEMPLATES

CSS = (TEMPLATES / "site.css").read_text("utf-8")
COLOURS = {m[1]: (m[2], m[3]) for m in re.finditer(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);", CSS)}
GROUNDS = ("paper", "card", "chosen", "warn")


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a, b):
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_the_recommendation():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("ink", ["ink", "soft", "link"])
def test_text_has_a_contrast_of_4_5(ink, ground, theme):
    assert contrast(COLOURS[ink][theme], COLOURS[ground][theme]) >= 4.5


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("mark", ["edge", "warn-line", *(f"kind{k}" for k in range(6))])
@pytest.mark.parametrize("ground", ["paper", "card"])
def test_what_carries_meaning_has_a_contrast_of_3(mark, ground, theme):
    assert contrast(COLOURS[mark][theme], COLOURS[ground][theme]) >= 3


def test_every_colour_that_is_used_is_one_of_the_sheet():
    used = {
        m[1]
        for path in TEMPLATES.glob("*")
        for m in re.finditer(r"var\(--([\w-]+)\)", path.read_text("utf-8"))
    }
    assert used <= {*COLOURS} and {"ink", "soft", "paper", "kind5"} <= used
    rules = CSS.partition("}")[2]
    assert set(re.findall(r"#[0-9a-fA-F]{3,8}\b(?=[;)\s])", rules)) == {"#808080"}
