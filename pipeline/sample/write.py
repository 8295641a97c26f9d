"""A synthetic dataset on disc, in Dress Code's layout and formats."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.manifest import load_manifest
from pipeline.base.storage import whole
from pipeline.dataset.encode import (
    encode_dense,
    encode_jpeg,
    encode_label_map,
    encode_pairs,
    encode_uv,
)
from pipeline.dataset.flows import FOLDER as FLOWS
from pipeline.dataset.flows import encode, to_codes
from pipeline.dataset.pose import render_skeleton
from pipeline.sample.annotate import finish_uv, keypoint_rows, spoil_dense, spoil_labels
from pipeline.sample.scene import render_person
from pipeline.sample.shop import render_shop
from pipeline.sample.wearer import describe_wearer

MARK = "sample.json"
FOLDERS = ("images", "keypoints", "skeletons", "label_maps", "dense")


@dataclass(frozen=True)
class SampleSummary:
    """What ``make_sample`` wrote: people by category and split."""

    out: Path
    people: dict[str, dict[str, int]]

    @property
    def total(self) -> int:
        return sum(n for splits in self.people.values() for n in splits.values())


def _write(path: Path, data: bytes) -> None:
    with whole(path, durable=False) as unfinished:
        unfinished.write_bytes(data)


def person_files(
    category: Category, person_id: str, seed: int, size_hw: tuple[int, int], flows: bool = False
) -> dict[str, bytes]:
    """All files of one person, by their path below the category's folder; with ``flows``, also
    where on the garment picture each pixel of the worn garment comes from (``dataset.flows``)."""
    person = describe_wearer(category, person_id, seed)
    picture, body, clothes = render_person(person, size_hw, flows)
    rng = np.random.default_rng([*person.seed, 3])
    rows = keypoint_rows(person, body, rng)
    spoil_labels(person, picture, rng)
    spoil_dense(person, picture, rng)
    finish_uv(picture)
    shop_pieces = clothes.shop_pieces()
    keypoints = np.array(rows)[:, :3] * (size_hw[1] / 384, size_hw[0] / 512, 1)
    extra = {}
    if picture.flow is not None:
        extra[f"{FLOWS}/{person_id}_flow.png"] = encode(to_codes(picture.flow)).tobytes()
    return {
        f"images/{person_id}_0.jpg": encode_jpeg(picture.photo),
        f"images/{person_id}_1.jpg": encode_jpeg(render_shop(person.garment, shop_pieces, size_hw)),
        f"keypoints/{person_id}_2.json": json.dumps({"keypoints": rows}).encode(),
        f"skeletons/{person_id}_5.jpg": encode_jpeg(render_skeleton(keypoints, size_hw)),
        f"label_maps/{person_id}_4.png": encode_label_map(picture.labels),
        f"dense/{person_id}_5.png": encode_dense(picture.dense),
        f"dense/{person_id}_5_uv.npz": encode_uv(picture.uv),
        **extra,
    }


def _make_one(
    out: Path, category: Category, person_id: str, seed: int, size_hw: tuple[int, int], flows: bool
) -> str:
    cv2.setNumThreads(1)
    for name, data in person_files(category, person_id, seed, size_hw, flows).items():
        _write(out / str(category) / name, data)
    return person_id


def sample_ids(category: Category, split: str, count: int) -> list[str]:
    """The first ``count`` ids of the real dataset's range for this category and split ("train" or
    "test")."""
    first = load_manifest().ids(category, split).first
    return [f"{number:06d}" for number in range(first, first + count)]


def _rows(ids: list[str], shift: int = 0) -> list[tuple[str, str]]:
    return list(zip(ids, ids[shift:] + ids[:shift]))


def _write_lists(out: Path, ids: dict[str, dict[Category, list[str]]], seed: int) -> None:
    """Pair lists of each category and of the whole, and the triplets of dressing from head to
    foot."""
    whole: dict[str, list[Any]] = {}
    for category in ids["train"]:
        test = ids["test"][category]
        shift = 1 + seed % (len(test) - 1) if len(test) > 1 else 0
        lists = {
            "train_pairs.txt": _rows(ids["train"][category]),
            "test_pairs_paired.txt": _rows(test),
            "test_pairs_unpaired.txt": _rows(test, shift) if shift else [],
        }
        for name, rows in lists.items():
            whole.setdefault(name, []).extend((*row, category.index) for row in rows)
            _write(out / str(category) / name, encode_pairs(rows))
    for name, rows in whole.items():
        _write(out / name, encode_pairs(rows))
    upper, lower = (ids["test"].get(c, []) for c in (Category.UPPER_BODY, Category.LOWER_BODY))
    people = (
        [person for category in ids["test"] for person in ids["test"][category]]
        if upper and lower
        else []
    )
    _write(
        out / "multigarment_test_triplets.txt",
        encode_pairs(
            (person, upper[(k + 1) % len(upper)], f"{lower[(k + 2) % len(lower)]}_1.jpg")
            for k, person in enumerate(people)
        ),
    )


def _claim(out: Path, settings: dict[str, Any]) -> None:
    """Makes the folders; refuses a folder with other contents than a sample of these settings."""
    if out.exists() and not out.is_dir():
        raise DataError(out, "is a file", "a folder to write to", "Name another folder.")
    found = {}
    if out.is_dir() and any(out.iterdir()):
        try:
            found = json.loads((out / MARK).read_text())
        except (OSError, ValueError):
            raise DataError(
                out,
                "holds other files",
                "an empty folder, or a sample made before",
                "Name a new folder; nothing was written.",
            ) from None
        if found != settings:
            raise DataError(
                out,
                f"holds a sample with other settings ({_told(found)})",
                _told(settings),
                "Name a new folder, or remove this one first.",
            )
    for category in settings["categories"]:
        for folder in (*FOLDERS, FLOWS) if settings.get("flows") else FOLDERS:
            (out / category / folder).mkdir(parents=True, exist_ok=True)
    _write(out / MARK, (json.dumps(settings, indent=1) + "\n").encode())


def _told(settings: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {settings.get(name)}"
        for name in ("pairs", "test_pairs", "size", "seed", "categories", "flows")
        if name in settings
    )


def make_sample(
    out: Path | str,
    pairs: int = 24,
    size_hw: tuple[int, int] = (1024, 768),
    seed: int = 0,
    jobs: int = 1,
    *,
    test_pairs: int | None = None,
    categories: tuple[Category, ...] = tuple(Category),
    flows: bool = False,
    progress: Callable[[int], None] | None = None,
) -> SampleSummary:
    """Writes a synthetic dataset in exactly Dress Code's layout and formats.

    Each person depends on category, id and seed alone (``describe_wearer``), not on the number of
    people or workers.

    Args:
        out: folder to write; new or empty, or holding a sample of the same settings.
        pairs: people per category in the training split.
        size_hw: size of photos and maps; keypoints stay in the 384 x 512 frame, as they do in the
            dataset.
        seed: another seed gives other people.
        jobs: worker processes.
        test_pairs: people per category in the test split; a quarter of ``pairs``, at least two, by
            default.
        categories: which folders to make.
        flows: also write where on the garment picture each pixel of the worn garment comes from, in
            a folder of its own that Dress Code does not have (``dataset.flows``).
        progress: called with 1 for each finished person.

    Returns:
        How many people were written, by category and split.

    Raises:
        DataError: ``out`` holds something else, or a number or size makes no sense.
    """
    out, categories = Path(out), tuple(c for c in Category if c in categories)
    test_pairs = max(2, pairs // 4) if test_pairs is None else test_pairs
    _check(out, pairs, test_pairs, size_hw, categories)
    ids = {
        split: {c: sample_ids(c, split, count) for c in categories}
        for split, count in (("train", pairs), ("test", test_pairs))
    }
    _claim(
        out,
        {
            "pairs": pairs,
            "test_pairs": test_pairs,
            "size": f"{size_hw[0]}x{size_hw[1]}",
            "seed": seed,
            "categories": [str(c) for c in categories],
            **({"flows": True} if flows else {}),
        },
    )
    work = [
        (out, c, person, seed, size_hw, flows)
        for split in ids
        for c in categories
        for person in ids[split][c]
    ]
    for _ in _each(work, jobs):
        if progress:
            progress(1)
    _write_lists(out, ids, seed)
    return SampleSummary(out, {str(c): {"train": pairs, "test": test_pairs} for c in categories})


def _each(work: list[tuple[Any, ...]], jobs: int) -> Iterator[str]:
    """Makes people one after another, or in worker processes; the files are the same."""
    if jobs == 1 or len(work) < 2:
        for one in work:
            yield _make_one(*one)
        return
    from joblib import Parallel, delayed

    yield from Parallel(n_jobs=min(jobs, len(work)), return_as="generator_unordered")(
        delayed(_make_one)(*one) for one in work
    )


def fits_layout(size_hw: tuple[int, int]) -> bool:
    """Whether photos can have this size: 4 rows to 3 columns, about, and neither tiny nor huge."""
    height, width = size_hw
    return (
        min(size_hw) >= 64
        and max(size_hw) <= 4096
        and abs(height * 3 - width * 4) <= 0.02 * height * 3
    )


def _check(out: Path, pairs: int, test_pairs: int, size_hw: tuple[int, int], categories) -> None:
    if not categories:
        raise DataError(
            out, "no category was named", ", ".join(str(c) for c in Category), "Name at least one."
        )
    for number, name, most in ((pairs, "training people", 7151), (test_pairs, "test people", 1800)):
        if not 1 <= number <= most:
            raise DataError(
                out,
                f"{number} {name} per category were asked for",
                f"1 to {most}",
                "The dataset has no more ids than that.",
            )
    if not fits_layout(size_hw):
        raise DataError(
            "size",
            f"{size_hw[0]}x{size_hw[1]}",
            "3 columns to 4 rows, between 64 and 4096 pixels",
            "Take 1024x768, 512x384 or 256x192.",
        )
