import pytest
import torch

from refseg.bench.errors import InputError
from refseg.methods.refsam.weights import learnable_tensors, load_weights, save_weights


@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_file_holds_what_differs_from_sam(build, images, tmp_path, dtype):
    path = tmp_path / "refsam.safetensors"
    model, other = build(), build()
    save_weights(model, path, {"sam": "abc"}, dtype=dtype)
    with torch.no_grad():
        for p in learnable_tensors(other).values():
            p.zero_()
    assert load_weights(other, path)["sam"] == "abc"
    for (name, a), (_, b) in zip(model.named_parameters(), other.named_parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-3 if dtype else 0, rtol=1e-3 if dtype else 0, msg=name)
    assert path.stat().st_size < (4 if dtype else 8) * 1e6
    assert not any("image_encoder" in name for name in learnable_tensors(model))


def test_another_configuration_is_named(build, tmp_path):
    path = tmp_path / "refsam.safetensors"
    save_weights(build(), path)
    with pytest.raises(InputError, match=r"dense=hda \(here da\), itm_token=main_mask \(here iou\)"):
        load_weights(build(dense="da", itm_token="iou"), path)
    load_weights(build(mask_selection="first", threshold=0.3), path)


def test_other_tensors_are_refused(build, tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "refsam.safetensors"
    save_file({"itm.norm.weight": torch.zeros(3), "stray": torch.zeros(1)}, path)
    with pytest.raises(InputError, match=r"missing, 1 unknown, 1 of another shape"):
        load_weights(build(), path)
