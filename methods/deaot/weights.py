"""Weights of DeAOT: the published files, and our own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from refseg.bench.errors import InputError
from refseg.bench.fetch import file_sha256
from refseg.methods.checkpoints import find_checkpoint
from refseg.methods.deaot.build import build_deaot, config_of
from refseg.methods.deaot.model import DeAot
from refseg.methods.downloads import DOWNLOADS
from refseg.methods.sam.weights import load_into, load_tensors


@dataclass(frozen=True)
class Published:
    """A checkpoint as its authors give it away.

    Attributes:
        file: Its name.
        drive_id: Of the file on Google Drive, from the official MODEL_ZOO.md (stage PRE_YTB_DAV).
        sha256: Of its content, where it is known; the authors publish none.
    """

    file: str
    drive_id: str
    sha256: str = ""

    @property
    def source(self) -> str:
        """Where it is and what it is, for messages."""
        known = f", SHA-256 {self.sha256}" if self.sha256 else ", whose SHA-256 is not published"
        return f"{self.file} from https://drive.google.com/file/d/{self.drive_id}{known}"


PUBLISHED = {
    "deaott": Published("DeAOTT_PRE_YTB_DAV.pth", "1ThWIZQS03cYWx1EKNN8MIMnJS5eRowzr"),
    "deaots": Published("DeAOTS_PRE_YTB_DAV.pth", "1YwIAV5tBtn5spSFxKLBQBEQGwPHyQlHi"),
    "deaotb": Published("DeAOTB_PRE_YTB_DAV.pth", "1BHxsonnvJXylqHlZ1zJHHc-ymKyq-CFf"),
    "deaotl": Published("DeAOTL_PRE_YTB_DAV.pth", "18elNz_wi9JyVBcIUYKhRdL08MA-FqHD5"),
    "r50_deaotl": Published(
        "R50_DeAOTL_PRE_YTB_DAV.pth",
        "1QoChMkTVxdYZ_eBlZhK2acq9KMQZccPJ",
        DOWNLOADS["r50_deaotl"].sha256,
    ),
    "swinb_deaotl": Published("SwinB_DeAOTL_PRE_YTB_DAV.pth", "1g4E-F0RPOx9Nd6J7tU9AE1TjsouL4oZq"),
    "aott": Published("AOTT_PRE_YTB_DAV.pth", "1owPmwV4owd_ll6GuilzklqTyAd0ZvbCu"),
    "aots": Published("AOTS_PRE_YTB_DAV.pth", "1beU5E6Mdnr_pPrgjWvdWurKAIwJSz1xf"),
    "aotb": Published("AOTB_PRE_YTB_DAV.pth", "1hH-GOn4GAxHkV8ARcQzsUy8Ax6ndot-A"),
    "aotl": Published("AOTL_PRE_YTB_DAV.pth", "1L1N2hkSPqrwGgnW9GyFHuG59_EYYfTG4"),
    "r50_aotl": Published("R50_AOTL_PRE_YTB_DAV.pth", "1qJDYn3Ibpquu4ffYoQmVjg1YCbr2JQep"),
    "swinb_aotl": Published("SwinB_AOTL_PRE_YTB_DAV.pth", "192jCGQZdnuTsvX-CVra-KVZl2q1ZR0vW"),
}
"""The official checkpoints by configuration."""

DEAOT_TINY = Path(__file__).parent / "assets" / "deaot_tiny.safetensors"
"""The tiny DeAOT that is shipped; ``bench train --recipe deaot_refshapes`` makes it."""


def load_deaot(name: str, given: str | None, *, option: str) -> tuple[DeAot, dict[str, str]]:
    """Build a named DeAOT with its weights.

    Args:
        name: A key of :data:`refseg.methods.deaot.build.DEAOT_CONFIGS`.
        given: Path of the weights from ``--set``, or None: where :func:`find_checkpoint` finds them, and the shipped
            ones of ``deaot_tiny``.
        option: The option's name, for messages.

    Returns:
        The network, and the SHA-256 of its weights by file name.

    Raises:
        InputError: The weights are nowhere, damaged, or another model's.
    """
    config = config_of(name)
    published = PUBLISHED.get(name)
    path = DEAOT_TINY if name == "deaot_tiny" and given is None else _find(name, given, option)
    sha256 = file_sha256(path)
    if published and published.sha256 and path.name == published.file and sha256 != published.sha256:
        raise InputError(
            f"{path} has the SHA-256 {sha256}, but the published {published.file} has {published.sha256}; fetch it "
            f"again, or give weights of your own another name."
        )
    model = build_deaot(config)
    load_weights(model, path)
    return model, {path.name: sha256}


def _find(name: str, given: str | None, option: str) -> Path:
    published = PUBLISHED.get(name)
    files = [f"{name}.safetensors", f"{name}.pth"]
    return find_checkpoint(
        name,
        given,
        option=option,
        files=[published.file, *files] if published else files,
        source=published.source if published else "",
    )


def load_weights(model: DeAot, path: Path) -> tuple[str, ...]:
    """Load a checkpoint, official (``module.`` before the names, optimiser beside them) or our own.

    Returns:
        Names in the file that the model does not have; they are left out, as the official loader does. Unlike there,
        a name that the file lacks is an error.

    Raises:
        InputError: The file cannot be read, or lacks tensors or has them in another shape.
    """
    state = {k.removeprefix("module."): v for k, v in load_tensors(path).items()}
    own = model.state_dict().keys()
    load_into(model, {k: v for k, v in state.items() if k in own}, path)
    return tuple(k for k in state if k not in own)
