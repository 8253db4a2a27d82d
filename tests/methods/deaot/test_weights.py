import hashlib

import pytest
import torch

from refseg.bench.errors import InputError
from refseg.methods.deaot import weights
from refseg.methods.deaot.build import DEAOT_CONFIGS
from refseg.methods.deaot.weights import PUBLISHED, Published, load_deaot, load_weights
from refseg.methods.sam.weights import save_safetensors


def other(model):
    return {k: v + 1 for k, v in model.state_dict().items()}


@pytest.mark.parametrize("wrapper", ["state_dict", "model", None])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_official_wrappers_are_taken_off(tiny, tmp_path, wrapper, prefix):
    state = other(tiny)
    named = {prefix + k: v for k, v in state.items()} | {"decoder.old": torch.zeros(1)}
    whole = {wrapper: named, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}, "step": 3}
    torch.save(whole if wrapper else named, tmp_path / "w.pth")
    assert load_weights(tiny, tmp_path / "w.pth") == ("decoder.old",)
    assert all(torch.equal(v, state[k]) for k, v in tiny.state_dict().items())


def test_a_missing_tensor_is_an_error_and_changes_nothing(tiny, tmp_path):
    state, before = other(tiny), {k: v.clone() for k, v in tiny.state_dict().items()}
    del state["id_norm.weight"]
    torch.save({"state_dict": state}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"1 tensors are missing, first id_norm\.weight"):
        load_weights(tiny, tmp_path / "w.pth")
    assert all(torch.equal(v, before[k]) for k, v in tiny.state_dict().items())


def test_own_weights_are_loaded_by_path_and_from_the_folder(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(DEAOT_CONFIGS, "mine", DEAOT_CONFIGS["deaot_tiny"])
    path = tmp_path / "mine.safetensors"
    save_safetensors(tiny.state_dict(), path, {})
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setenv("REFSEG_CHECKPOINTS", str(tmp_path))
    for name, given in (("mine", str(path)), ("mine", None), ("deaot_tiny", str(path))):
        model, hashes = load_deaot(name, given, option="deaot_checkpoint")
        assert hashes == {"mine.safetensors": sha256}
        assert all(torch.equal(v, tiny.state_dict()[k]) for k, v in model.state_dict().items())


def test_missing_weights_are_named_with_their_source(monkeypatch):
    monkeypatch.delenv("REFSEG_CHECKPOINTS", raising=False)
    with pytest.raises(InputError) as error:
        load_deaot("r50_deaotl", None, option="deaot_checkpoint")
    for part in ("--set deaot_checkpoint=PATH", "R50_DeAOTL_PRE_YTB_DAV.pth", "drive.google.com", "7e8a8d83"):
        assert part in str(error.value)


def test_a_file_of_a_published_name_must_be_the_published_one(tiny, tmp_path, monkeypatch):
    path = tmp_path / "Tiny.pth"
    torch.save(tiny.state_dict(), path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(weights.PUBLISHED, "deaot_tiny", Published("Tiny.pth", "id", sha256))
    load_deaot("deaot_tiny", str(path), option="checkpoint")
    monkeypatch.setitem(weights.PUBLISHED, "deaot_tiny", Published("Tiny.pth", "id", "0" * 64))
    with pytest.raises(InputError, match="fetch it again"):
        load_deaot("deaot_tiny", str(path), option="checkpoint")
    path.rename(tmp_path / "mine.pth")
    load_deaot("deaot_tiny", str(tmp_path / "mine.pth"), option="checkpoint")


def test_every_official_model_has_a_source():
    assert set(PUBLISHED) == set(DEAOT_CONFIGS) - {"deaot_tiny"}
    assert len({p.drive_id for p in PUBLISHED.values()}) == len(PUBLISHED)
