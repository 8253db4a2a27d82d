import pytest
import torch

from refseg.bench.errors import InputError
from refseg.methods.sam.weights import load_into, load_tensors, read_metadata, save_safetensors


def test_safetensors_round_trip_with_metadata(tmp_path):
    path = tmp_path / "w.safetensors"
    layer = torch.nn.Linear(3, 2)
    save_safetensors(layer.state_dict(), path, {"made": "here"})
    other = torch.nn.Linear(3, 2)
    load_into(other, load_tensors(path), path)
    assert torch.equal(other.weight, layer.weight)
    assert read_metadata(path) == {"made": "here"}
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_pth_is_read_plain_or_under_model(tmp_path):
    state = torch.nn.Linear(3, 2).state_dict()
    for value in (state, {"model": state}):
        torch.save(value, tmp_path / "w.pth")
        assert set(load_tensors(tmp_path / "w.pth")) == {"weight", "bias"}
    assert read_metadata(tmp_path / "w.pth") == {}


@pytest.mark.parametrize(
    ("name", "said"), [("w.pth", "they are damaged, or hold objects"), ("w.safetensors", "cannot be read")]
)
def test_damaged_file_is_an_input_error(tmp_path, name, said):
    (tmp_path / name).write_bytes(b"not weights at all")
    with pytest.raises(InputError, match=said):
        load_tensors(tmp_path / name)


def test_pickled_code_is_refused(tmp_path):
    torch.save(torch.nn.Linear(3, 2), tmp_path / "w.pth")
    with pytest.raises(InputError, match="run code when they are loaded, and are refused"):
        load_tensors(tmp_path / "w.pth")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.pth"):
        load_tensors(tmp_path / "nowhere.pth")


def test_weights_of_another_size_are_refused(tmp_path):
    layer = torch.nn.Linear(3, 2)
    with pytest.raises(InputError, match=r"weight is \(2, 4\) and should be \(2, 3\)"):
        load_into(layer, torch.nn.Linear(4, 2).state_dict(), tmp_path / "w.pth")
    with pytest.raises(InputError, match="missing, first bias"):
        load_into(layer, {"weight": layer.weight}, tmp_path / "w.pth")
