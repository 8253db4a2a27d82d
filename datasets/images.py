"""Frames and label maps of datasets on disk; every fault names the file, what was found and what to do."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refseg.bench.errors import DataError, Fault, FaultKind, InputError
from refseg.bench.layouts.png import DECODE_ERRORS, decode_labels, decode_mask
from refseg.bench.layouts.png_whole import is_whole
from refseg.bench.types import BoolArray, ImageArray

A = TypeVar("A", BoolArray, NDArray[np.uint8])

_MEND = "copy it again from the dataset's source"


def frame_size(root: Path, name: str) -> tuple[int, int]:
    """Return (H, W) of a frame from its header; nothing is decoded.

    Args:
        root: The dataset's folder.
        name: The frame's path relative to it.

    Raises:
        DataError: The file is missing or no image.
    """
    with _open(root, name) as image:
        return (image.height, image.width)


def read_frame(root: Path, name: str, size: tuple[int, int], *, any_mode: bool = False) -> ImageArray:
    """Return a frame as (H, W, 3) RGB uint8, the pixels as stored (an orientation tag is not applied).

    Args:
        root: The dataset's folder.
        name: The frame's path relative to it.
        size: (H, W) of the video.
        any_mode: Turn grey and other images into RGB, where a dataset holds such.

    Raises:
        DataError: The file is missing, truncated, of another size, or not RGB.
    """
    with _open(root, name) as image:
        if (image.height, image.width) != size:
            raise _fault(
                "size",
                name,
                f"{name} in {root} is {image.width}x{image.height} pixels, but the video's first frame is "
                f"{size[1]}x{size[0]} (width x height); {_MEND}.",
            )
        if image.mode != "RGB" and not any_mode:
            raise _fault(
                "encoding",
                name,
                f"{name} in {root} is an image of mode {image.mode}; an RGB image is expected: {_MEND}.",
            )
        try:
            if image.format == "PNG" and not is_whole((root / name).read_bytes()):
                raise ValueError("its data are not those of its pixels")
            return np.array(image.convert("RGB") if any_mode else image, dtype=np.uint8)
        except DECODE_ERRORS as error:
            raise _fault(
                "damaged", name, f"{name} in {root} is truncated or damaged ({error}); {_MEND}."
            ) from None


def read_label_map(root: Path, name: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a frame's (H, W) object ids, 0 background, 255 void.

    Args:
        root: The dataset's folder.
        name: The PNG's path relative to it.
        size: (H, W) of the video's frames.

    Raises:
        DataError: The file is missing, truncated, of another size than the frames, or holds no ids.
    """
    return _decoded(decode_labels, root, name, size)


def read_mask(root: Path, name: str, size: tuple[int, int]) -> BoolArray:
    """Return a frame's (H, W) mask from a PNG with the values 0 and 255, or 0 and 1.

    Args:
        root: The dataset's folder.
        name: The PNG's path relative to it.
        size: (H, W) of the video's frames.

    Raises:
        DataError: The file is missing, truncated, of another size than the frames, or holds other values.
    """
    return _decoded(decode_mask, root, name, size)


def _decoded(
    decode: Callable[[bytes, str, tuple[int, int]], A], root: Path, name: str, size: tuple[int, int]
) -> A:
    try:
        data = (root / name).read_bytes()
    except OSError as error:
        raise _unreadable(root, name, error) from None
    try:
        return decode(data, f"{name} in {root}", size)
    except InputError as error:
        raise _fault(_kind(data, size), name, str(error)) from None


def _kind(data: bytes, size: tuple[int, int]) -> FaultKind:
    """Return what is wrong with a label map that was refused."""
    try:
        image = Image.open(io.BytesIO(data), formats=("PNG",))
        if (image.height, image.width) != size:
            return "size"
        image.load()
    except DECODE_ERRORS:
        return "damaged"
    return "encoding"


def _open(root: Path, name: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            # These two and no other: Pillow hands some of its many formats to programs.
            return Image.open(root / name, formats=("JPEG", "PNG"))
    except DECODE_ERRORS as error:
        raise _unreadable(root, name, error) from None


def _unreadable(root: Path, name: str, error: Exception) -> DataError:
    path = root / name
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return _fault("missing", name, f"{name} is missing in {root}; {_MEND}.")
    if isinstance(error, OSError) and error.errno is not None:
        return _fault("damaged", name, f"{name} in {root} cannot be read: {error.strerror}.")
    size = path.stat().st_size if path.exists() else 0
    return _fault(
        "damaged", name, f"{name} in {root} is no JPEG or PNG, or is damaged ({size} bytes); {_MEND}."
    )


def _fault(kind: FaultKind, name: str, text: str) -> DataError:
    return DataError(Fault(kind, name, text))
