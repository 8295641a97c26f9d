"""What a preprocessing run will do: which people go into which shard, and the configuration that
fixes every byte."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from pipeline import __version__
from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.manifest import load_manifest
from pipeline.dataset.flows import require_flows
from pipeline.dataset.index import PairRecord, iter_records
from pipeline.masks.render import MASK_VERSION
from pipeline.masks.styles import ALL_STYLES, STYLES
from pipeline.shards.format import FORMAT_VERSION, IMAGE_KINDS, JPEG_QUALITY, MAX_SIDE, ShardInfo

PEOPLE_PER_SHARD = 128
SOFTWARE = f"fittingroom {__version__}"
SIZE_MULTIPLE = 32  # the network halves its input five times


@dataclass(frozen=True)
class ShardPlan:
    """One shard to be made: one task of a run.

    Args:
        file: its name, such as ``dresses-00003.h5``.
        rows: a line per person: person id, garment id, and which maps the dataset has of the person
            (``LD``, ``L-``, ``-D`` or ``--``). Text, because ten million people have to fit into
            the memory of one process.
    """

    file: str
    category: Category
    split: str
    rows: str

    def __len__(self) -> int:
        return self.rows.count("\n")

    def pairs(self, root: Path) -> Iterator[PairRecord]:
        """The shard's people with their files below ``root``."""
        for line in self.rows.splitlines():
            person, garment, maps = line.split()
            yield self._pair(root, person, garment, "L" in maps, "D" in maps)

    def _pair(
        self, root: Path, person: str, garment: str, has_label_map: bool, has_dense: bool
    ) -> PairRecord:
        def path(modality: str, of: str = person) -> Path:
            return load_manifest().path(root, modality, self.category, of)

        return PairRecord(
            self.category,
            self.split,
            person,
            garment,
            path("image"),
            path("garment", garment),
            path("keypoints"),
            path("label_map") if has_label_map else None,
            path("dense") if has_dense else None,
        )


@dataclass(frozen=True)
class Plan:
    """A whole run.

    Args:
        root: the dataset.
        shards: in the order of the index.
        configuration: plain JSON; two runs with equal ones and equal input files write equal bytes.
        absent: rows of the lists that lie outside of this copy of the dataset; they are passed
            over.
    """

    root: Path
    shards: tuple[ShardPlan, ...]
    configuration: dict
    absent: int

    @property
    def people(self) -> int:
        return sum(len(shard) for shard in self.shards)

    def info(self, category: Category) -> ShardInfo:
        """What all people of the shards of a category share."""
        facts, options = load_manifest(), self.configuration
        return ShardInfo(
            category,
            options["split"],
            tuple(options["size_hw"]),
            options["images"],
            tuple(options["styles"]),
            options["mask_version"],
            facts.dataset,
            options["software"],
            facts.licence.notice,
            options.get("flows", False),
        )

    def summary(self) -> dict:
        """The plan as plain JSON, for people and programs."""
        return {
            "configuration": self.configuration,
            "people": self.people,
            "absent": self.absent,
            "shards": [{"file": s.file, "people": len(s)} for s in self.shards],
        }


def make_plan(
    root: Path,
    *,
    categories: Sequence[Category] = tuple(Category),
    split: str = "train",
    limit: int | None = None,
    size_hw: tuple[int, int] = (512, 384),
    images: str = "jpeg",
    styles: Sequence[str] = STYLES,
    exclude: AbstractSet = frozenset(),
    people_per_shard: int = PEOPLE_PER_SHARD,
    flows: bool = False,
) -> Plan:
    """Reads the pair lists, not the pictures, and settles every shard.

    Args:
        root: Dress Code, or a part of it.
        limit: at most so many people per category, among those that are there.
        size_hw: height and width of everything in the shards; multiples of 32.
        images: ``jpeg`` or ``raw``.
        styles: mask styles to draw.
        exclude: what ``dresscode.read_exclude`` returns.
        people_per_shard: must not depend on the machine: it decides the bytes.
        flows: pack the flows of drawn people too.

    Raises:
        DataError: no dataset there, no flows there though they are asked for, an option out of
            range, or nobody to pack.
    """
    _check_options(size_hw, images, styles, people_per_shard)
    rows: dict[Category, list[str]] = {}
    absent = 0
    for pair in iter_records(root, categories, split, exclude=exclude):
        mine = rows.setdefault(pair.category, [])
        absent += pair.absent
        if not pair.absent and (limit is None or len(mine) < limit):
            mine.append(_row(pair))
    rows = {category: lines for category, lines in rows.items() if lines}
    if not rows:
        found = (
            f"none of the {absent} people of {split} is there"
            if absent
            else f"every pair of {split} is excluded"
        )
        raise DataError(
            root,
            found,
            "at least one with all files",
            "Copy more files, shorten the list of exclusions, "
            "or choose another --split or --category",
        )
    configuration = {
        "format_version": FORMAT_VERSION,
        "software": SOFTWARE,
        "mask_version": MASK_VERSION,
        "split": split,
        "size_hw": list(size_hw),
        "images": images,
        "jpeg_quality": JPEG_QUALITY if images == "jpeg" else None,
        "styles": list(styles),
        "limit": limit,
        "people_per_shard": people_per_shard,
        "people": {str(category): _digest(lines) for category, lines in rows.items()},
        **({"flows": True} if flows else {}),
    }
    for category in rows if flows else ():
        require_flows(root, category)
    shards = [
        shard
        for category, lines in rows.items()
        for shard in _cut(category, split, lines, people_per_shard)
    ]
    return Plan(Path(root).absolute(), tuple(shards), configuration, absent)


def _row(pair: PairRecord) -> str:
    files = ("L" if pair.label_map else "-") + ("D" if pair.dense else "-")
    return f"{pair.person_id} {pair.garment_id} {files}\n"


def _digest(rows: list[str]) -> dict:
    """What of the dataset decides the bytes: who, in which order, and which kinds of map are
    there."""
    return {
        "number": len(rows),
        "label_maps": sum("L" in row for row in rows),
        "dense": sum("D" in row for row in rows),
        "sha256": hashlib.sha256("".join(rows).encode()).hexdigest(),
    }


def _cut(category: Category, split: str, rows: list[str], size: int) -> Iterator[ShardPlan]:
    for number, start in enumerate(range(0, len(rows), size)):
        yield ShardPlan(
            f"{category}-{number:05d}.h5", category, split, "".join(rows[start : start + size])
        )


def differences(before: dict, now: dict) -> list[str]:
    """What differs between two configurations, as phrases: ``size_hw was [512, 384], is [256,
    192]``."""
    found = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if key == "people" and isinstance(old, dict) and isinstance(new, dict):
            found += [
                _people_difference(c, old.get(c), new.get(c))
                for c in sorted(old.keys() | new.keys())
                if old.get(c) != new.get(c)
            ]
        elif old != new:
            found.append(f"{key} was {old}, is {new}")
    return found


def _people_difference(category: str, old: dict | None, new: dict | None) -> str:
    if not old or not new:
        before, now = ("in" if there else "not in" for there in (old, new))
        return f"category {category} was {before} it, is {now} it"
    what = [
        f"{key} was {old.get(key)}, is {new.get(key)}"
        for key in ("number", "label_maps", "dense")
        if old.get(key) != new.get(key)
    ]
    return f"people of {category}: " + ("; ".join(what) or "another list or order")


def _check_options(size_hw, images, styles, people_per_shard) -> None:
    if any(not 0 < n <= MAX_SIDE or n % SIZE_MULTIPLE for n in size_hw):
        raise DataError(
            "size",
            f"{size_hw[0]}x{size_hw[1]}",
            f"multiples of {SIZE_MULTIPLE} up to {MAX_SIDE}",
            "Choose another size, such as 512x384",
        )
    if images not in IMAGE_KINDS:
        raise DataError("images", repr(images), " or ".join(IMAGE_KINDS))
    if unknown := [s for s in styles if s not in ALL_STYLES]:
        raise DataError("styles", ", ".join(map(repr, unknown)), " or ".join(ALL_STYLES))
    if not styles or people_per_shard < 1:
        raise DataError("options", "no mask style, or no people in a shard", "at least one of each")
