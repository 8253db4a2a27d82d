"""Published checkpoints that `bench fetch` knows: where they are, and the SHA-256 that they must have.

The SHA-256 of SAM's files are those of micro-sam's table of checkpoints (computational-cell-analytics/micro-sam,
``micro_sam/util.py``); Meta publishes none. Those of Grounding DINO are of the files in its authors' repository
``ShilongLiu/GroundingDINO`` on the Hugging Face hub, which stores files by it. No torch is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping

from refseg.bench.errors import InputError, unknown_name
from refseg.bench.fetch import Download

_SAM = "https://dl.fbaipublicfiles.com/segment_anything"
_DINO = "https://github.com/IDEA-Research/GroundingDINO/releases/download"
_DRIVE = "https://drive.usercontent.google.com/download?export=download&confirm=t&id"
_MICRO_SAM = "micro-sam's table; the authors publish none"
_HUB = "the authors' repository on the Hugging Face hub"

DOWNLOADS: Mapping[str, Download] = {
    d.name: d
    for d in (
        Download(
            "sam_vit_b",
            "sam_vit_b_01ec64.pth",
            f"{_SAM}/sam_vit_b_01ec64.pth",
            "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
            375042383,
            "SAM ViT-B",
            _MICRO_SAM,
        ),
        Download(
            "sam_vit_l",
            "sam_vit_l_0b3195.pth",
            f"{_SAM}/sam_vit_l_0b3195.pth",
            "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
            1249524607,
            "SAM ViT-L",
            _MICRO_SAM,
        ),
        Download(
            "sam_vit_h",
            "sam_vit_h_4b8939.pth",
            f"{_SAM}/sam_vit_h_4b8939.pth",
            "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
            2564550879,
            "SAM ViT-H, which RefSAM's headline needs",
            _MICRO_SAM,
        ),
        Download(
            "groundingdino_swint",
            "groundingdino_swint_ogc.pth",
            f"{_DINO}/v0.1.0-alpha/groundingdino_swint_ogc.pth",
            "3b3ca2563c77c69f651d7bd133e97139c186df06231157a64c507099c52bc799",
            693997677,
            "Grounding DINO Swin-T",
            _HUB,
        ),
        Download(
            "groundingdino_swinb",
            "groundingdino_swinb_cogcoor.pth",
            f"{_DINO}/v0.1.0-alpha2/groundingdino_swinb_cogcoor.pth",
            "46270f7a822e6906b655b729c90613e48929d0f2bb8b9b76fd10a856f3ac6ab7",
            938057991,
            "Grounding DINO Swin-B",
            _HUB,
        ),
        Download(
            "r50_deaotl",
            "R50_DeAOTL_PRE_YTB_DAV.pth",
            f"{_DRIVE}=1QoChMkTVxdYZ_eBlZhK2acq9KMQZccPJ",
            "7e8a8d83310739bac02817f6bf48b6bbe2bbd7d5325722f1084088eb3aee1e06",
            236513959,
            "DeAOT R50-L, SAM-Track's tracker",
            "public copies that agree; the authors publish none",
        ),
    )
}


def find_download(name: str) -> Download:
    """Return a published checkpoint by its name.

    Raises:
        InputError: There is none of that name.
    """
    if name not in DOWNLOADS:
        raise unknown_name("checkpoint", name, DOWNLOADS, hint="see `bench fetch`")
    return DOWNLOADS[name]


def require_published(file: str, sha256: str) -> None:
    """Refuse a file that has a published checkpoint's name and other content.

    Args:
        file: Its name without a folder.
        sha256: Of its content.

    Raises:
        InputError: It is another file.
    """
    published = next((d for d in DOWNLOADS.values() if d.file == file), None)
    if published is not None and published.sha256 != sha256:
        raise InputError(
            f"{file} has the SHA-256 {sha256}, but the published one has {published.sha256}; `bench fetch "
            f"{published.name}` fetches it, or give weights of your own another name."
        )
