import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from refseg.bench.types import Video
from refseg.reports.captions import text_image, wrap
from refseg.reports.overlays import (
    PALETTE,
    Clip,
    animation,
    colour,
    draw_box,
    fitted,
    overlay,
    reduced,
    spread,
    strip,
)


def clip_of(length, size=(24, 32), *, noise=True, truth=True, text="a ball"):
    rng = np.random.default_rng(0)
    frames = (
        rng.integers(0, 256, (length, *size, 3), np.uint8)
        if noise
        else np.zeros((length, *size, 3), np.uint8)
    )
    masks = np.zeros((length, *size), bool)
    masks[:, 4:12, 5:20] = True
    video = Video("v", tuple(map(str, range(length))), size, (), lambda t: frames[t])
    return Clip(video, text, masks, np.roll(masks, 3, 2) if truth else None)


def test_overlay_changes_only_the_mask_and_one_pixel_around_it():
    frame = np.random.default_rng(1).integers(0, 256, (40, 50, 3), np.uint8)
    mask = np.zeros((40, 50), bool)
    mask[10:30, 15:35] = True
    before = frame.copy()
    drawn = overlay(frame, [mask], [colour(0)])
    near = mask | np.roll(mask, 1, 0) | np.roll(mask, -1, 0) | np.roll(mask, 1, 1) | np.roll(mask, -1, 1)
    assert (frame == before).all()
    assert (drawn[~near] == frame[~near]).all()
    assert (drawn[10, 15:35] == colour(0)).all()
    assert (drawn[9, 15:35] == 0).all()


def test_overlay_without_fill_keeps_the_object_inside_its_contour():
    frame = np.full((30, 30, 3), 77, np.uint8)
    mask = np.zeros((30, 30), bool)
    mask[5:25, 5:25] = True
    assert (overlay(frame, [mask], [colour(1)], fill=0.0)[8:22, 8:22] == 77).all()


@pytest.mark.parametrize("mask", [np.zeros((7, 9), bool), np.ones((7, 9), bool)])
def test_overlay_of_nothing_and_of_everything(mask):
    frame = np.full((7, 9, 3), 50, np.uint8)
    drawn = overlay(frame, [mask], [colour(0)])
    assert (drawn == frame).all() == (not mask.any())


def test_neighbouring_colours_differ():
    assert len(set(PALETTE)) == len(PALETTE)
    assert all(colour(i) != colour(i + 1) for i in range(20))


def test_small_frames_grow_by_a_whole_factor_and_stay_exact():
    frame = np.random.default_rng(2).integers(0, 256, (112, 128, 3), np.uint8)
    mask = frame[..., 0] > 128
    grown, (grown_mask,) = fitted(frame, [mask], 300)
    assert grown.shape == (224, 256, 3)
    assert (grown[::2, ::2] == frame).all() and (grown_mask[1::2, 1::2] == mask).all()


@pytest.mark.parametrize("width", [256, 2000])
def test_big_frames_shrink_and_keep_their_shape(width):
    shrunk, (mask,) = fitted(np.zeros((1080, 1920, 3), np.uint8), [np.ones((1080, 1920), bool)], width)
    assert shrunk.shape[1] == min(width, 480)
    assert mask.shape == shrunk.shape[:2] and mask.all()
    assert abs(shrunk.shape[0] / shrunk.shape[1] - 1080 / 1920) < 0.01


def test_a_small_object_survives_shrinking():
    mask = np.zeros((1080, 1920), bool)
    mask[500:506, 900:906] = True
    assert fitted(np.zeros((1080, 1920, 3), np.uint8), [mask], 256)[1][0].any()


@pytest.mark.parametrize(("length", "count"), [(1, 6), (5, 6), (6, 6), (7, 6), (100, 24), (9, 1)])
def test_spread_is_even_and_holds_both_ends(length, count):
    times = spread(length, count)
    assert len(times) == min(length, count) == len(set(times))
    assert times == sorted(times) and times[0] >= 0 and times[-1] < length
    assert count == 1 or (times[0], times[-1]) == (0, length - 1)


@pytest.mark.parametrize("noise", [True, False])
@pytest.mark.parametrize(("length", "asked"), [(1, 24), (5, 24), (40, 24), (40, 3)])
def test_gif_has_as_many_frames_as_asked_and_loops(length, asked, noise):
    image = Image.open(io.BytesIO(animation(clip_of(length, noise=noise), frames=asked, fps=5)))
    assert image.n_frames == min(length, asked)
    if image.n_frames > 1:
        assert image.info["loop"] == 0 and image.info["duration"] == 200


def test_prediction_stands_beside_truth_where_it_is_known():
    both, alone = (
        Image.open(io.BytesIO(animation(clip_of(2, truth=known), width=64))) for known in (True, False)
    )
    assert both.width > 2 * 64 and alone.width == 64
    assert strip(clip_of(4), width=64).height > strip(clip_of(4, truth=False), width=64).height


def test_rows_tell_of_empty_masks():
    clip = clip_of(3)
    clip.truth[:] = False
    assert [name for name, _ in clip.rows] == ["truth: nothing in any frame", "prediction"]


def test_box_is_drawn_on_the_prediction_of_its_frame_and_nowhere_else():
    plain = clip_of(3, noise=False)
    clip = replace(plain, boxes={1: (2.0, 3.0, 28.0, 20.0)})
    for masks in (clip.prediction, clip.truth):
        for t in range(3):
            drawn, bare = (
                np.asarray(c.panel(np.zeros((24, 32, 3), np.uint8), masks, t, 64)) for c in (clip, plain)
            )
            if masks is clip.prediction and t == 1:
                # Frames of 32 pixels are shown twice as large.
                assert (drawn[6, 4:57] == clip.colour).all() and (drawn[6:41, 56] == clip.colour).all()
                assert not np.array_equal(drawn, bare)
            else:
                assert np.array_equal(drawn, bare)


def test_box_that_leads_out_of_the_picture_is_no_error():
    image = np.zeros((20, 30, 3), np.uint8)
    draw_box(image, (-1e30, 5.0, 1e30, 1e9), 2.0, colour(0))
    assert (image[10, 5:25] == colour(0)).all()


def test_mask_colour_is_exact_after_reduction():
    image = Image.fromarray(np.random.default_rng(3).integers(0, 256, (64, 64, 3), np.uint8))
    image.putpixel((5, 5), colour(2))
    (few,) = reduced([image], [colour(2)], 32)
    assert few.convert("RGB").getpixel((5, 5)) == colour(2)
    assert len(few.getcolors()) <= 32


def test_hostile_captions_do_not_crash(hostile_text):
    image = text_image(hostile_text, 120)
    assert image.width == 120 and image.height < 120
    assert strip(clip_of(2, text=hostile_text)).height < 1000


@pytest.mark.parametrize("text", ["word " * 200, "x" * 5000])
def test_long_captions_are_cut_with_an_ellipsis(text):
    lines = wrap(text, 200, 15, 3)
    assert len(lines) == 3 and lines[-1].endswith("…")
    assert "…" not in "".join(lines[:-1])


def test_wrapping_loses_no_word():
    text = "the second zebra from the left that turns around at the end"
    assert " ".join(wrap(text, 150, 15, 9)) == text
