"""Where a Grounding DINO's weights come from: the official ``.pth``, a folder, or the hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refseg.bench.errors import InputError
from refseg.bench.fetch import file_sha256
from refseg.bench.predict import one_line
from refseg.methods.checkpoints import Wanted, find_wanted, missing
from refseg.methods.downloads import DOWNLOADS
from refseg.methods.grounding_dino.convert import configuration, convert, official_size
from refseg.methods.grounding_dino.detector import DELIMITERS, DetectorOptions, GroundingDino
from refseg.methods.grounding_dino.tiny import GDINO_TINY, as_detector, build_tiny, tiny_detector
from refseg.methods.hub import WEIGHTS, is_hub_id, snapshot
from refseg.methods.sam.weights import load_tensors, weights_sha256


@dataclass(frozen=True)
class Published:
    """One size of Grounding DINO as it is published.

    Attributes:
        file: The official checkpoint.
        release: Release of the official repository that holds it.
        sha256: Of the official checkpoint.
        hub: Id of the authors' conversion on the Hugging Face hub.
        revision: Its commit.
    """

    file: str
    release: str
    sha256: str
    hub: str
    revision: str


SIZES: Mapping[str, Published] = {
    "swint": Published(
        "groundingdino_swint_ogc.pth",
        "v0.1.0-alpha",
        DOWNLOADS["groundingdino_swint"].sha256,
        "IDEA-Research/grounding-dino-tiny",
        "a2bb814dd30d776dcf7e30523b00659f4f141c71",
    ),
    "swinb": Published(
        "groundingdino_swinb_cogcoor.pth",
        "v0.1.0-alpha2",
        DOWNLOADS["groundingdino_swinb"].sha256,
        "IDEA-Research/grounding-dino-base",
        "12bdfa3120f3e7ec7b434d90674b3396eccf88eb",
    ),
}

_RELEASES = "https://github.com/IDEA-Research/GroundingDINO/releases/download"


def detector_wanted(size: str, given: str | None) -> Wanted:
    """Return the published checkpoint of a size (``swint``, ``swinb``); ``given``: --set detector_checkpoint."""
    one = SIZES[size]
    source = f"{_RELEASES}/{one.release}/{one.file}"
    expected = f"SHA-256 {one.sha256}, or {one.hub} of the Hugging Face hub at revision {one.revision}"
    return Wanted(f"groundingdino_{size}", "detector_checkpoint", given, one.file, source, expected)


def find_detector(size: str, given: str | None) -> Path | None:
    """Return the official file or a folder in transformers' format; None where neither is on this computer.

    Args:
        size: ``swint`` or ``swinb``, or ``tiny``.
        given: A ``.pth`` file, a folder, or a hub id ``OWNER/NAME``; None: what is configured, the official file
            or the authors' conversion in the hub's cache.

    Raises:
        InputError: The path that is given or configured does not exist.
    """
    if size == "tiny":
        return Path(given) if given else GDINO_TINY
    if is_hub_id(given):
        return snapshot(str(given), None, offline=True)
    one = SIZES[size]
    return find_wanted(detector_wanted(size, given)) or snapshot(one.hub, one.revision, offline=True)


def load_detector(
    size: str, given: str | None, tokenizer: str | None, options: DetectorOptions, *, device: str
) -> tuple[GroundingDino, dict[str, str]]:
    """Build the detector; returns it with its weights' SHA-256 by name. It is float32 always.

    What is not on this computer is fetched from the hub once.

    Args:
        size: ``swint``, ``swinb`` or ``tiny``.
        given: See :func:`find_detector`.
        tokenizer: Folder of BERT's tokenizer, since official files have none; None: the authors' on the hub.
        options: See :class:`DetectorOptions`.
        device: torch device string.

    Raises:
        InputError: Weights or tokenizer are nowhere, or do not fit.
    """
    if size == "tiny":
        file = find_detector(size, given)
        assert file is not None
        tiny = tiny_detector(file, options)
        tiny.model.to(device)
        return tiny, {file.name: weights_sha256(file)}
    one = SIZES[size]
    hub = (str(given), None) if is_hub_id(given) else (one.hub, one.revision)
    path = find_detector(size, given) or snapshot(*hub)
    if path is None:
        if hub[0] == given:
            raise InputError(
                f"{given} is no path on this computer, and no {WEIGHTS} of that id can be had from the Hugging Face "
                "hub; give a file, a folder or a hub id by --set detector_checkpoint=…"
            )
        raise missing([detector_wanted(size, given)])
    words = tokenizer or (path if path.is_dir() else snapshot(*hub, weights=False))
    if words is None:
        raise InputError(
            f"{path.name} comes without a tokenizer, and that of {one.hub} at revision {one.revision} cannot be had "
            "from the Hugging Face hub; give a folder with bert-base-uncased's by --set tokenizer=FOLDER."
        )
    model, weights = _model(path)
    return GroundingDino(model.to(device), _tokenizer(words), options), weights


def empty_detector(size: str, options: DetectorOptions) -> GroundingDino:
    """Build the detector without weights, tokenizer or memory, for parameter counts."""
    import torch
    from transformers import GroundingDinoForObjectDetection

    with torch.device("meta"):
        model: Any = build_tiny() if size == "tiny" else GroundingDinoForObjectDetection(configuration(size))
    if size == "tiny":
        return as_detector(model.to("meta"), options)
    return GroundingDino(model.to("meta"), None, options)


def _model(path: Path) -> tuple[Any, dict[str, str]]:
    """Return the network and its weights' SHA-256 by name."""
    from transformers import GroundingDinoForObjectDetection

    if path.is_dir():
        if not (path / WEIGHTS).is_file():
            raise InputError(
                f"{path} holds no {WEIGHTS}; give a folder as transformers' save_pretrained writes it."
            )
        source: dict[str, Any] = {"pretrained_model_name_or_path": path, "use_safetensors": True}
        weights = {f"{path.name}/{WEIGHTS}": file_sha256(path / WEIGHTS)}
    else:
        state = convert(load_tensors(path))
        source = {"pretrained_model_name_or_path": None, "state_dict": state}
        source["config"] = configuration(official_size(state, path))
        weights = {path.name: weights_sha256(path)}
    model: Any
    told: Mapping[str, Any]
    loader: Any = GroundingDinoForObjectDetection.from_pretrained
    try:
        model, told = loader(**source, output_loading_info=True)
    except Exception as error:
        raise InputError(
            f"{path} is no Grounding DINO that transformers can load ({one_line(error)}); give the official file, "
            "a folder of transformers' GroundingDinoForObjectDetection, or a hub id."
        ) from None
    wrong = [*told["missing_keys"], *told["unexpected_keys"]]
    if wrong:
        raise InputError(
            f"The weights {path} do not fit Grounding DINO: {len(told['missing_keys'])} tensors are missing, "
            f"{len(told['unexpected_keys'])} unknown, first {min(wrong)}. Give the matching file."
        )
    return model, weights


def _tokenizer(folder: str | Path) -> Any:
    from transformers import AutoTokenizer

    found: Any
    try:
        found = AutoTokenizer.from_pretrained(folder)
        numbers = tuple(found.convert_tokens_to_ids(list(DELIMITERS)))
        trouble = (
            "" if numbers == tuple(DELIMITERS.values()) else f"it numbers {' '.join(DELIMITERS)} {numbers}"
        )
    except Exception as error:
        trouble = one_line(error)
    if trouble:
        # Without a vocabulary transformers makes an empty tokenizer of it and says nothing.
        raise InputError(
            f"{folder} does not hold BERT's tokenizer ({trouble}); give a folder with bert-base-uncased's by "
            "--set tokenizer=FOLDER."
        )
    return found
