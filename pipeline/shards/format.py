"""What a shard holds, and how one picture, mask or map becomes bytes and comes back; docs/shards.md
is its page.

Every decoder checks the size that the bytes announce before anything is allocated: shards may come
    from strangers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco

from pipeline.base.labels import N_JOINTS, Category
from pipeline.base.names import FRAMES, IMAGE_KINDS, WHOLE
from pipeline.dataset import flows

try:
    import simplejpeg  # the same pixels as OpenCV's decoder, sooner: see decode_jpeg
except ImportError:  # the extra "fast" is not installed
    simplejpeg = None

FORMAT, FORMAT_VERSION = "fittingroom-shard", 2
READ_VERSIONS = (1, 2)
"""Version 1 has no checksums; what it holds is the same."""
JPEG_QUALITY = 95
MAX_SAMPLES, MAX_STYLES, MAX_SCANS = 100_000, 32, 100
KEYPOINT_SHAPE = (N_JOINTS, 3)
CROP_VALUES = 6

# Full chroma: at 512 x 384 it costs a fifth more bytes and is worth 3 dB, most of it at the edges
# of coloured cloth.
_JPEG_OPTIONS = [
    cv2.IMWRITE_JPEG_QUALITY,
    JPEG_QUALITY,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
]
# Maps are flat areas: without PNG's row filters they are smaller, and four times as fast to decode.
_PNG_OPTIONS = [
    cv2.IMWRITE_PNG_COMPRESSION,
    3,
    cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_DEFAULT,
]
if hasattr(cv2, "IMWRITE_PNG_FILTER"):
    _PNG_OPTIONS += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]


@dataclass(frozen=True)
class ShardInfo:
    """What is the same for every person of a shard; stored as the file's attributes.

    Args:
        category: garment category.
        split: ``train``, ``test_paired`` or ``test_unpaired``.
        size_hw: height and width of everything in the shard, in pixels.
        images: ``jpeg`` or ``raw``.
        styles: mask styles, in order.
        mask_version: version of the rules that drew the masks.
        source: the dataset's name.
        software: program and version that wrote the shard.
        licence: the dataset's licence notice.
        flows: whether it has the optional flows of drawn people.
        frame: of ``names.FRAMES``: whether everything shows whole photos or the part around the
            garment; then a table says which part of which photo.
    """

    category: Category
    split: str
    size_hw: tuple[int, int]
    images: str
    styles: tuple[str, ...]
    mask_version: int
    source: str = ""
    software: str = ""
    licence: str = ""
    flows: bool = False
    frame: str = WHOLE

    def __post_init__(self):
        if self.frame not in FRAMES:
            raise ValueError(f"frame is {self.frame!r}, expected one of {', '.join(FRAMES)}")
        if self.images not in IMAGE_KINDS:
            raise ValueError(f"images is {self.images!r}, expected one of {', '.join(IMAGE_KINDS)}")


def encode_jpeg(image: np.ndarray) -> np.ndarray:
    """(n,) uint8: JPEG of quality 95 with full chroma, from (H, W, 3) uint8 RGB."""
    return _encoded(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _JPEG_OPTIONS)


def encode_png(label_map: np.ndarray | None) -> np.ndarray:
    """(n,) uint8: grey PNG of (H, W) uint8, lossless; empty for None."""
    return np.zeros(0, np.uint8) if label_map is None else _encoded(".png", label_map, _PNG_OPTIONS)


def encode_mask(mask: np.ndarray) -> np.ndarray:
    """(n,) uint8: the ``counts`` of COCO's compressed run-length code, from (H, W) bool."""
    columns_first = cv2.transpose(
        np.ascontiguousarray(mask).view(np.uint8)
    ).T  # ten times as fast as np.asfortranarray
    return np.frombuffer(coco.encode(columns_first)["counts"], np.uint8)


def _encoded(kind: str, image: np.ndarray, options: list[int]) -> np.ndarray:
    return cv2.imencode(kind, image, options)[1].reshape(-1)


def decode_jpeg(
    data: np.ndarray, size_hw: tuple[int, int], out: np.ndarray | None = None
) -> np.ndarray:
    """(H, W, 3) uint8 RGB. Raises ValueError where the bytes are no whole JPEG of that size.

    simplejpeg, where it is installed, takes a quarter less time: it decodes into the memory where
        the picture is
    wanted, colours in order, while OpenCV takes new memory and changes the order afterwards. Both
    hold libjpeg-turbo and give the same pixels; of damage inside a picture simplejpeg tells, while
    OpenCV may show it.

    Args:
        out: where to write the picture, C-contiguous; None takes new memory.
    """
    announced, whole_in_one_scan = _jpeg_header(data[:4096].tobytes())
    if announced != size_hw:
        raise ValueError(f"a JPEG of {_size(announced)}")
    # each scan is a pass over the whole picture
    if not whole_in_one_scan and data.tobytes().count(b"\xff\xda") > MAX_SCANS:
        raise ValueError("a JPEG of too many scans")
    out = np.empty((*size_hw, 3), np.uint8) if out is None else out
    if simplejpeg:
        image = simplejpeg.decode_jpeg(data, "RGB", buffer=out)
    else:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None or image.shape != (*size_hw, 3):
        raise ValueError("a broken JPEG")
    if not simplejpeg:
        out[:] = image
    return out


def decode_png(data: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray | None:
    """(H, W) uint8, None for no bytes. Raises ValueError where the bytes are no grey PNG of that
    size."""
    if not len(data):
        return None
    head = data[:26].tobytes()
    width, height = (int.from_bytes(head[at : at + 4], "big") for at in (16, 20))
    if head[:8] != b"\x89PNG\r\n\x1a\n" or (height, width) != size_hw or head[24:26] != b"\x08\x00":
        raise ValueError(f"no grey PNG of {_size(size_hw)}")
    label_map = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    if label_map is None or label_map.shape != size_hw:
        raise ValueError("a broken PNG")
    return label_map


def decode_mask(data: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """(H, W) bool, True = hidden. Raises ValueError where the bytes are no run-length code of that
    size.

    pycocotools takes two and a half times as long, and reads past the end of a damaged code.
    """
    height, width = size_hw
    lengths = _run_lengths(data)
    # each one is looked at before the sum: a sum of huge ones might wrap round
    if lengths.min() < 0 or lengths.max() > height * width or lengths.sum() != height * width:
        raise ValueError("a mask of another size")
    runs = np.zeros(len(lengths), np.uint8)
    runs[1::2] = 1
    return cv2.transpose(np.repeat(runs, lengths).reshape(width, height)).view(
        bool
    )  # stored by columns


def _run_lengths(data: np.ndarray) -> np.ndarray:
    """(n,) int64 of the ``counts`` of a compressed COCO code: visible, hidden, visible, ... pixels.

    A number is made of digits of five bits, least first, in characters from 48 on; a sixth bit says
    that more follow, the last digit's highest bit is the sign. From the fourth on, numbers are
    differences to the last but one before.
    """
    if not len(data) or data.min() < 48 or data.max() > 111 or data[-1] >= 80:
        raise ValueError("a broken mask")
    digits = data - np.uint8(48)
    last = np.flatnonzero(digits < 32)
    first = np.concatenate(([0], last[:-1] + 1))
    place = np.arange(len(digits)) - np.repeat(first, last - first + 1)
    if place.max() > 7:
        raise ValueError("a broken mask")
    lengths = np.add.reduceat((digits & 31).astype(np.int64) << 5 * place, first)
    lengths -= ((digits[last] & 16).astype(np.int64) << 1) << 5 * place[last]
    for start in (1, 2):
        np.cumsum(lengths[start::2], out=lengths[start::2])
    return lengths


def _jpeg_header(head: bytes) -> tuple[tuple[int, int], bool]:
    """(height, width) that the first kilobytes of a JPEG announce, (0, 0) where they announce none;
    and whether it is a sequential one whose first scan holds all colours, after which decoders
    stop."""
    at, size, colours = 2, (0, 0), 0
    while head[:2] == b"\xff\xd8" and at + 10 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if size != (0, 0):  # one frame follows another: no decoder's business
                return (0, 0), False
            height, width = head[at + 5 : at + 7], head[at + 7 : at + 9]
            size = int.from_bytes(height, "big"), int.from_bytes(width, "big")
            colours = head[at + 9] if marker in (0xC0, 0xC1) else 0
        elif marker == 0xDA:
            return size, head[at + 4] == colours
        at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return size, False


def _size(size_hw: tuple[int, int]) -> str:
    return f"{size_hw[0]}x{size_hw[1]}"


@dataclass(frozen=True)
class Column:
    """One flat dataset of bytes with offsets: sample i is ``bytes[offsets[i]:offsets[i + 1]]``."""

    group: str
    what: str
    encode: Callable[..., Any] = field(repr=False)
    decode: Callable[..., Any] = field(repr=False)


def columns(images: str, styles: tuple[str, ...], with_flows: bool = False) -> dict[str, Column]:
    """Name -> column of a shard with these images and mask styles; raw images are no columns."""
    found = {
        "label_map": Column("label_map", "label map", encode_png, decode_png),
        "dense": Column("dense", "DensePose map", encode_png, decode_png),
        **{f"mask/{s}": Column(f"mask/{s}", f"mask {s}", encode_mask, decode_mask) for s in styles},
    }
    if images == "jpeg":
        found = {
            "person": Column("person", "photo", encode_jpeg, decode_jpeg),
            "garment": Column("garment", "garment picture", encode_jpeg, decode_jpeg),
            **found,
        }
    if with_flows:
        found["flow"] = Column("flow", "flow", flows.encode, flows.decode)
    return found
