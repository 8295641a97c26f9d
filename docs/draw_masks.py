"""Draws the pictures of docs/masks.md: three synthetic people of each category in all mask styles.

python docs/draw_masks.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from pipeline.base.labels import Category  # noqa: E402
from pipeline.dataset.index import PairRecord, index_pairs  # noqa: E402
from pipeline.dataset.readers import read_dense, read_image, read_keypoints, read_label_map  # noqa: E402
from pipeline.inspect.overlays import colour_labels  # noqa: E402
from pipeline.masks.render import (  # noqa: E402
    STYLES,
    render_agnostic_mask,
    render_agnostic_masks,
)
from pipeline.sample import make_sample, person_files  # noqa: E402

SEED, PAIRS, SIZE, CELL = 23, 13, (512, 384), (172, 230)
SHOWN = {
    Category.UPPER_BODY: ("000005", "000009", "000012"),
    Category.LOWER_BODY: ("013567", "013570", "013572"),
    Category.DRESSES: ("020716", "020720", "020724"),
}


def row(record: PairRecord) -> np.ndarray:
    """(h, w, 3) uint8 RGB: the photo, and beside it each style's mask with its outline."""
    photo = read_image(record.image, SIZE)
    masks = render_agnostic_masks(
        record.category,
        read_keypoints(record.keypoints, SIZE),
        read_dense(record.dense, SIZE),
        read_label_map(record.label_map, SIZE),
        photo=photo,
    )
    cells = [photo]
    for style in STYLES:
        view, mask = photo.copy(), masks[style]
        view[mask] = view[mask] * 0.5 + np.array((225, 40, 75)) * 0.5
        outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cells.append(cv2.drawContours(view, outlines, -1, (255, 255, 255), 3))
    return np.hstack([cv2.resize(cell, CELL, interpolation=cv2.INTER_AREA) for cell in cells])


def draw_wrong_label(category: Category, person_id: str, path: Path) -> None:
    """Photo, label map with a blot, and in red what the mask hides because of the photo alone."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in person_files(category, person_id, 0, SIZE).items():
            (Path(folder) / name).parent.mkdir(exist_ok=True)
            (Path(folder) / name).write_bytes(data)
        photo = read_image(Path(folder) / f"images/{person_id}_0.jpg", SIZE)
        keypoints = read_keypoints(Path(folder) / f"keypoints/{person_id}_2.json", SIZE)
        labels = read_label_map(Path(folder) / f"label_maps/{person_id}_4.png", SIZE)
        dense = read_dense(Path(folder) / f"dense/{person_id}_5.png", SIZE)
    alone, seen = (
        render_agnostic_mask(category, keypoints, dense, labels, photo=picture)
        for picture in (None, photo)
    )
    view = photo.copy()
    view[alone] = view[alone] * 0.6 + 0.4 * 128
    view[seen & ~alone] = (225, 40, 75)
    cells = (photo, colour_labels(labels), view)
    strip = np.hstack([cv2.resize(c, (300, 400), interpolation=cv2.INTER_AREA) for c in cells])
    Image.fromarray(strip).save(path, quality=88, optimize=True)


def main() -> None:
    draw_wrong_label(Category.LOWER_BODY, "013715", HERE / "pictures" / "masks-wrong-label.jpg")
    font = ImageFont.load_default(size=15)
    with tempfile.TemporaryDirectory() as folder:
        make_sample(Path(folder), pairs=PAIRS, size_hw=SIZE, seed=SEED)
        for category, shown in SHOWN.items():
            people = {r.person_id: r for r in index_pairs(Path(folder), (category,), "train")}
            picture = np.vstack([row(people[person_id]) for person_id in shown])
            sheet = Image.new("RGB", (picture.shape[1], picture.shape[0] + 28), "white")
            sheet.paste(Image.fromarray(picture), (0, 28))
            for column, name in enumerate(("photo", *STYLES)):
                ImageDraw.Draw(sheet).text((column * CELL[0] + 8, 5), name, "black", font)
            sheet.save(HERE / "pictures" / f"masks-{category}.jpg", quality=88, optimize=True)


if __name__ == "__main__":
    main()
