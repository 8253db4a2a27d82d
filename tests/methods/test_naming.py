import numpy as np
import pytest
import torch

from refseg.datasets.refshapes.grammar import VALUES
from refseg.datasets.refshapes.train import LEAST_PIXELS, image_sample
from refseg.methods.naming import Naming, attribute_values, objects_of, visible_ids


@pytest.fixture(scope="module")
def samples():
    return [image_sample(5, i, 0) for i in range(6)]


def test_objects_are_those_of_the_frames_with_what_they_look_like(samples):
    found = objects_of([s.labels[0] for s in samples], [s.looks for s in samples])
    seen = 0
    for b, sample in enumerate(samples):
        for i in range(1, 7):
            mask = sample.labels[0] == i
            if mask.sum() < LEAST_PIXELS:
                continue
            assert found.index[seen] == b
            np.testing.assert_array_equal(found.masks[seen].numpy() > 0, mask)
            look = sample.looks[str(i)]
            named = [v[k] for v, k in zip(VALUES.values(), found.attributes[seen].tolist(), strict=True)]
            assert named == [look.shape, look.colour, look.texture, look.size]
            seen += 1
    assert seen == len(found.masks) == len(found.index) > 6


def test_an_object_of_which_little_is_seen_is_not_asked_for(samples):
    labels = np.zeros((112, 128), np.uint8)
    labels[0, : LEAST_PIXELS - 1] = 1
    labels[4, :LEAST_PIXELS] = 2
    assert visible_ids(labels) == [2]
    nothing = objects_of([labels * 0], [samples[0].looks])
    assert nothing.masks.shape == (0, 112, 128) and nothing.attributes.shape == (0, len(VALUES))


def test_the_loss_is_the_cross_entropies_of_what_is_under_each_mask(samples):
    torch.manual_seed(0)
    found = objects_of([s.labels[0] for s in samples], [s.looks for s in samples])
    naming, embeddings = Naming(8), torch.randn(len(found.masks), 8, 16, 16)
    expected = 0.0
    for embedding, mask, attributes in zip(embeddings, found.masks, found.attributes, strict=True):
        # 8x8 pixels a cell, of which the square has 16x16 and the frame 14x16.
        share = mask.view(14, 8, 16, 8).sum((1, 3)) / 64
        mean = (embedding[:, :14] * share).sum((-2, -1)) / share.sum()
        for head, value in zip(naming.heads.values(), attributes, strict=True):
            expected -= head(mean).log_softmax(0)[value] / len(found.masks)
    torch.testing.assert_close(naming.loss(embeddings, found.masks, found.attributes), expected)
    assert naming.loss(embeddings[:0], found.masks[:0], found.attributes[:0]) == 0


def test_every_attribute_has_its_place(samples):
    look = samples[0].looks["1"]
    assert [list(VALUES.values())[k][v] for k, v in enumerate(attribute_values(look))] == [
        getattr(look, name) for name in VALUES
    ]
