import math

import torch
import torch.nn.functional as F

from refseg.methods.refsam.attention import HierarchicalDenseAttention, place_scores

C, H, W = 6, 3, 4


def plain_dense_attention(conv, visual, bank):
    """One frame (C, h, w) and one bank (L, C), pixel by pixel."""
    out = torch.empty(C, H, W)
    for y in range(H):
        for x in range(W):
            f = visual[:, y, x]
            weights = torch.stack([f @ token for token in bank]).div(math.sqrt(C)).softmax(0)
            s = sum(w * token for w, token in zip(weights, bank, strict=True))
            out[:, y, x] = conv(torch.cat([s, f])[None, :, None, None])[0, :, 0, 0]
    return out


@torch.no_grad()
def test_dense_attention_is_the_plain_loop_for_every_row():
    torch.manual_seed(0)
    da = HierarchicalDenseAttention(C, map_dims=[], normalize=False)
    visual, bank = torch.randn(2, C, H, W), torch.randn(3, 5, C)
    lengths, frames = [5, 1, 3], torch.tensor([1, 0, 1])
    mask = torch.arange(5) < torch.tensor(lengths)[:, None]
    got = da([visual], bank, mask, frames)
    for i, length in enumerate(lengths):
        expected = plain_dense_attention(da.attentions[0].conv, visual[frames[i]], bank[i, :length])
        torch.testing.assert_close(got[i], expected)


@torch.no_grad()
def test_hda_sums_dense_attention_over_the_reduced_maps():
    torch.manual_seed(0)
    hda = HierarchicalDenseAttention(C, map_dims=[10, 10], normalize=True)
    f, mid = torch.randn(2, C, H, W), [torch.randn(2, 10, H, W) for _ in range(2)]
    bank, mask, frames = torch.randn(2, 4, C), torch.ones(2, 4, dtype=torch.bool), torch.tensor([0, 1])
    maps = [F.normalize(m, dim=1) for m in (f, *(r(m) for r, m in zip(hda.reductions, mid, strict=True)))]
    got = hda(hda.maps(f, mid), bank, mask, frames)
    for i in range(2):
        expected = sum(
            plain_dense_attention(a.conv, m[i], bank[i]) for a, m in zip(hda.attentions, maps, strict=True)
        )
        torch.testing.assert_close(got[i], expected)


@torch.no_grad()
def test_known_scores_are_not_computed_again():
    torch.manual_seed(0)
    hda = HierarchicalDenseAttention(C, map_dims=[C], normalize=False)
    maps, bank, added = (
        [torch.randn(2, C, H, W) for _ in range(2)],
        torch.randn(3, 4, C),
        torch.randn(3, C, H, W),
    )
    mask, frames = torch.ones(3, 4, dtype=torch.bool), torch.tensor([1, 0, 1])
    scores = place_scores(maps, bank, frames, added)
    torch.testing.assert_close(
        hda(maps, bank, mask, frames, added, scores), hda(maps, bank, mask, frames, added), atol=0, rtol=0
    )
    zero = [torch.zeros_like(s) for s in scores]
    assert not torch.allclose(
        hda(maps, bank, mask, frames, added, zero), hda(maps, bank, mask, frames, added)
    )


def test_without_reductions_it_is_da_on_the_embedding():
    da = HierarchicalDenseAttention(C, map_dims=[], normalize=False)
    f = torch.randn(1, C, H, W)
    (only,) = da.maps(f, [torch.randn(1, 10, H, W)])
    assert only is f
