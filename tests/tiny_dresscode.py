"""A small dataset of plain shapes in Dress Code's layout, whose content is known by eye; for tests
only."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from pipeline.base.labels import Atr, Category, DensePart

SIZE_HW = (256, 192)
SIZE = (64, 64)
"""Of small shards made of it."""
SMALL = {"size_hw": SIZE, "people_per_shard": 2}
"""Options of a run that makes several small shards."""
_FIRST = (
    (Category.UPPER_BODY, 0, 48392),
    (Category.LOWER_BODY, 13563, 50192),
    (Category.DRESSES, 20714, 51992),
)
FIRST = {
    (c, split): number
    for c, *numbers in _FIRST
    for split, number in zip(("train", "test"), numbers)
}
"""First ids of each category and split in the published dataset."""
JOINTS = (
    (96, 0),
    (96, 24),
    (76, 28),
    (68, 62),
    (64, 96),
    (116, 28),
    (124, 62),
    (128, 96),
    (84, 110),
    (83, 160),
    (82, 212),
    (108, 110),
    (109, 160),
    (110, 212),
    (92, 0),
    (100, 0),
    (88, 0),
    (104, 0),
)
"""x, y of the 18 joints in a picture of 256 x 192."""
LIMBS = (
    (2, 3, 15, DensePart.UPPER_ARM_RIGHT_OUTER),
    (3, 4, 15, DensePart.LOWER_ARM_RIGHT_OUTER),
    (5, 6, 14, DensePart.UPPER_ARM_LEFT_OUTER),
    (6, 7, 14, DensePart.LOWER_ARM_LEFT_OUTER),
    (8, 9, 13, DensePart.UPPER_LEG_RIGHT_FRONT),
    (9, 10, 13, DensePart.LOWER_LEG_RIGHT_FRONT),
    (11, 12, 12, DensePart.UPPER_LEG_LEFT_FRONT),
    (12, 13, 12, DensePart.LOWER_LEG_LEFT_FRONT),
)
"""Joint, joint, skin label, DensePose part."""
GARMENTS = {
    Category.UPPER_BODY: (Atr.UPPER_CLOTHES, 26, 118),
    Category.LOWER_BODY: (Atr.PANTS, 100, 170),
    Category.DRESSES: (Atr.DRESS, 26, 150),
}
"""Label, first and last row of the category's garment."""


def joints(seed: int) -> np.ndarray:
    """(18, 2) pixels of one person: the standing figure, a little different for each seed."""
    wobble = np.random.default_rng(seed).integers(-3, 4, (18, 2))
    wobble[[0, 14, 15, 16, 17], 1] = 0  # heads are cropped: these stay on the first row
    return np.array(JOINTS) + wobble


def draw_person(category: Category, seed: int) -> dict[str, np.ndarray]:
    """image and garment (H, W, 3), label_map, dense, uv of one person; keypoints as stored."""
    points, (height, width) = joints(seed), SIZE_HW
    label_map, dense = np.zeros(SIZE_HW, np.uint8), np.zeros(SIZE_HW, np.uint8)
    torso = np.array([points[2], points[5], points[11] + (8, 6), points[8] + (-8, 6)])
    for canvas, value in ((label_map, Atr.UPPER_CLOTHES), (dense, DensePart.TORSO_FRONT)):
        cv2.fillPoly(canvas, [torso], int(value))
        cv2.rectangle(
            canvas,
            (86, 0),
            (106, 30),
            int(Atr.HEAD if canvas is label_map else DensePart.HEAD_LEFT),
            -1,
        )
    for a, b, skin, part in LIMBS:
        cv2.line(label_map, points[a].tolist(), points[b].tolist(), skin, 15)
        cv2.line(dense, points[a].tolist(), points[b].tolist(), int(part), 13)
    label, top, bottom = GARMENTS[category]
    rows = (
        (label_map > 0)
        & (np.arange(height)[:, None] >= top)
        & (np.arange(height)[:, None] <= bottom)
    )
    label_map[rows & ~np.isin(label_map, (Atr.LEFT_ARM, Atr.RIGHT_ARM, Atr.HEAD))] = label
    random = np.random.default_rng(seed)
    patches = [
        cv2.resize(
            random.integers(0, 256, (8, 6, 3), np.uint8),
            (width, height),
            interpolation=cv2.INTER_CUBIC,
        )
        for _ in range(2)
    ]
    image = np.where(label_map[..., None] > 0, patches[0], 235).astype(np.uint8)
    garment = np.where(rows[..., None], patches[1], 250).astype(np.uint8)
    uv = np.where(dense > 0, np.float32(0.5), np.float32(0))[None].repeat(2, axis=0)
    stored = [
        [float(x * 2), float(y * 2), 0.9, float(i)] for i, (x, y) in enumerate(points.tolist())
    ]
    return {
        "image": image,
        "garment": garment,
        "label_map": label_map,
        "dense": dense,
        "uv": uv,
        "keypoints": stored,
    }


def save_palette(path: Path, labels: np.ndarray) -> None:
    """A PNG of mode P whose colours are not its numbers."""
    picture = Image.fromarray(labels).convert("P")
    picture.putdata(labels.ravel().tolist())
    picture.putpalette([(37 * i + 90) % 256 for i in range(768)])
    picture.save(path)


def write_person(root: Path, category: Category, person_id: str, seed: int | None = None) -> None:
    """Every file of one person."""
    drawn = draw_person(category, int(person_id) if seed is None else seed)
    folder = root / category.value
    for name in ("images", "keypoints", "label_maps", "dense", "skeletons"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    Image.fromarray(drawn["image"]).save(folder / f"images/{person_id}_0.jpg", quality=95)
    Image.fromarray(drawn["garment"]).save(folder / f"images/{person_id}_1.jpg", quality=95)
    Image.fromarray(drawn["image"] // 2).save(folder / f"skeletons/{person_id}_5.jpg", quality=95)
    (folder / f"keypoints/{person_id}_2.json").write_text(
        json.dumps({"keypoints": drawn["keypoints"]})
    )
    save_palette(folder / f"label_maps/{person_id}_4.png", drawn["label_map"])
    Image.fromarray(drawn["dense"]).save(folder / f"dense/{person_id}_5.png")
    np.savez_compressed(folder / f"dense/{person_id}_5_uv.npz", uv=drawn["uv"])


def write_dataset(root: Path, categories=tuple(Category), train: int = 2, test: int = 2) -> Path:
    """People of each category and split, with the three lists; unpaired rows go round."""
    for category in categories:
        ids = {
            s: [f"{FIRST[category, s] + i:06}" for i in range(n)]
            for s, n in (("train", train), ("test", test))
        }
        for person_id in ids["train"] + ids["test"]:
            write_person(root, category, person_id)
        for name, people, shift in (
            ("train_pairs", ids["train"], 0),
            ("test_pairs_paired", ids["test"], 0),
            ("test_pairs_unpaired", ids["test"], 1),
        ):
            rows = [
                f"{p}_0.jpg\t{people[(i + shift) % len(people)]}_1.jpg\n"
                for i, p in enumerate(people)
            ]
            if rows:
                (root / category.value / f"{name}.txt").write_text("".join(rows))
    return root
