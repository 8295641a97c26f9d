"""Redraws the stored masks of a hand-made figure, after a rule was changed on purpose.

    python tests/redraw_masks.py

Each PNG of tests/data/masks holds one category: rows are sources (both maps, no DensePose, no label
map), columns are styles. Masks that differ without a higher MASK_VERSION are refused: shards tell
by it whether their masks are current.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).parent / "data" / "masks"
if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pipeline.base.labels import Atr, Category, Joint  # noqa: E402
from pipeline.masks.body import LIMB_PARTS, LIMBS, TEMPLATE, draw_limb, draw_polygon  # noqa: E402
from pipeline.masks.render import MASK_VERSION, STYLES, render_agnostic_masks  # noqa: E402

SIZE = (128, 96)
UNIT = 21.0


def figure(category: Category) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A standing figure with one raised forearm and a bag: keypoints, DensePose parts, label
    map."""
    keypoints = np.ones((18, 3), np.float32)
    keypoints[:, :2] = TEMPLATE * UNIT + (48, 22)
    keypoints[4, :2] = keypoints[3, :2] + (14, -9)
    joints = keypoints[:, :2].astype(np.float64)
    dense, labels = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    draw_limb(labels, joints[[0]], [8], Atr.HEAD)
    draw_limb(labels, joints[[0]] - (0, 5), [7], Atr.HAIR)
    draw_polygon(dense, joints[[2, 5, 11, 8]], 2)
    skin = (Atr.RIGHT_ARM, Atr.LEFT_ARM, Atr.RIGHT_LEG, Atr.LEFT_LEG)
    for limb, parts, label in zip(LIMBS, LIMB_PARTS, skin):
        root, middle, end = joints[list(limb)]
        tip = end + (end - middle) / np.hypot(*(end - middle)) * 4
        for piece, part in (
            ((root, middle), parts[0][0]),
            ((middle, end), parts[1][0]),
            ((end, tip), parts[2][0]),
        ):
            draw_limb(dense, np.array(piece), (3.5, 3), part)
            draw_limb(labels, np.array(piece), (4, 3.5), label)
    for side, shoe in ((Joint.R_ANKLE, Atr.RIGHT_SHOE), (Joint.L_ANKLE, Atr.LEFT_SHOE)):
        draw_limb(labels, joints[[side]] + (0, 5), [4], shoe)
    dress(labels, joints, category)
    draw_limb(labels, joints[[3, 4]] + (0, 1), (4, 3.5), Atr.RIGHT_ARM)  # before the body
    labels[62:72, 58:68] = Atr.BAG
    return keypoints, dense, labels


def dress(labels: np.ndarray, joints: np.ndarray, category: Category) -> None:
    """A top with short sleeves and trousers, or a dress that widens to its hem."""
    top = Atr.DRESS if category is Category.DRESSES else Atr.UPPER_CLOTHES
    right, left = joints[8] - (4, 0), joints[11] + (4, 0)
    if category is not Category.DRESSES:
        for hip, knee, ankle in ((8, 9, 10), (11, 12, 13)):
            draw_limb(labels, joints[[hip, knee, ankle]], (6, 5, 4.5), Atr.PANTS)
    draw_polygon(labels, (joints[2] - (2, 2), joints[5] + (2, -2), left, right), top)
    for shoulder, elbow in ((2, 3), (5, 6)):
        draw_limb(
            labels,
            np.array((joints[shoulder], (joints[shoulder] + joints[elbow]) / 2)),
            (4.5, 5),
            top,
        )
    if category is Category.DRESSES:
        draw_polygon(labels, (right, left, joints[12] + (12, 4), joints[9] - (12, -4)), top)


def sheet(category: Category) -> np.ndarray:
    """(3 x 128, 4 x 96) uint8, 255 = hidden: sources from top to bottom, styles from left to
    right."""
    keypoints, dense, labels = figure(category)
    rows = [
        render_agnostic_masks(category, keypoints, *maps)
        for maps in ((dense, labels), (None, labels), (dense, None))
    ]
    return (
        np.vstack([np.hstack([row[style] for style in STYLES]) for row in rows]).astype(np.uint8)
        * 255
    )


def stored(category: Category) -> np.ndarray:
    return np.array(Image.open(FOLDER / f"{category}.png").convert("L"))


def stored_version() -> int:
    return int((FOLDER / "version.txt").read_text())


def main() -> None:
    if (FOLDER / "version.txt").exists() and stored_version() == MASK_VERSION:
        changed = [str(c) for c in Category if not np.array_equal(sheet(c), stored(c))]
        sys.exit(
            f"masks of {', '.join(changed)} changed: raise MASK_VERSION first." if changed else None
        )
    for category in Category:
        Image.fromarray(sheet(category)).convert("1").save(
            FOLDER / f"{category}.png", optimize=True
        )
    (FOLDER / "version.txt").write_text(f"{MASK_VERSION}\n")


if __name__ == "__main__":
    main()
