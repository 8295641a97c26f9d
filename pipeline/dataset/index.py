"""Stage 1, index: folders and pair lists -> PairRecords. A part of the dataset is fine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.manifest import load_manifest
from pipeline.base.places import no_dataset
from pipeline.dataset.identity import Identity

PERSON_NAME = re.compile(r"(\d{1,12})_0(\.jpg)?")
GARMENT_NAME = re.compile(r"(\d{1,12})_1(\.jpg)?")
MAX_LIST_BYTES = 64 << 20
LISTS_REMEDY = "Copy the list from the dataset, or choose another --split or --category"


@dataclass(frozen=True, slots=True)
class PairRecord(Identity):
    """One row of a pair list, with its files.

    Attributes:
        image, garment, keypoints: always set, whether or not the file is there.
        label_map, dense, dense_uv, skeleton: None where the file is not there.
        absent: the person, or the garment, is not in this copy of the dataset (``Tree.is_copied``);
            nothing is damaged.
        mended: masks that take the place of drawn ones: style, file.
    """

    image: Path
    garment: Path
    keypoints: Path
    label_map: Path | None = None
    dense: Path | None = None
    dense_uv: Path | None = None
    skeleton: Path | None = None
    absent: bool = False
    mended: tuple[tuple[str, Path], ...] = ()


@dataclass(frozen=True, slots=True)
class PairRow(Identity):
    """One line of a list: ids, the list it stands in, its line number."""

    list_path: Path
    line: int


class Tree:
    """What lies in the folders of one category: names, read once, instead of a question to the disc
    for every file."""

    def __init__(self, root: Path, category: Category):
        self.root, self.category = Path(root), category

    @cached_property
    def names(self) -> dict[str, set[str]]:
        """Folder below the root, such as ``dresses/dense`` -> names of its entries; a missing
        folder has none."""
        patterns = load_manifest().layout.values()
        folders = {str(Path(pattern).parent).format(category=self.category) for pattern in patterns}
        return {folder: set(_listing(self.root / folder)) for folder in sorted(folders)}

    def has(self, modality: str, person_id: str) -> bool:
        folder, name = (
            load_manifest()
            .layout[modality]
            .format(category=self.category, id=person_id)
            .rsplit("/", 1)
        )
        return name in self.names[folder]

    def find(self, modality: str, person_id: str) -> Path | None:
        path = load_manifest().path(self.root, modality, self.category, person_id)
        return path if self.has(modality, person_id) else None

    def has_modality(self, modality: str) -> bool:
        """Whether any file of a modality is there."""
        return bool(self.ids(modality))

    def ids(self, modality: str) -> set[str]:
        """Ids of all files of a modality."""
        folder, name = (
            load_manifest().layout[modality].format(category=self.category, id="*").rsplit("/", 1)
        )
        start, end = name.split("*")
        return {
            n[len(start) : len(n) - len(end)]
            for n in self.names[folder]
            if n.startswith(start)
            and n.endswith(end)
            and n[len(start) : len(n) - len(end)].isdigit()
        }

    def is_copied(self, person_id: str) -> bool:
        """Whether a person is in this copy: photo, label map or DensePose are there. Lists and
        keypoints are small, and copied whole where the photos are not."""
        return self.photo_of(person_id) is not None or any(
            self.has(m, person_id) for m in ("label_map", "dense")
        )

    def has_garment_of(self, garment_id: str) -> bool:
        """Whether a garment, or the photo of who wears it, is in this copy."""
        return any(self.has(m, garment_id) for m in ("image", "garment"))

    def photo_of(self, person_id: str) -> str | None:
        """Name of a person's photo in ``images/``, under any ending; None where there is none."""
        return self.misnamed("image", person_id, exact=True)

    def misnamed(self, modality: str, person_id: str, exact: bool = False) -> str | None:
        """Name of a file that lies there with another ending than the layout's, such as ``.JPG``.

        Args:
            exact: the layout's own ending counts too.
        """
        pattern = load_manifest().layout[modality]
        folder, name = pattern.format(category=self.category, id=person_id).rsplit("/", 1)
        stem, own = name.rsplit(".", 1)
        endings = ("jpg", "jpeg", "png", "JPG", "JPEG", "PNG", "webp")
        for ending in (own, *endings) if exact else endings:
            if (exact or ending != own) and f"{stem}.{ending}" in self.names[folder]:
                return f"{stem}.{ending}"
        return None

    def record(self, row: Identity) -> PairRecord:
        facts, person, garment = load_manifest(), row.person_id, row.garment_id
        absent = not self.is_copied(person) or not self.has_garment_of(garment)
        image, keypoints = (
            facts.path(self.root, m, self.category, person) for m in ("image", "keypoints")
        )
        shop = facts.path(self.root, "garment", self.category, garment)
        return PairRecord(
            self.category,
            row.split,
            person,
            garment,
            image,
            shop,
            keypoints,
            absent=absent,
            label_map=self.find("label_map", person),
            dense=self.find("dense", person),
            dense_uv=self.find("dense_uv", person),
            skeleton=self.find("skeleton", person),
        )


def find_record(root: Path, who: Identity) -> PairRecord:
    """The files of one person, looked for one by one: for a few people, of whom no list need
    tell."""
    facts = load_manifest()

    def path(modality: str) -> Path:
        return facts.path(root, modality, who.category, who.person_id)

    def there(modality: str) -> Path | None:
        return path(modality) if path(modality).is_file() else None

    return PairRecord(
        who.category,
        who.split,
        who.person_id,
        who.garment_id,
        path("image"),
        facts.path(root, "garment", who.category, who.garment_id),
        path("keypoints"),
        label_map=there("label_map"),
        dense=there("dense"),
        dense_uv=there("dense_uv"),
        skeleton=there("skeleton"),
    )


def index_pairs(
    root: Path,
    categories: Sequence[Category] = tuple(Category),
    split: str = "train",
    limit: int | None = None,
    exclude: AbstractSet[Any] = frozenset(),
) -> list[PairRecord]:
    """Rows of the pair lists with their files, in the lists' order, category by category.

    A category's own list is taken; where there is none, its rows of the root's list of three
    columns. Categories that are not in the folder are passed over as long as one is. Rows whose
    files are missing are listed all the same (``PairRecord.absent`` tells those outside of a copied
    part). A row that occurs twice counts once.

    Args:
        root: folder with ``upper_body/``, ``lower_body/``, ``dresses/``, or some of them.
        categories: which to list.
        split: ``train``, ``test_paired`` or ``test_unpaired``.
        limit: at most so many rows per category, after leaving out ``exclude``.
        exclude: keys such as ``dresses/020714``, plain person ids, or (person id, garment id) rows
            to leave out.

    Raises:
        DataError: the folder, the lists or every row are missing, or a row cannot be understood.
    """
    records = list(iter_records(root, categories, split, limit, exclude))
    if not records:
        raise DataError(
            root,
            f"every pair of {split} is excluded",
            "at least one",
            "Shorten the list of exclusions",
        )
    return records


def iter_records(
    root: Path,
    categories: Sequence[Category] = tuple(Category),
    split: str = "train",
    limit: int | None = None,
    exclude: AbstractSet[Any] = frozenset(),
) -> Iterator[PairRecord]:
    """The records of ``index_pairs`` one by one, for callers that keep only a part of each;
    possibly none."""
    root = Path(root)
    categories = present_categories(root, categories, split)
    for category, rows in _rows_by_category(root, categories, split):
        tree = Tree(root, category)
        kept = (row for row in rows if not _is_excluded(row, exclude))
        yield from (tree.record(row) for row in islice(kept, limit))


def present_categories(root: Path, categories: Sequence[Category], split: str) -> list[Category]:
    """Those of ``categories`` that have a folder; DataError where there is none, or no such split
    or root."""
    facts = load_manifest()
    if split not in facts.lists:
        raise DataError("--split", f"{split!r}", " or ".join(facts.lists))
    if not root.is_dir():
        raise DataError(
            root,
            "no such folder" if not root.exists() else "not a folder",
            "the folder that holds upper_body/, lower_body/ and dresses/",
            facts.licence.how_to_get,
        )
    present = [c for c in Category if c in categories and (root / c.value).is_dir()]
    if not present:
        raise no_dataset(root, [c.value for c in categories])
    return present


def _rows_by_category(
    root: Path, categories: Sequence[Category], split: str
) -> list[tuple[Category, list[PairRow]]]:
    name = load_manifest().lists[split]
    lists = {c: root / c.value / name for c in categories}
    own = {c: read_pairs(path, c, split) for c, path in lists.items() if path.is_file()}
    shared: list[PairRow] = []
    if len(own) < len(categories) and (root / name).is_file():
        shared = read_pairs(root / name, split=split)
    found = [(c, own.get(c) or [row for row in shared if row.category is c]) for c in categories]
    found = [(c, rows) for c, rows in found if rows]
    if not found:
        there = [
            other
            for other, file in load_manifest().lists.items()
            if (root / file).is_file() or any((root / c / file).is_file() for c in categories)
        ]
        raise DataError(
            lists[categories[0]],
            "no such list, nor rows of this category in one at the root",
            f"{name} with a person and a garment a line",
            f"Copy the list from the dataset, or give --split {' or '.join(there)}: there it is"
            if there
            else LISTS_REMEDY,
        )
    return found


def read_pairs(path: Path, category: Category | None = None, split: str = "") -> list[PairRow]:
    """Rows of one list, each once, split at any white space; with ``category`` None from the third
    column.

    Raises:
        DataError: an empty list, or a line that is not ``NNNNNN_0.jpg NNNNNN_1.jpg`` and, at the
            root, 0, 1 or 2.
    """
    rows: dict[tuple[Any, ...], PairRow] = {}
    for row in iter_pairs(path, category, split):
        rows.setdefault((row.category, row.person_id, row.garment_id), row)
    if not rows:
        raise DataError(path, "an empty list", "a person and a garment a line", LISTS_REMEDY)
    return list(rows.values())


def iter_pairs(path: Path, category: Category | None = None, split: str = "") -> Iterator[PairRow]:
    """Every row of one list, repeated ones too; see ``read_pairs``."""
    by_index = {str(index): c for c, index in load_manifest().category_index.items()}
    for number, line in enumerate(_read_text(path).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        person = PERSON_NAME.fullmatch(words[0])
        garment = GARMENT_NAME.fullmatch(words[1]) if len(words) in (2, 3) else None
        row_category = category or (by_index.get(words[2]) if len(words) == 3 else None)
        if not (person and garment and row_category):
            expected = "NNNNNN_0.jpg NNNNNN_1.jpg" + (
                "" if category else " and a category's number, 0 to 2"
            )
            raise DataError(
                f"{path}:{number}", f"{line.strip()[:60]!r}", expected, "Mend or remove the line"
            )
        yield PairRow(row_category, split, person[1], garment[1], path, number)


def read_exclude(path: Path) -> frozenset[str]:
    """Keys such as ``dresses/020714`` from a file with one a line; what follows a # is a comment.

    Raises:
        DataError: unreadable, or a line that is no such key.
    """
    pattern = re.compile(rf"({'|'.join(c.value for c in Category)})/\d{{1,12}}")
    keys = set()
    for number, line in enumerate(_read_text(Path(path)).splitlines(), 1):
        key = line.split("#")[0].strip()
        if key and not pattern.fullmatch(key):
            raise DataError(
                f"{path}:{number}",
                f"{key[:60]!r}",
                "category/person, such as dresses/020714",
                "Mend or remove the line",
            )
        if key:
            keys.add(key)
    return frozenset(keys)


def _is_excluded(row: PairRow, exclude: AbstractSet[Any]) -> bool:
    return (
        row.key in exclude or row.person_id in exclude or (row.person_id, row.garment_id) in exclude
    )


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise DataError(path, "a list of more than 64 MB", "lines of text", LISTS_REMEDY)
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(path, "no such file", "lines of text") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            path, f"cannot be read as text ({error})", "lines of text", LISTS_REMEDY
        ) from None


def _listing(folder: Path) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry.name for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise DataError(
            folder, f"cannot be listed ({error.strerror})", remedy="Check the folder's rights"
        ) from None
