"""Pictures that people look at: coloured maps, keypoints, mask overlays, contact sheets.

Everything here takes and gives (H, W, 3) uint8 RGB, never changes its inputs, and decides nothing
about masks.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipeline.base.errors import DataError
from pipeline.base.labels import N_ATR, N_DENSE, Atr, DensePart, Joint
from pipeline.base.storage import write_whole
from pipeline.dataset.pose import LIMBS

ATR_COLOURS = np.array(
    [
        (0, 0, 0),
        (176, 86, 36),
        (122, 78, 48),
        (66, 66, 120),
        (214, 69, 65),
        (226, 150, 38),
        (52, 120, 190),
        (142, 84, 178),
        (110, 96, 60),
        (30, 150, 130),
        (20, 190, 160),
        (244, 200, 160),
        (198, 218, 130),
        (150, 188, 90),
        (250, 176, 190),
        (238, 140, 150),
        (240, 220, 70),
        (96, 200, 230),
    ],
    np.uint8,
)
"""(18, 3) uint8: a colour for each class of the label map; left and right of a pair are shades of
one colour."""

DENSE_COLOURS = np.array(
    [
        (0, 0, 0),
        (70, 90, 160),
        (96, 130, 220),
        (250, 170, 60),
        (255, 205, 90),
        (120, 70, 40),
        (160, 100, 60),
        (40, 120, 90),
        (60, 150, 110),
        (60, 170, 120),
        (100, 205, 150),
        (20, 110, 130),
        (40, 140, 160),
        (40, 160, 185),
        (90, 200, 220),
        (190, 60, 100),
        (150, 50, 120),
        (230, 90, 130),
        (195, 80, 160),
        (215, 120, 90),
        (180, 100, 60),
        (240, 150, 115),
        (210, 130, 85),
        (150, 120, 200),
        (185, 155, 230),
    ],
    np.uint8,
)
"""(25, 3) uint8: a colour for each DensePose part; front and back of a part are shades of one
colour."""

ATR_NAMES = [Atr(i).name.replace("_", " ").lower() for i in range(N_ATR)]
DENSE_NAMES = [DensePart(i).name.replace("_", " ").lower() for i in range(N_DENSE)]

HIDDEN, LEAK, IDENTITY = (235, 40, 60), (0, 230, 70), (0, 220, 255)
"""Red: hidden by the mask. Green: garment left visible. Cyan: identity (hands, hair, shoes ...)
hidden."""
MASK_LINE, GARMENT_LINE = (255, 255, 255), (255, 214, 10)
"""White: the mask's outline. Yellow: the garment's outline."""
ONLY_A, ONLY_B, BOTH = (240, 130, 30), (60, 130, 250), (150, 150, 150)
"""Orange: hidden by the first mask only. Blue: by the second only. Grey: by both."""


def limb_colour(index: int) -> tuple[int, int, int]:
    """RGB of limb ``index``: warm on the wearer's right, cold on the left, so that swapped sides
    catch the eye."""
    left, right = (
        {
            Joint.L_SHOULDER,
            Joint.L_ELBOW,
            Joint.L_WRIST,
            Joint.L_HIP,
            Joint.L_KNEE,
            Joint.L_ANKLE,
            Joint.L_EYE,
            Joint.L_EAR,
        },
        {
            Joint.R_SHOULDER,
            Joint.R_ELBOW,
            Joint.R_WRIST,
            Joint.R_HIP,
            Joint.R_KNEE,
            Joint.R_ANKLE,
            Joint.R_EYE,
            Joint.R_EAR,
        },
    )
    ends = set(LIMBS[index])
    return (70, 180, 255) if ends & left else (255, 120, 60) if ends & right else (170, 230, 90)


def colour_labels(label_map: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: the label map in ATR_COLOURS; ids from 18 on come out black."""
    return _paint(label_map, ATR_COLOURS)


def colour_dense(dense_i: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: DensePose parts in DENSE_COLOURS; ids from 25 on come out black."""
    return _paint(dense_i, DENSE_COLOURS)


def _paint(ids: np.ndarray, colours: np.ndarray) -> np.ndarray:
    table = np.zeros((256, 3), np.uint8)
    table[: len(colours)] = colours
    return table[ids]


def outline(region: np.ndarray, width_px: int = 1) -> np.ndarray:
    """(H, W) bool: the pixels of ``region`` within ``width_px`` of its edge; the picture's border
    is no edge."""
    kernel = np.ones((2 * width_px + 1,) * 2, np.uint8)
    return region & (
        cv2.erode(region.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=1)
        == 0
    )


def draw_keypoints(image: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """A copy of ``image`` with limbs and joints; missing joints (NaN) and their limbs are left out.

    Args:
        image: (H, W, 3) uint8 RGB.
        keypoints: (18, 3) float32, x and y in pixels of ``image``.
    """
    scale = 4  # drawn at four times the size: thin lines without steps
    height, width = image.shape[:2]
    points = np.where(np.isfinite(keypoints[:, :2]), keypoints[:, :2], -1)
    present = np.isfinite(keypoints[:, 0])
    thick = max(1.0, height / 160)
    ink = np.zeros((height * scale, width * scale, 4), np.uint8)
    at = [
        tuple(int(round((v + 0.5) * scale)) for v in np.clip(p, -height, 2 * height))
        for p in points
    ]
    for index, (a, b) in enumerate(LIMBS):
        if present[a] and present[b]:
            cv2.line(
                ink,
                at[a],
                at[b],
                (*limb_colour(index), 255),
                max(1, int(thick * scale)),
                cv2.LINE_AA,
            )
    for joint in np.nonzero(present)[0]:
        cv2.circle(ink, at[joint], int(thick * scale * 1.3), (255, 255, 255, 255), -1, cv2.LINE_AA)
    small = cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    alpha = small[..., 3:] / 255
    return (image * (1 - alpha) + small[..., :3]).clip(0, 255).astype(np.uint8)


def mask_overlay(
    image: np.ndarray,
    mask: np.ndarray,
    garment: np.ndarray | None = None,
    identity: np.ndarray | None = None,
    strength: float = 0.5,
) -> np.ndarray:
    """A copy of ``image`` with the mask in red and its outline in white; problem pixels are marked.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) bool, True = hidden.
        garment: (H, W) bool; its outline comes out yellow, its visible pixels green.
        identity: (H, W) bool; its hidden pixels come out cyan.
        strength: how much of the red covers the photo, 0 to 1.
    """
    view = image.copy()
    red = cv2.addWeighted(image, 1 - strength, np.full_like(image, HIDDEN), strength, 0)
    cv2.copyTo(red, mask.astype(np.uint8), view)
    width = max(1, image.shape[0] // 500)
    view[outline(mask, width)] = MASK_LINE
    if garment is not None:
        view[outline(garment, width)] = GARMENT_LINE
        view[garment & ~mask] = LEAK
    if identity is not None:
        view[identity & mask] = IDENTITY
    return view


def mask_difference(image: np.ndarray, mask_a: np.ndarray, mask_b: np.ndarray) -> np.ndarray:
    """The photo in grey, with what only one of two masks hides in orange (a) and blue (b)."""
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    view = cv2.addWeighted(grey, 0.6, np.full_like(grey, 255), 0.3, 0)
    for region, colour in (
        (mask_a & mask_b, BOTH),
        (mask_a & ~mask_b, ONLY_A),
        (mask_b & ~mask_a, ONLY_B),
    ):
        view[region] = (view[region] * 0.35 + np.array(colour) * 0.65).astype(np.uint8)
    return view


@lru_cache(maxsize=16)
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's built-in typeface: the same letters on every machine."""
    return ImageFont.load_default(size)


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Stores (H, W, 3) uint8 RGB as a PNG, or a JPEG where the name says so, whole or not at all.

    Raises:
        DataError: the place can't be written, or the picture is too large for its format.
    """
    jpeg = path.suffix.lower() in (".jpg", ".jpeg")
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if jpeg else []
    ok, data = cv2.imencode(
        ".jpg" if jpeg else ".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options
    )
    if not ok:
        found = f"a picture of {picture.shape[0]} x {picture.shape[1]} pixels can't be stored"
        raise DataError(path, found, remedy="Choose fewer people or PNG")
    write_whole(path, data.tobytes())


def grid(
    rows: list[list[np.ndarray]],
    captions: list[str] | None = None,
    row_captions: list[str] | None = None,
    gap: int = 6,
    height: int | None = None,
    background: tuple[int, int, int] = (250, 250, 250),
    ink: tuple[int, int, int] = (40, 40, 46),
) -> np.ndarray:
    """One picture of many: a contact sheet with headings.

    Args:
        rows: rows of (H, W, 3) uint8 RGB or (H, W) bool or uint8 pictures, of any sizes. A row may
            be shorter.
        captions: one for each column, above it.
        row_captions: one for each row, above it; line breaks are kept.
        gap: pixels between pictures and around the sheet.
        height: every picture is resized to this many rows, in proportion; None keeps the tallest
            one's.

    Returns:
        (H, W, 3) uint8 RGB. Long captions are cut with an ellipsis so that they never run into the
        next one.
    """
    if not rows or not any(rows):
        raise ValueError("a contact sheet needs at least one picture")
    height = height or max(picture.shape[0] for row in rows for picture in row)
    cells = [[_fit(picture, height) for picture in row] for row in rows]
    columns = max(map(len, cells))
    widths = [max(row[c].shape[1] for row in cells if c < len(row)) for c in range(columns)]
    size = int(np.clip(height / 16, 11, 22))
    line = round(size * 1.45)
    labels = list(row_captions or [])[: len(cells)] + [""] * (len(cells) - len(row_captions or []))
    label_heights = [line * len(text.splitlines()) + (gap // 2 if text else 0) for text in labels]
    head = line + gap // 2 if captions else 0
    total_w = sum(widths) + gap * (columns + 1)
    sheet = Image.new(
        "RGB", (total_w, head + sum(label_heights) + len(cells) * (height + gap) + gap), background
    )
    pen, letters = ImageDraw.Draw(sheet), font(size)
    left = np.cumsum([gap, *(w + gap for w in widths)])
    for x, width, text in zip(left, widths, captions or []):
        pen.text((int(x), gap // 2), _shorten(text, width, letters), ink, letters)
    y = head + gap
    for row, text, label_height in zip(cells, labels, label_heights):
        for number, words in enumerate(text.splitlines()):
            pen.text(
                (gap, y + number * line), _shorten(words, total_w - 2 * gap, letters), ink, letters
            )
        y += label_height
        for x, width, picture in zip(left, widths, row):
            sheet.paste(Image.fromarray(picture), (int(x) + (width - picture.shape[1]) // 2, y))
        y += height + gap
    return np.asarray(sheet)


def _fit(picture: np.ndarray, height: int) -> np.ndarray:
    """The picture as RGB with ``height`` rows."""
    if picture.dtype == bool:
        picture = picture.astype(np.uint8) * 255
    if picture.ndim == 2:
        picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
    rows, columns = picture.shape[:2]
    if rows == height:
        return picture
    method = cv2.INTER_AREA if rows > height else cv2.INTER_CUBIC
    return cv2.resize(
        picture, (max(1, round(columns * height / rows)), height), interpolation=method
    )


def _shorten(text: str, width_px: int, letters) -> str:
    """``text``, cut with an ellipsis where it is wider than ``width_px``."""
    if letters.getlength(text) <= width_px:
        return text
    while text and letters.getlength(text + "…") > width_px:
        text = text[:-1]
    return text.rstrip() + "…"
