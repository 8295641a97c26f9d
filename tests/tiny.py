"""Shards of a few drawn people at 64 x 64: enough for the trainer, made in a moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.base.labels import Category
from pipeline.base.storage import file_sha256, write_json
from pipeline.dataset.identity import Identity
from pipeline.dataset.person import Person
from pipeline.shards.folder import ShardInfo, ShardWriter

SIZE = (64, 64)
BOXES = {Category.UPPER_BODY: (16, 36), Category.LOWER_BODY: (34, 58), Category.DRESSES: (16, 54)}


def tiny_sample(
    category: Category, number: int, size_hw=SIZE, split="train", garment: int | None = None
) -> Person:
    """A figure on a plain ground in a garment of one colour; its mask is the garment's box, a
    little larger."""
    rng = np.random.default_rng((category.index, number))
    other = np.random.default_rng((category.index, number if garment is None else garment, 7))
    height, width = size_hw
    ground, skin, colour = (
        rng.integers(150, 255, 3),
        rng.integers(80, 200, 3),
        other.integers(0, 255, 3),
    )
    top, bottom = (row * height // 64 for row in BOXES[category])
    left, right = width // 3 + rng.integers(-3, 4), 2 * width // 3 + rng.integers(-3, 4)
    person = np.full((height, width, 3), ground, np.uint8)
    person[height // 10 : -height // 10, left + 2 : right - 2] = skin
    person[top:bottom, left:right] = colour
    flat = np.full((height, width, 3), 255, np.uint8)
    flat[height // 6 : -height // 6, width // 6 : -width // 6] = colour
    mask = np.zeros(size_hw, bool)
    mask[max(top - 2, 0) : bottom + 2, left - 2 : right + 2] = True
    joints = np.column_stack(
        [rng.uniform(left, right, 18), np.sort(rng.uniform(4, height - 4, 18)), np.ones(18)]
    ).astype(np.float32)
    joints[rng.integers(18)] = (np.nan, np.nan, 0)
    loose = np.zeros(size_hw, bool)
    loose[max(top - 4, 0) : bottom + 4, left - 4 : right + 4] = True
    shown = number if garment is None else garment
    return Person(
        Identity(category, split, f"{number:06d}", f"{shown:06d}"),
        photo=person,
        garment=flat,
        keypoints=joints,
        masks={"standard": mask, "loose": loose},
    )


def write_shards(folder: Path, samples: list[Person], size_hw=SIZE) -> Path:
    """A finished folder of shards, one a category, as ``preprocess`` leaves it."""
    folder.mkdir(parents=True)
    split, styles, shards = samples[0].who.split, tuple(samples[0].masks), []
    for category in Category:
        mine = [sample for sample in samples if sample.category == category]
        if not mine:
            continue
        path = folder / f"{category}-000.h5"
        with ShardWriter(path, ShardInfo(category, split, size_hw, "jpeg", styles, 1)) as writer:
            for sample in mine:
                writer.add(sample)
        shards.append(
            {
                "file": path.name,
                "category": str(category),
                "samples": len(mine),
                "bytes": path.stat().st_size,
                "sha256": file_sha256(path),
            }
        )
    write_json(
        folder / "index.json",
        {
            "format": "fittingroom-shards",
            "format_version": 1,
            "people": len(samples),
            "shards": shards,
            "skipped": [],
            "configuration": {
                "size_hw": list(size_hw),
                "split": split,
                "styles": list(styles),
                "images": "jpeg",
            },
        },
    )
    return folder


def tiny_shards(folder: Path, people: int = 4, size_hw=SIZE, categories=tuple(Category)) -> Path:
    """``people`` of each category."""
    return write_shards(
        folder, [tiny_sample(c, i, size_hw) for c in categories for i in range(people)], size_hw
    )


def tiny_network(**changes):
    """A network of a few thousand weights."""
    from model.network.config import NetworkConfig

    return NetworkConfig(
        **{
            "channels": (4, 4, 8, 8, 8),
            "fpn": 8,
            "flows": 2,
            "head": (8, 8, 8),
            "self_kernel": 3,
            "light": (4, 8),
        }
        | changes
    )
