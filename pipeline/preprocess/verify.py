"""Finished shards read again: checksums, counts, and every sample decoded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.manifest import load_manifest
from pipeline.base.storage import file_sha256
from pipeline.dataset.index import PairRecord
from pipeline.preprocess.backends import run_tasks
from pipeline.preprocess.plan import ShardPlan
from pipeline.preprocess.sources import held, newer_than
from pipeline.shards.folder import ShardReader, read_index
from pipeline.shards.reader import REMAKE


@dataclass(frozen=True)
class Report:
    """What a verification found: the damaged files, each with what is wrong."""

    people: int
    shards: int
    problems: tuple[DataError, ...]


def verify(
    folder: Path,
    *,
    root: Path | None = None,
    masks: Path | None = None,
    jobs: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Compares every shard with the folder's index and decodes every sample; changes nothing.

    Args:
        folder: what ``preprocess`` finished.
        root: the dataset; then also whether its files still are those that the shards were made
            of.
        masks: the folder of mended masks, where the shards were made with one.
        progress: called with the number of people of each shard that is read.

    Raises:
        DataError: the folder has no readable index. Damaged shards are in the report instead.
    """
    folder = Path(folder)
    index = read_index(folder)
    expected = {shard["file"]: shard for shard in index["shards"]}
    problems: dict[str, DataError] = {}
    skipped: dict[str, list[dict[str, Any]]] = {}
    for entry in index.get("skipped", []):
        skipped.setdefault(entry["shard"], []).append(entry)
    tasks = (
        (folder, shard, index["configuration"], (root, masks), skipped.get(shard["file"], []))
        for shard in index["shards"]
    )
    for name, problem in run_tasks(_check, tasks, jobs):
        if problem:
            problems[name] = problem
        if progress:
            progress(expected[name]["samples"])
    found = [problems[name] for name in expected if name in problems]
    found += [
        DataError(path, "is in no index", remedy="Delete it: no reader looks at it")
        for path in sorted(folder.glob("*.h5"))
        if path.name not in expected
    ]
    return Report(index["people"], len(expected), tuple(found))


def _check(
    task: tuple[
        Path, dict[str, Any], dict[str, Any], tuple[Path | None, Path | None], list[dict[str, Any]]
    ],
) -> tuple[str, DataError | None]:
    """A shard's name and what is wrong with it, None if nothing is."""
    folder, shard, configuration, (root, masks), skipped = task
    cv2.setNumThreads(1)
    try:
        _check_shard(folder / shard["file"], shard, configuration)
        if root is not None and "sources" in shard:
            pairs = _pairs(folder / shard["file"], shard, configuration, (root, masks), skipped)
            _check_sources(folder / shard["file"], shard, configuration, root, pairs)
    except DataError as error:
        return shard["file"], error
    return shard["file"], None


def _pairs(
    path: Path,
    shard: dict[str, Any],
    configuration: dict[str, Any],
    sources: tuple[Path, Path | None],
    skipped: list[dict[str, Any]],
) -> list[PairRecord]:
    """The people of a shard, packed and skipped, with their files."""
    category, (root, masks) = Category(shard["category"]), sources
    ids = [(who.person_id, who.garment_id) for who in ShardReader(path).names]
    ids += [(entry["person_id"], entry["garment_id"]) for entry in skipped]
    maps = lambda person: "".join(
        letter if load_manifest().path(root, kind, category, person).is_file() else "-"
        for letter, kind in (("L", "label_map"), ("D", "dense"))
    )
    rows = "".join(f"{person} {garment} {maps(person)}\n" for person, garment in ids)
    plan = ShardPlan(path.name, category, configuration["split"], rows)
    return list(plan.pairs(root, masks, configuration["styles"]))


def _check_sources(
    path: Path,
    shard: dict[str, Any],
    configuration: dict[str, Any],
    root: Path,
    pairs: list[PairRecord],
) -> None:
    flows = bool(configuration.get("flows", False))
    if held(pairs, flows) == shard["sources"]:
        return
    files = newer_than(path, pairs, root, flows)
    named = f", {', '.join(files)} among them" if files else ""
    mended = shard.get("mended", 0) and not any(pair.mended for pair in pairs)
    remedy = "Give the folder of mended masks with --masks, or: " + REMAKE if mended else REMAKE
    raise DataError(path, f"made of files that have changed since{named}", "", remedy)


def _check_shard(path: Path, shard: dict[str, Any], configuration: dict[str, Any]) -> None:
    try:
        size, digest = path.stat().st_size, file_sha256(path)
    except OSError as error:
        raise DataError(path, error.strerror or str(error), "a shard", REMAKE) from error
    if size != shard["bytes"]:
        raise DataError(path, f"{size:,} bytes", f"{shard['bytes']:,}", REMAKE)
    if digest != shard["sha256"]:
        raise DataError(path, f"SHA-256 {digest[:12]}…", f"{shard['sha256'][:12]}…", REMAKE)
    reader = ShardReader(path)
    if len(reader) != shard["samples"]:
        raise DataError(path, f"{len(reader)} people", str(shard["samples"]), REMAKE)
    if reader.size_hw != tuple(configuration["size_hw"]) or reader.styles != tuple(
        configuration["styles"]
    ):
        raise DataError(
            path, "another size or other mask styles than its index says", remedy=REMAKE
        )
    for i in range(len(reader)):
        reader[i]
    reader.close()
