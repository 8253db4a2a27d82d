import pytest
import torch
import torch.nn.functional as F

from refseg.methods.refsam.tracking import ImplicitTracking, MaskMemory


@pytest.mark.parametrize(("token", "rows"), [("iou", [0]), ("main_mask", [1]), ("all_masks", [1, 2, 3, 4])])
@pytest.mark.parametrize("residual", [True, False])
def test_track_tokens_come_from_the_chosen_output_tokens(token, rows, residual):
    itm = ImplicitTracking(8, token=token, residual=residual)
    tokens = torch.randn(2, 5, 8)
    x = tokens[:, rows]
    y = itm.mlp[2](itm.mlp[0](x).relu())
    expected = F.layer_norm(x + y if residual else y, (8,))
    torch.testing.assert_close(itm(tokens), expected)


def test_its_size_is_the_papers():
    assert sum(p.numel() for p in ImplicitTracking(256, token="iou", residual=True).parameters()) == 526_080


def test_a_new_memory_says_nothing():
    memory = MaskMemory(8, hidden=4)
    out = memory(torch.randn(2, 8, 4, 4), torch.rand(3, 16, 16), torch.tensor([0, 1, 1]))
    assert out.shape == (3, 8, 4, 4) and not out.any()


@torch.no_grad()
def test_memory_compares_each_rows_mask_with_its_own_frame():
    memory = MaskMemory(8, hidden=4)
    frames, masks, index = torch.randn(2, 8, 6, 6), torch.rand(3, 24, 24), torch.tensor([0, 1, 1])
    whole = memory.compare(frames, masks, index)
    for n, frame in enumerate(index.tolist()):
        alone = memory.compare(frames[frame : frame + 1], masks[n : n + 1], torch.tensor([0]))
        torch.testing.assert_close(whole[n], alone[0], atol=1e-6, rtol=1e-5)
    # Straight from the formula, a cell far from the border.
    cells = F.pixel_unshuffle(masks[:1, None] - 0.5, 4)
    product = memory.of_image(frames[:1]) * memory.of_mask(cells)
    expected = (product[0, :, :5, :5] * memory.spread.weight[:, 0]).sum((-2, -1))
    torch.testing.assert_close(whole[0, :, 2, 2], expected, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_memory_feels_which_way_a_mask_lies():
    """An object left and right of where it was is told apart, which sums of image and mask alone could not."""
    memory = MaskMemory(8, hidden=4)
    frame, mask = torch.zeros(1, 8, 6, 6), torch.zeros(1, 24, 24)
    frame[..., 2:4, 2:4], mask[:, 8:16, 8:16] = 1, 1
    zero = torch.tensor([0])
    found = [
        memory.compare(frame, mask.roll(shift, -1), zero)[0, :, 2:4, 2:4].mean((-2, -1))
        for shift in (-3, 0, 3)
    ]
    assert (found[0] - found[1]).abs().max() > 1e-3 and (found[2] - found[0]).abs().max() > 1e-3


def _discs(count, seed):
    """Return discs on 32 x 32 pixels before and after a step of two pixels, and which of four ways they went."""
    rng = torch.Generator().manual_seed(seed)
    at, radius = 10 + 12 * torch.rand(count, 2, generator=rng), 3 + 4 * torch.rand(count, generator=rng)
    way = torch.randint(4, (count,), generator=rng)
    grid = torch.stack(torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij"))

    def disc(middle):
        return ((grid - middle[:, :, None, None]).norm(dim=1) < radius[:, None, None]).float()

    return disc(at), disc(at + 2 * torch.tensor([[0, 1], [1, 0], [0, -1], [-1, 0]])[way]), way


def test_memory_learns_which_way_an_object_goes():
    """From nothing, in a few steps, and in each of the object's cells; a fourth would be chance."""
    torch.manual_seed(0)
    memory, head = MaskMemory(16, hidden=16), torch.nn.Linear(16, 4)
    optimizer = torch.optim.AdamW([*memory.parameters(), *head.parameters()], lr=1e-2)

    def scores(seed):
        before, after, way = _discs(64, seed)
        cells = F.avg_pool2d(after[:, None], 4)[:, 0] > 0.5
        hidden = memory.compare(F.pixel_unshuffle(after[:, None], 4), before, torch.arange(64))
        return head(hidden.permute(0, 2, 3, 1)[cells]), way[:, None, None].expand_as(cells)[cells]

    for seed in range(80):
        optimizer.zero_grad()
        F.cross_entropy(*scores(seed)).backward()
        optimizer.step()
    found, way = scores(1000)
    assert (found.argmax(1) == way).float().mean() > 0.8
