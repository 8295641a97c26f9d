"""What a preprocessing run will do: which people go into which shard, and the configuration that
fixes every byte."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.manifest import load_manifest
from pipeline.base.names import WHOLE
from pipeline.dataset.flows import require_flows
from pipeline.dataset.index import PairRecord, iter_records
from pipeline.masks.render import MASK_VERSION
from pipeline.preprocess.config import PreprocessConfig
from pipeline.preprocess.mended import check_folder, with_mended
from pipeline.shards.format import FORMAT_VERSION, JPEG_QUALITY, ShardInfo

SOFTWARE = f"fittingroom {__version__}"


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

    def pairs(
        self, root: Path, masks: Path | None = None, styles: Sequence[str] = ()
    ) -> Iterator[PairRecord]:
        """The shard's people with their files below ``root``, and the mended ones below
        ``masks``."""
        for line in self.rows.splitlines():
            person, garment, maps = line.split()
            pair = self._pair(root, person, garment, "L" in maps, "D" in maps)
            yield with_mended(pair, masks, styles) if masks else pair

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
        masks: folder of mended masks and label maps.
        unused: what in it will not be used, as sentences.
        absent: rows of the lists that lie outside of this copy of the dataset; they are passed
            over.
    """

    root: Path
    shards: tuple[ShardPlan, ...]
    configuration: dict[str, Any]
    absent: int
    masks: Path | None = None
    unused: tuple[str, ...] = ()

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
            options.get("frame", WHOLE),
        )

    def summary(self) -> dict[str, Any]:
        """The plan as plain JSON, for people and programs."""
        return {
            "configuration": self.configuration,
            "people": self.people,
            "absent": self.absent,
            "shards": [{"file": s.file, "people": len(s)} for s in self.shards],
        }


def make_plan(root: Path, config: PreprocessConfig | None = None) -> Plan:
    """Reads the pair lists, not the pictures, and settles every shard.

    Args:
        root: Dress Code, or a part of it.
        config: what is packed, and how; the defaults where None.

    Raises:
        DataError: no dataset there, no flows there though they are asked for, or nobody to pack.
    """
    config = config or PreprocessConfig()
    rows: dict[Category, list[str]] = {}
    absent = 0
    for pair in iter_records(root, config.categories, config.split, exclude=config.exclude):
        mine = rows.setdefault(pair.category, [])
        absent += pair.absent
        if not pair.absent and (config.limit is None or len(mine) < config.limit):
            mine.append(_row(pair))
    rows = {category: lines for category, lines in rows.items() if lines}
    if not rows:
        found = (
            f"none of the {absent} people of {config.split} is there"
            if absent
            else f"every pair of {config.split} is excluded"
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
        "split": config.split,
        "size_hw": list(config.size_hw),
        "images": config.images,
        "jpeg_quality": JPEG_QUALITY if config.images == "jpeg" else None,
        "styles": list(config.styles),
        "limit": config.limit,
        "people_per_shard": config.people_per_shard,
        "people": {str(category): _digest(lines) for category, lines in rows.items()},
        **({"flows": True} if config.flows else {}),
        **({"frame": config.frame} if config.frame != WHOLE else {}),
    }
    for category in rows if config.flows else ():
        require_flows(root, category)
    shards = [
        shard
        for category, lines in rows.items()
        for shard in _cut(category, config.split, lines, config.people_per_shard)
    ]
    plan = Plan(Path(root).absolute(), tuple(shards), configuration, absent)
    if config.masks is None:
        return plan
    people = ((s.category, line.split()[0]) for s in shards for line in s.rows.splitlines())
    unused = check_folder(config.masks, people, config.styles)
    return replace(plan, masks=config.masks.absolute(), unused=tuple(unused))


def _row(pair: PairRecord) -> str:
    files = ("L" if pair.label_map else "-") + ("D" if pair.dense else "-")
    return f"{pair.person_id} {pair.garment_id} {files}\n"


def _digest(rows: list[str]) -> dict[str, Any]:
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


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs between two configurations, as phrases: ``size_hw was [512, 384], is [256,
    192]``."""
    found = []
    before, now = ({"frame": WHOLE} | configuration for configuration in (before, now))
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


def _people_difference(
    category: str, old: dict[str, Any] | None, new: dict[str, Any] | None
) -> str:
    if not old or not new:
        before, now = ("in" if there else "not in" for there in (old, new))
        return f"category {category} was {before} it, is {now} it"
    what = [
        f"{key} was {old.get(key)}, is {new.get(key)}"
        for key in ("number", "label_maps", "dense")
        if old.get(key) != new.get(key)
    ]
    return f"people of {category}: " + ("; ".join(what) or "another list or order")
