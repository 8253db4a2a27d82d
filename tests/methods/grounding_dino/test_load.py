"""Where a detector's weights come from."""

import numpy as np
import pytest
import torch

from refseg.bench.errors import InputError
from refseg.bench.fetch import file_sha256
from refseg.methods.grounding_dino import load
from refseg.methods.grounding_dino.detector import DetectorOptions

pytestmark = pytest.mark.usefixtures("nothing_configured")


@pytest.fixture
def asked(monkeypatch):
    """A hub without anything; what it is asked for."""
    seen = []
    monkeypatch.setattr(load, "snapshot", lambda *args, **options: seen.append((args, options)))
    return seen


@pytest.fixture(scope="module")
def folder(tiny_model, tokenizer, tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny-dino")
    tiny_model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def detector(given, tokenizer=None):
    return load.load_detector("swint", str(given), tokenizer, DetectorOptions(short_side=64), device="cpu")


def test_a_folder_of_transformers_comes_with_its_tokenizer(folder, tiny_model):
    found, weights = detector(folder)
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    other = type(found)(tiny_model, found.tokenizer, found.options)
    for a, b in zip(
        found.find(image, ["the red circle"]), other.find(image, ["the red circle"]), strict=True
    ):
        assert (a.box == b.box).all() and a.score == b.score
    assert weights == {"tiny-dino0/model.safetensors": file_sha256(folder / "model.safetensors")}
    assert not any(p.requires_grad for p in found.model.parameters())


def test_the_official_file_is_found_by_its_name_before_the_hub_is_asked(asked, tmp_path, monkeypatch):
    assert load.find_detector("swint", None) is None and asked[0][0][0] == "IDEA-Research/grounding-dino-tiny"
    monkeypatch.setenv("REFSEG_CHECKPOINTS", str(tmp_path))
    (tmp_path / "groundingdino_swint_ogc.pth").touch()
    assert load.find_detector("swint", None) == tmp_path / "groundingdino_swint_ogc.pth"
    assert len(asked) == 1


def test_a_hub_id_is_no_path_and_has_no_pinned_revision(asked):
    assert load.find_detector("swint", "someone/their-dino") is None
    assert asked == [(("someone/their-dino", None), {"offline": True})]
    with pytest.raises(InputError, match="someone/their-dino is no path on this computer"):
        detector("someone/their-dino")
    for path in ("weights/dino.pth", "./dino", "/dino"):
        with pytest.raises(InputError, match=f"The checkpoint {path} .*does not exist"):
            detector(path)


def test_official_weights_need_a_tokenizer(asked, tmp_path, tokenizer):
    path = tmp_path / "groundingdino_swint_ogc.pth"
    torch.save({"model": {}}, path)
    with pytest.raises(InputError, match=r"without a tokenizer.*--set tokenizer=FOLDER"):
        detector(path)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({}, "its image encoder is missing"),
        ({"module.backbone.0.patch_embed.proj.weight": torch.zeros(192, 3, 4, 4)}, "encoder is 192 wide"),
    ],
)
def test_files_of_other_networks_are_refused(tmp_path, tokenizer, state, said):
    torch.save({"model": state}, tmp_path / "other.pth")
    tokenizer.save_pretrained(tmp_path / "words")
    with pytest.raises(InputError, match=said):
        detector(tmp_path / "other.pth", str(tmp_path / "words"))


def test_folders_of_something_else_are_refused(tmp_path, folder):
    import shutil

    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match=r"model\.safetensors"):
        detector(tmp_path / "nothing")
    shutil.copytree(folder, tmp_path / "broken")
    (tmp_path / "broken/model.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match="no Grounding DINO that transformers can load"):
        detector(tmp_path / "broken")
    shutil.copytree(folder, tmp_path / "wordless", ignore=shutil.ignore_patterns("*token*", "vocab*"))
    with pytest.raises(InputError, match=r"does not hold BERT's tokenizer \(it numbers \[CLS\]"):
        detector(tmp_path / "wordless")


def test_the_empty_detector_has_the_official_parameters():
    model = load.empty_detector("swint", DetectorOptions()).model
    assert next(model.parameters()).is_meta
    # The official SwinT has 172,839,682 parameters, of which BERT's pooler (590,592) has no place here.
    assert (
        sum(p.numel() for n, p in model.named_parameters() if ".swin.layernorm." not in n)
        == 172_839_682 - 590_592
    )
