"""Pair lists and other tables that a layout's reader opens, written when all people are there."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.labels import Category
from pipeline.base.manifest import load_manifest
from pipeline.base.storage import write_whole
from pipeline.layouts.tables import OOTD_NAMES

GARMENT_WORDS = {
    Category.UPPER_BODY: "top",
    Category.LOWER_BODY: "bottoms",
    Category.DRESSES: "dress",
}


@dataclass(frozen=True)
class ListRow:
    """One pair that was exported."""

    category: Category
    person: str
    garment: str


Rows = dict[str, list[ListRow]]
"""Split -> its pairs, in order."""


def write_lists(kind: str, root: Path, rows: Rows) -> None:
    """Writes the lists of a layout below ``root``; ``kind`` is the layout's. Raises DataError."""
    for name, text in WRITERS[kind](rows).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode())


def _dresscode(rows: Rows) -> dict[str, str]:
    """A list in each category's folder, parted by one space; all three folders have each list."""
    texts = {}
    for split, pairs in rows.items():
        for category in Category:
            mine = [r for r in pairs if r.category == category]
            name = f"{category}/{load_manifest().lists[split]}"
            texts[name] = "".join(f"{r.person}_0.jpg {r.garment}_1.jpg\n" for r in mine)
    return texts


def _dresscode_root(rows: Rows) -> dict[str, str]:
    """The lists of each category and, at the root, of all with the category's number."""
    texts = _dresscode(rows)
    number = load_manifest().category_index
    for split, pairs in rows.items():
        lines = [f"{r.person}_0.jpg {r.garment}_1.jpg {number[r.category]}\n" for r in pairs]
        texts[load_manifest().lists[split]] = "".join(lines)
    return texts


def _dresscode_idm(rows: Rows) -> dict[str, str]:
    """As Dress Code's, with a caption for each garment, at the root and in each category."""
    texts = _dresscode(rows)
    words = {r.garment: GARMENT_WORDS[r.category] for pairs in rows.values() for r in pairs}
    captions = "".join(f"{garment}_1.jpg {word}\n" for garment, word in sorted(words.items()))
    for folder in ("", *(f"{c}/" for c in Category)):
        texts[f"{folder}dc_caption.txt"] = captions
    return texts


def _viton(rows: Rows) -> dict[str, str]:
    """train_pairs.txt and test_pairs.txt: of the unpaired test where it is there."""
    texts = {}
    for split, pairs in rows.items():
        if split == "train":
            texts["train_pairs.txt"] = _viton_lines(pairs)
        else:
            texts[f"test_pairs_{split.removeprefix('test_')}.txt"] = _viton_lines(pairs)
    tests = rows.get("test_unpaired") or rows.get("test_paired")
    if tests:
        texts["test_pairs.txt"] = _viton_lines(tests)
    return texts


def _viton_catvton(rows: Rows) -> dict[str, str]:
    """As VITON-HD's, with test_pairs_unpaired.txt in any case: CatVTON opens it for paired runs
    too."""
    texts = _viton(rows)
    shown = rows.get("test_unpaired") or rows.get("test_paired")
    if shown:
        texts.setdefault("test_pairs_unpaired.txt", _viton_lines(shown))
    return texts


def _viton_idm(rows: Rows) -> dict[str, str]:
    texts = _viton(rows)
    for phase in ("train", "test"):
        splits = [pairs for split, pairs in rows.items() if split.startswith(phase)]
        words = {r.garment: GARMENT_WORDS[r.category] for pairs in splits for r in pairs}
        if not words:
            continue
        data = [
            {
                "file_name": f"{garment}_00.jpg",
                "tag_info": [{"tag_name": "item", "tag_category": word}],
            }
            for garment, word in sorted(words.items())
        ]
        texts[f"{phase}/vitonhd_{phase}_tagged.json"] = json.dumps({"data": data}, indent=1) + "\n"
    return texts


def _ootd(rows: Rows) -> dict[str, str]:
    texts = {}
    for split, pairs in rows.items():
        lines = [
            f"{OOTD_NAMES[r.category]}/model/{r.person}_0.jpg "
            f"{OOTD_NAMES[r.category]}/cloth/{r.garment}_1.jpg {OOTD_NAMES[r.category]}\n"
            for r in pairs
        ]
        texts[f"{split}_pairs.txt"] = "".join(lines)
    return texts


def _csv(rows: Rows) -> dict[str, str]:
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(["split", "category", "person", "garment"])
    for split, pairs in rows.items():
        table.writerows((split, str(r.category), r.person, r.garment) for r in pairs)
    return {"pairs.csv": stream.getvalue()}


def _viton_lines(pairs: list[ListRow]) -> str:
    return "".join(f"{r.person}_00.jpg {r.garment}_00.jpg\n" for r in pairs)


WRITERS: dict[str, Callable[[Rows], dict[str, str]]] = {
    "dresscode": _dresscode,
    "dresscode_root": _dresscode_root,
    "dresscode_idm": _dresscode_idm,
    "viton": _viton,
    "viton_catvton": _viton_catvton,
    "viton_idm": _viton_idm,
    "ootd": _ootd,
    "csv": _csv,
    "none": lambda rows: {},
}
