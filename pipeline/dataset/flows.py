"""Where on the flat garment picture each pixel of a worn garment comes from, of drawn people.

Not a part of Dress Code's layout: ``make-sample --flows`` writes ``flows/NNNNNN_flow.png`` beside
the other folders of a category. A flow is kept as codes, two whole numbers a pixel: so it does not
depend on the size of the pictures, and mirroring loses nothing.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from pipeline.base.errors import DataError
from pipeline.base.files import ReadError, picture_header, read_bytes
from pipeline.dataset.readers import check_aspect

FOLDER = "flows"
LARGEST = 65535
_STEPS = LARGEST - 1
_PNG_OPTIONS = [cv2.IMWRITE_PNG_COMPRESSION, 3]


def flow_path(image: Path) -> Path:
    """The flow of the person whose photo is ``image``, ``.../images/NNNNNN_0.jpg``."""
    return image.parents[1] / FOLDER / f"{image.stem.removesuffix('_0')}_flow.png"


def to_codes(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 2) uint16 of (H, W, 2) x, y in pixels of a garment picture of H x W; NaN, and places
    outside of it, become 0."""
    height, width = pixels.shape[:2]
    share = (pixels + 0.5) / (width, height)
    known = ((share >= 0) & (share <= 1)).all(2, keepdims=True)  # False for NaN too
    return np.where(known, 1 + np.round(np.where(known, share, 0) * _STEPS), 0).astype(np.uint16)


def to_pixels(codes: np.ndarray) -> np.ndarray:
    """(H, W, 2) float32: x, y in pixels of a garment picture of H x W, the middle of the first
    pixel at 0; NaN where the pixel shows no garment, or a place that the picture does not show."""
    height, width = codes.shape[:2]
    pixels = (codes.astype(np.float32) - 1) * (np.array((width, height), np.float32) / _STEPS) - 0.5
    pixels[(codes == 0).any(2)] = np.nan
    return pixels


def mirror(codes: np.ndarray) -> np.ndarray:
    """The codes of a mirrored photo and a mirrored garment picture."""
    flipped = np.ascontiguousarray(codes[:, ::-1])
    x = flipped[..., 0]
    x[x > 0] = LARGEST + 1 - x[x > 0].astype(np.int32)
    return flipped


def encode(codes: np.ndarray | None) -> np.ndarray:
    """(n,) uint8: 16-bit RGB PNG (x, y, 65535 where both are known); empty for None."""
    if codes is None:
        return np.zeros(0, np.uint8)
    known = np.where(codes.all(2), LARGEST, 0).astype(np.uint16)
    picture = np.dstack([known, codes[..., 1], codes[..., 0]])  # OpenCV: blue first
    return cv2.imencode(".png", picture, _PNG_OPTIONS)[1].reshape(-1)


def decode(data: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray | None:
    """(H, W, 2) uint16 codes, None for no bytes. Raises ValueError where the bytes are no 16-bit
    RGB PNG of that size."""
    if not len(data):
        return None
    head = data[:26].tobytes()
    width, height = (int.from_bytes(head[at : at + 4], "big") for at in (16, 20))
    if head[:8] != b"\x89PNG\r\n\x1a\n" or head[24:26] != b"\x10\x02":
        raise ValueError("no PNG of 16-bit RGB")
    if (height, width) != tuple(size_hw):
        raise ValueError(f"a flow of {height}x{width}")
    picture = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if picture is None or picture.shape != (*size_hw, 3) or picture.dtype != np.uint16:
        raise ValueError("a broken PNG")
    known = picture[..., :1] > 0
    return np.ascontiguousarray(np.where(known, picture[..., :0:-1], 0).astype(np.uint16))


def read_flow(path: Path, size_hw: tuple[int, int] | None = None) -> np.ndarray:
    """The flow of one person.

    Args:
        path: 16-bit RGB PNG as ``make-sample --flows`` writes it.
        size_hw: resized to this, nearest pixel: a blend of two places would be a third one.

    Returns:
        (H, W, 2) uint16 codes; ``to_pixels`` turns them into pixels. 0 where nothing is known.

    Raises:
        DataError: missing, corrupted, another kind of PNG, another aspect than the dataset's.
    """
    path = Path(path)
    data = read_bytes(path, "map")
    hw, _, _ = picture_header(path, data, ("PNG",))
    check_aspect(path, hw)
    try:
        codes = decode(np.frombuffer(data, np.uint8), hw)
    except ValueError as error:
        raise ReadError("unreadable", path, str(error), "a whole PNG of 16-bit RGB") from None
    assert codes is not None  # read_bytes refuses empty files
    if size_hw is None or codes.shape[:2] == tuple(size_hw):
        return codes
    return cv2.resize(codes, size_hw[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def require_flows(root: Path, category) -> None:
    """DataError unless the dataset has a folder of flows for this category."""
    folder = Path(root) / str(category) / FOLDER
    if not folder.is_dir():
        raise DataError(
            folder,
            "no such folder",
            "flows of drawn people",
            "Only make-sample --flows writes them: pack other datasets without --flows",
        )
