import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from refseg.bench.errors import InputError
from refseg.bench.types import DatasetRequest
from refseg.datasets.refshapes import build
from refseg.datasets.refshapes.facts import look_at
from refseg.datasets.refshapes.grammar import HELD_OUT, TYPES, sentences, vocabulary
from refseg.datasets.refshapes.random import Stream
from refseg.datasets.refshapes.render import render, render_labels
from refseg.datasets.refshapes.scene import COLOURS, FRAMES, RADII, SHAPES, TEXTURES, make_scene
from refseg.datasets.refshapes.train import clip_sample, image_sample

WORD_FOR = {"stripes": "striped", "dots": "dotted", "checks": "checkered"}


def split(name):
    return build(DatasetRequest("refshapes", name))


@pytest.fixture(scope="module")
def val():
    return split("val")


def looks(words):
    """The attributes that a phrase names, read off its words alone."""
    words = [WORD_FOR.get(w, w) for w in words]
    named = {"shape": SHAPES, "colour": COLOURS, "texture": TEXTURES, "size": RADII}
    return {k: w for k, known in named.items() for w in words if w in known}


def fits(look, named):
    return all(getattr(look, k) == v for k, v in named.items())


def test_val_is_what_the_documentation_says(val):
    videos = val.videos()
    assert len(videos) == 48
    assert all(len(v) == FRAMES == 16 and 4 <= len(v.expressions) <= 5 for v in videos)
    kinds = [e.attributes["type"] for v in videos for e in v.expressions]
    assert set(kinds) == set(TYPES)
    assert any(e.attributes["held_out"] for v in videos for e in v.expressions)
    assert sum(e.attributes["needs_time"] for v in videos for e in v.expressions) > 60


def test_truth_is_what_is_drawn_and_nothing_is_empty(val):
    for video in val.videos()[::6]:
        labels = val.label_maps(video.id)
        assert labels.shape == (len(video), *video.size)
        for expression in video.expressions:
            masks = val.ground_truth(video.id, expression.id).masks
            assert (masks == (labels == int(expression.object_ids[0]))).all()
            assert masks.any((1, 2)).sum() >= 4
        assert video.read(3).shape == (*video.size, 3)


def test_an_appearance_fits_one_object_only():
    """An oracle of its own: it reads the words, and knows nothing of the templates."""
    checked = 0
    for index in range(150):
        scene = make_scene(1, 2, index)
        facts = look_at(scene, range(FRAMES))
        for sentence in sentences(facts, Stream(1, 2, index, 5), 5):
            if sentence.type == "appearance":
                named = looks(sentence.text.split())
                assert [s.id for s in facts.shown() if fits(s.look, named)] == [sentence.object_id]
                checked += 1
    assert checked > 100


def test_what_no_sentence_fits_is_in_no_frame():
    dataset = split("no_target")
    for video in dataset.videos():
        for expression in video.expressions:
            assert expression.object_ids == ()
            assert not dataset.ground_truth(video.id, expression.id).masks.any()


def test_training_never_says_a_held_out_pair():
    said = [s for i in range(300) for s in image_sample(3, i, 6, no_target=5).sentences]
    said += [s for i in range(60) for s in clip_sample(3, i, 6, [0], no_target=5).sentences]
    assert len(said) > 1000
    for sentence in said:
        named = looks(sentence.text.split())
        assert not sentence.held_out
        # A relation names two objects, so only phrases of one object can be read as one.
        if sentence.type != "relation":
            assert (named.get("colour"), named.get("shape")) not in HELD_OUT


def test_every_word_is_in_the_vocabulary(val):
    known = set(vocabulary())
    assert {w for v in val.videos() for e in v.expressions for w in e.text.split()} <= known


def test_scenes_have_what_makes_video_hard():
    counts, occluded, entering, leaving = set(), 0, 0, 0
    for index in range(60):
        scene = make_scene(1, 2, index)
        counts.add(len(scene.shapes))
        labels = np.stack([render_labels(scene, t) for t in range(FRAMES)])
        areas = np.array([[(frame == int(s.id)).sum() for s in scene.shapes] for frame in labels])
        entering += int(((areas[0] == 0) & (areas.max(0) > 0)).any())
        leaving += int(((areas[-1] == 0) & (areas.max(0) > 0)).any())
        occluded += any(_covered(scene, t, labels[t]) for t in range(FRAMES))
    assert counts <= {2, 3, 4, 5, 6}
    assert len(counts) >= 4
    assert min(occluded, entering) > 15
    assert leaving >= 1


def _covered(scene, t, labels):
    """Whether an object of the frame has fewer pixels than it has alone."""
    for shape in scene.shapes[:-1]:
        alone = render_labels(replace(scene, shapes=(shape,)), t)
        if 0 < (labels == int(shape.id)).sum() < (alone > 0).sum():
            return True
    return False


def test_the_same_everywhere_and_in_any_order(val):
    code = (
        "from refseg.bench.types import DatasetRequest as R; from refseg.datasets.refshapes import build;"
        "d = build(R('refshapes', 'val')); import hashlib;"
        "print(d.info.fingerprint, hashlib.sha256(d.videos()[7].read(9).tobytes()).hexdigest())"
    )
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    frame = val.videos()[7].read(9)
    assert other == [val.info.fingerprint, hashlib.sha256(frame.tobytes()).hexdigest()]
    assert split("test").info.fingerprint != val.info.fingerprint


def test_labels_alone_are_those_drawn_with_the_frame():
    scene = make_scene(1, 2, 5)
    for t in (0, 8, 15):
        assert (render(scene, t)[1] == render_labels(scene, t)).all()


def test_single_images_have_one_frame_and_a_visible_object():
    dataset = split("image_val")
    videos = dataset.videos()
    assert len(videos) == 200
    assert dataset.info.protocols == ("ris/per_sentence",)
    for video in videos[::20]:
        assert len(video) == 1
        for e in video.expressions:
            assert not e.attributes["needs_time"]
            assert dataset.ground_truth(video.id, e.id).masks.any()


def test_wrong_splits_and_roots_are_refused():
    with pytest.raises(InputError, match="Did you mean 'val'"):
        split("vall")
    with pytest.raises(InputError, match="leave --root out"):
        build(DatasetRequest("refshapes", "val", root="somewhere"))
    with pytest.raises(InputError, match="no video"):
        split("val").label_maps("nothing")


def test_random_numbers_are_uniform_and_their_own():
    stream = Stream(4, 2)
    values = [stream.uniform(0, 1) for _ in range(4000)]
    assert abs(np.mean(values) - 0.5) < 0.02
    assert Stream(4, 2).uniform(0, 1) == values[0] != Stream(4, 3).uniform(0, 1)
    drawn = [Stream(9, i).weighted(("a", "b"), (3, 1)) for i in range(2000)]
    assert drawn.count("a") / len(drawn) == pytest.approx(0.75, abs=0.04)
