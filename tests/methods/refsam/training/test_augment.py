"""Augmentations on real sentences and on frames whose content says where they went."""

import re
from pathlib import Path

import numpy as np
import pytest

from refseg.methods.refsam.training.augment import NONE, Augmentation, augment, swap_sides

REAL = (Path(__file__).parents[3] / "data/left_and_right.txt").read_text().splitlines()
"""Sentences of Refer-YouTube-VOS and Ref-DAVIS17 that name a side, as they stand there."""

GEOMETRY = Augmentation(flip=0.5, photometric=0, crop=0.5)


def sides(text):
    return [w.lower() for w in re.findall("left|right", text, re.IGNORECASE)]


@pytest.mark.parametrize("text", REAL)
def test_a_real_sentence_is_about_the_mirrored_picture(text):
    swapped = swap_sides(text)
    assert sides(swapped) == [{"left": "right", "right": "left"}[s] for s in sides(text)]
    assert re.sub("left|right", "_", swapped, flags=re.IGNORECASE) == re.sub(
        "left|right", "_", text, flags=re.IGNORECASE
    )
    assert swap_sides(swapped) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the bright upright fright, cleft and lefse", "the bright upright fright, cleft and lefse"),
        ("Left one, RIGHT-most, rightmost; far-left", "Right one, LEFT-most, leftmost; far-right"),
        ("lefthand righty leftside rightwards", "righthand lefty rightside leftwards"),
        ("man", "man"),
    ],
)
def test_only_words_for_sides_are_swapped(text, expected):
    assert swap_sides(text) == expected


def clip():
    """Three equal frames that are white where the mask is, on a ground that darkens to the right and down."""
    mask = np.zeros((3, 120, 160), bool)
    mask[:, 30:80, 20:70] = True
    frame = np.where(mask[..., None], 255, 40).astype(np.uint8).repeat(3, axis=-1)
    return frame, mask


def test_flip_mirrors_pixels_masks_and_words():
    frames, masks = clip()
    how = Augmentation(flip=1, photometric=0, resize=False)
    shown, where, text = augment(frames, masks, "the left one", how, np.random.default_rng(0))
    assert (shown == frames[:, :, ::-1]).all() and (where == masks[:, :, ::-1]).all()
    assert text == "the right one"


@pytest.mark.parametrize("seed", range(12))
def test_masks_go_where_the_pixels_go_in_every_frame(seed):
    frames, masks = clip()
    shown, where, _ = augment(frames, masks, "", GEOMETRY, np.random.default_rng(seed))
    white = shown[..., 0] > 147
    assert (white & where).sum() / (white | where).sum() > 0.97
    assert (shown == shown[0]).all() and (where == where[0]).all()
    assert {*where.shape[1:]} <= {*GEOMETRY.sides} and shown.shape == (*where.shape, 3)


def test_crops_lose_a_part_and_plain_resizing_does_not():
    frames, masks = clip()

    def area(crop, seed):
        how = Augmentation(flip=0, photometric=0, crop=crop)
        return augment(frames, masks, "", how, np.random.default_rng(seed))[1][0].mean()

    whole = masks[0].mean()
    assert all(abs(area(0, s) - whole) < 0.01 for s in range(5))
    assert max(abs(area(1, s) - whole) for s in range(5)) > 0.01


def test_colours_vary_from_frame_to_frame_and_move_nothing():
    frames, masks = clip()
    how = Augmentation(flip=0, photometric=1, resize=False)
    shown, where, text = augment(frames + np.uint8(1), masks, "red", how, np.random.default_rng(0))
    assert (where == masks).all() and text == "red" and shown.dtype == np.uint8
    assert not (shown == frames).all() and not (shown[0] == shown[1]).all()


def test_hue_turns_and_keeps_brightness():
    frames = np.zeros((1, 4, 4, 3), np.uint8)
    frames[..., 0] = 200
    how = Augmentation(flip=0, photometric=1, resize=False)
    hues = {
        tuple(augment(frames, np.ones((1, 4, 4), bool), "", how, np.random.default_rng(s))[0][0, 0, 0] > 0)
        for s in range(20)
    }
    assert len(hues) > 1


def test_none_is_the_identity():
    frames, masks = clip()
    shown, where, text = augment(frames, masks, "left", NONE, np.random.default_rng(0))
    assert (shown == frames).all() and (where == masks).all() and text == "left" and NONE.none
