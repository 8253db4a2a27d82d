import pytest
import torch
import torch.nn.functional as F

from refseg.bench.errors import InputError
from refseg.methods.deaot.engine import UNUSED_LOGIT, Engine, MemorySettings, one_hot
from refseg.methods.deaot.frames import network_input, network_labels

SIZE = (48, 64)
TOKENS = 6 * 8


@pytest.fixture
def clip(tiny, video):
    """Encoded frames, one-hot masks."""
    frames, labels = video
    cpu = torch.device("cpu")
    with torch.no_grad():
        features = [tiny.encode(network_input(f, SIZE, cpu)) for f in frames]
    return features, [one_hot(network_labels(m, SIZE, cpu), tiny.ids) for m in labels]


@torch.no_grad()
def follow(model, clip, settings=None, objects=2):
    """Return the logits of all frames after the first, and the tokens in memory after each."""
    features, masks = clip
    engine = Engine(model, settings or MemorySettings())
    engine.add_reference(features[0], masks[0], [objects])
    logits, tokens = [], []
    for feature, mask in zip(features[1:], masks[1:], strict=True):
        logits.append(engine.propagate(feature))
        engine.update(mask)
        tokens.append(engine.memory_tokens)
    return torch.stack(logits), tokens


@pytest.mark.parametrize(
    ("settings", "frames"),
    [
        (MemorySettings(), [1, 1, 1, 1, 1]),
        (MemorySettings(long_term_gap=1), [2, 3, 4, 5, 6]),
        (MemorySettings(long_term_gap=2), [1, 2, 2, 3, 3]),
        (MemorySettings(long_term_gap=1, long_term_frames=3), [2, 3, 3, 3, 3]),
        (MemorySettings(long_term_gap=1, long_term_frames=1), [1, 1, 1, 1, 1]),
        (MemorySettings(long_term_gap=2, long_term_frames=2, short_term_skip=3), [1, 2, 2, 2, 2]),
    ],
)
def test_memory_is_what_the_settings_allow(tiny, clip, settings, frames):
    assert follow(tiny, clip, settings)[1] == [TOKENS * n for n in frames]


def test_each_setting_changes_the_masks(tiny, clip):
    plain, *others = (
        follow(tiny, clip, settings)[0]
        for settings in (
            MemorySettings(long_term_gap=1),
            MemorySettings(),
            MemorySettings(long_term_gap=1, long_term_frames=2),
            MemorySettings(long_term_gap=1, short_term_skip=2),
        )
    )
    for other in others:
        assert torch.equal(plain[0], other[0])
        assert (plain[-1] - other[-1])[:, :3].abs().max() > 1e-4


@pytest.mark.parametrize(("gap", "frames"), [(0, 1), (1, 0)])
def test_settings_are_positive(gap, frames):
    with pytest.raises(InputError, match="give 1 or more"):
        MemorySettings(long_term_gap=gap, long_term_frames=frames)


def test_engines_share_nothing_but_the_network(tiny, clip):
    features, masks = clip
    alone = follow(tiny, clip)[0]
    backwards = ([*reversed(features)], [*reversed(masks)])
    alone_backwards = follow(tiny, backwards)[0]
    with torch.no_grad():
        engines = Engine(tiny, MemorySettings()), Engine(tiny, MemorySettings())
        for engine, (f, m) in zip(engines, (clip, backwards), strict=True):
            engine.add_reference(f[0], m[0], [2])
        for t in range(1, len(features)):
            for engine, (f, m), expected in zip(
                engines, (clip, backwards), (alone, alone_backwards), strict=True
            ):
                assert torch.equal(engine.propagate(f[t]), expected[t - 1])
                engine.update(m[t])


def test_ids_without_an_object_get_no_pixel_and_change_no_other(tiny, clip):
    two, ten = follow(tiny, clip, objects=2)[0], follow(tiny, clip, objects=10)[0]
    assert (two[:, :, 3:] == UNUSED_LOGIT).all()
    assert torch.equal(two[:, :, :3], ten[:, :, :3])
    assert (ten[:, :, 3:] > UNUSED_LOGIT).all()


def test_a_mask_matters(tiny, clip):
    features, masks = clip
    swapped = [m[:, [0, 2, 1, *range(3, 11)]] for m in masks]
    assert (follow(tiny, clip)[0] - follow(tiny, (features, swapped))[0])[:, :, :3].abs().max() > 1e-4


@torch.no_grad()
def test_clips_in_a_batch_do_not_feel_each_other(tiny, video):
    frames, labels = video
    cpu = torch.device("cpu")
    pixels = [network_input(f, SIZE, cpu) for f in frames]
    masks = [one_hot(network_labels(m, SIZE, cpu), tiny.ids) for m in labels]
    orders = ((0, 1, 2), (5, 3, 4))
    alone = [
        follow(tiny, ([tiny.encode(pixels[i]) for i in order], [masks[i] for i in order]))[0]
        for order in orders
    ]
    steps = list(zip(*orders, strict=True))
    both = (
        [tiny.encode(torch.cat([pixels[i] for i in step])) for step in steps],
        [torch.cat([masks[i] for i in step]) for step in steps],
    )
    engine = Engine(tiny, MemorySettings())
    engine.add_reference(both[0][0], both[1][0], [2, 1])
    for t in (1, 2):
        logits = engine.propagate(both[0][t])
        assert torch.allclose(logits[0], alone[0][t - 1, 0], atol=1e-5)
        assert torch.allclose(logits[1, :2], alone[1][t - 1, 0, :2], atol=1e-5)
        assert (logits[1, 2:] == UNUSED_LOGIT).all()
        engine.update(both[1][t])


def test_the_order_of_calls_is_checked(tiny, clip):
    features, masks = clip
    engine = Engine(tiny, MemorySettings())
    with pytest.raises(RuntimeError, match="before any reference"):
        engine.propagate(features[0])
    engine.add_reference(features[0], masks[0], [2])
    with pytest.raises(RuntimeError, match="propagate once before each update"):
        engine.update(masks[0])
    engine.propagate(features[1])
    engine.update(masks[1])
    with pytest.raises(RuntimeError, match="propagate once before each update"):
        engine.update(masks[1])


def clip_loss(model, video, *, soft):
    """Cross-entropy of a clip of three frames, memory by the true masks or by the predicted probabilities."""
    frames, labels = video
    cpu = torch.device("cpu")
    features = [model.encode(network_input(f, SIZE, cpu)) for f in frames[:3]]
    truth = [network_labels(m, SIZE, cpu) for m in labels]
    engine = Engine(model, MemorySettings(long_term_gap=1))
    engine.add_reference(features[0], one_hot(truth[0], model.ids), [2])
    losses = []
    for t in range(1, 3):
        logits = F.interpolate(engine.propagate(features[t]), SIZE, mode="bilinear")
        losses.append(F.cross_entropy(logits, truth[t]))
        engine.update(logits.softmax(1) if soft else one_hot(truth[t], model.ids))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("soft", [False, True])
def test_every_weight_gets_a_gradient_through_a_clip(tiny, video, soft):
    clip_loss(tiny.train(), video, soft=soft).backward()
    for name, parameter in tiny.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_gradients_through_memory_are_right(tiny, video):
    """Against a finite difference along the gradient, in double precision."""
    model = tiny.double()
    clip_loss(model, video, soft=True).backward()
    parameters = [p for p in model.LSTT.parameters() if p.grad is not None]
    length = sum((p.grad**2).sum() for p in parameters).sqrt()
    losses = []
    with torch.no_grad():
        for sign in (1, -2):
            for p in parameters:
                p.add_(sign * 1e-5 / length * p.grad)
            losses.append(clip_loss(model, video, soft=True))
    assert float((losses[0] - losses[1]) / 2e-5) == pytest.approx(float(length), rel=1e-3)


def test_a_clip_can_be_learnt(tiny, video):
    optimizer = torch.optim.AdamW(tiny.parameters(), 1e-3)
    losses = []
    for _ in range(12):
        loss = clip_loss(tiny.train(), video, soft=False)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_half_precision_says_nearly_the_same(tiny, clip, video):
    masks = clip[1][:3]
    expected = follow(tiny, (clip[0][:3], masks))[0][:, :, :3]
    model = tiny.bfloat16()
    cpu = torch.device("cpu")
    with torch.no_grad():
        features = [model.encode(network_input(f, SIZE, cpu)) for f in video[0][:3]]
    found = follow(model, (features, masks))[0]
    assert found.dtype == torch.float32
    assert (found[:, :, 3:] == UNUSED_LOGIT).all()
    error = (found[:, :, :3] - expected).square().mean().sqrt() / expected.std()
    assert error < 0.05
