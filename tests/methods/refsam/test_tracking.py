import pytest
import torch
import torch.nn.functional as F

from refseg.methods.refsam.tracking import ImplicitTracking


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
