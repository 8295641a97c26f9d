"""The work of one task: some hundred people read, masked and packed into one shard, or an intact
shard recognised."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from pipeline.base.errors import DataError
from pipeline.base.names import WHOLE
from pipeline.base.places import PROGRESS_NAME
from pipeline.base.storage import file_sha256, read_json, write_json, write_whole
from pipeline.dataset.flows import flow_path, read_flow
from pipeline.dataset.index import PairRecord
from pipeline.dataset.person import GUESSED, Person, read_person, require_garment
from pipeline.dataset.readers import resize_image
from pipeline.masks.person import person_masks
from pipeline.masks.region import cut_region
from pipeline.masks.styles import PEER_STYLES, STYLES
from pipeline.people.in_dataset import origins_of
from pipeline.preprocess.mended import is_mended, take_mended
from pipeline.preprocess.plan import SOFTWARE, ShardPlan
from pipeline.preprocess.sources import held, newer_than, seen
from pipeline.shards.format import ShardInfo
from pipeline.shards.writer import ShardWriter


@dataclass(frozen=True)
class Task:
    """All that a worker needs to make one shard: paths and options, no pictures."""

    shard: ShardPlan
    info: ShardInfo
    root: Path
    out: Path
    known: dict[str, Any] | None
    masks: Path | None = None

    @property
    def path(self) -> Path:
        return self.out / self.shard.file

    def pairs(self) -> Iterator[PairRecord]:
        """The shard's people with their files."""
        return self.shard.pairs(self.root, self.masks, self.info.styles)

    @property
    def scratch(self) -> Path:
        return self.out / PROGRESS_NAME


def make_shard(task: Task) -> tuple[dict[str, Any], bool]:
    """The record of one shard, made if it is not whole yet, and whether it was made.

    Raises:
        DataError: the shard can't be written. Bad input raises nothing: it is skipped and in the
            record.
    """
    cv2.setNumThreads(1)  # one task is one core's work
    if task.info.software != SOFTWARE:
        raise DataError(
            "worker",
            f"it runs {SOFTWARE}",
            task.info.software,
            "Install one version on every machine",
        )
    if not task.scratch.is_dir():
        raise DataError(
            task.scratch,
            "no such folder on the worker's machine",
            "the folder that the run was started with",
            "Use a file system that all machines share",
        )
    if record := _finished(task):
        return record, False
    skipped: list[dict[str, Any]] = []
    mended = sum(is_mended(pair, task.masks) for pair in task.pairs()) if task.masks else 0
    changed = _changed_since(task)
    # Before anything is packed: what changes meanwhile is found by the next run.
    told = {"seen": seen(task.pairs(), task.info.flows), "sources": _held(task)}
    writer = ShardWriter(task.path, task.info)
    guessed: list[str] = []
    origins = origins_of(task.root)
    for pair, outcome in _people(task):
        if isinstance(outcome, dict):
            skipped.append(outcome)
            continue
        writer.add(outcome)
        if origins and not pair.mended and _is_guessed(pair, origins, task.masks):
            guessed.append(pair.person_id)
    people, data = len(writer), writer.finish()
    record = {
        "file": task.shard.file,
        "category": str(task.shard.category),
        "samples": people,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "digest": writer.digest,
        "skipped": skipped,
        **told,
        **({"mended": mended} if mended else {}),
        **({"guessed": guessed} if guessed else {}),
        **({"changed": changed} if changed is not None else {}),
    }
    # The record first: without its shard it counts for nothing.
    write_json(_record_path(task.scratch, task.shard.file), record, task.scratch)
    write_whole(task.path, data, task.scratch)
    return record, True


def read_masked(
    pair: PairRecord,
    size_hw: tuple[int, int],
    styles: Sequence[str] = STYLES,
    *,
    reduced: bool = False,
    flows: bool = False,
    frame: str = WHOLE,
) -> Person:
    """One person read from the dataset's files and masked, everything at ``size_hw``.

    Args:
        reduced: let the JPEG decoder halve large pictures, see ``readers.read_image``.
        flows: also read the flow, of a person in the own garment (``dataset.flows``).
        frame: of ``names.FRAMES``; the part around the garment is cut out of the photo at its own
            size.

    Raises:
        DataError: a file of the person or garment is missing or bad, or the label map lacks the
            garment.
    """
    cuts = frame != WHOLE
    person = read_person(pair, None if cuts else size_hw, reduced=reduced and not cuts)
    require_garment(pair.category, person.label_map, pair.label_map or pair.image)
    # Recipes that count in pixels of the part are drawn on it, mended ones are there already.
    mended = {style for style, _ in pair.mended}
    on_part = [s for s in styles if cuts and s in PEER_STYLES and s not in mended]
    person.masks = person_masks(person, [s for s in styles if s not in on_part])
    take_mended(pair, person.masks, person.size_hw)
    if flows and pair.paired:
        person.flow = read_flow(flow_path(pair.image), person.size_hw)
    if not cuts:
        return person
    assert person.garment is not None
    person.garment = resize_image(person.garment, size_hw)
    return cut_region(person, styles, size_hw).person


def _people(task: Task) -> Iterator[tuple[PairRecord, Person | dict[str, Any]]]:
    return ((pair, _person_or_skip(pair, task)) for pair in task.pairs())


def _is_guessed(pair: PairRecord, origins: dict[str, dict[str, str]], masks: Path | None) -> bool:
    """Whether the label map follows from the joints alone, and nobody has mended it."""
    own = masks is None or pair.label_map is None or masks not in pair.label_map.parents
    return own and origins.get(pair.identity.key, {}).get("label_map") == GUESSED


def _person_or_skip(pair: PairRecord, task: Task) -> Person | dict[str, Any]:
    """The pair's person, or an entry for the index that says why there is none."""
    try:
        # Halving while decoding loses 0.2 dB more than JPEG does anyway, and saves a fifth of the
        # time.
        return read_masked(
            pair,
            task.info.size_hw,
            task.info.styles,
            reduced=task.info.images == "jpeg",
            flows=task.info.flows,
            frame=task.info.frame,
        )
    except DataError as error:
        file, reason = (
            error.path,
            error.found + (f", expected {error.expected}" if error.expected else ""),
        )
    except MemoryError:
        raise
    except (
        Exception
    ) as error:  # one strange person shall not end a night's run; it counts as bad and is named
        file, reason = str(pair.image), f"{type(error).__name__}: {error}"[:300]
    if Path(file).is_relative_to(task.root):
        file = (
            Path(file).relative_to(task.root).as_posix()
        )  # the index must not depend on where the dataset lies
    return {
        "shard": task.shard.file,
        "category": str(pair.category),
        "person_id": pair.person_id,
        "garment_id": pair.garment_id,
        "file": file,
        "reason": reason,
    }


def _finished(task: Task) -> dict[str, Any] | None:
    """The record of this shard if the file is whole, its sources are those that it was made of, and
    what was skipped is still bad; else None."""
    for record in (_read_record(task), task.known):
        if not record or not _is_whole(task, record):
            continue
        now = seen(task.pairs(), task.info.flows)
        if now != record.get("seen") and record.get("sources", "") not in ("", _held(task)):
            return None
        if record["skipped"] == _skipped_again(task, record):
            return {k: v for k, v in record.items() if k != "changed"} | {"seen": now}
    return None


def _is_whole(task: Task, record: dict[str, Any]) -> bool:
    people = record["samples"] + len(record["skipped"])
    return people == len(task.shard) and _matches(task.path, record)


def _skipped_again(task: Task, record: dict[str, Any]) -> list[Any]:
    bad = {entry["person_id"] + entry["garment_id"] for entry in record["skipped"]}
    return [
        _person_or_skip(pair, task)
        for pair in task.pairs()
        if pair.person_id + pair.garment_id in bad
    ]


def _held(task: Task) -> str:
    return held(task.pairs(), task.info.flows)


def _changed_since(task: Task) -> list[str] | None:
    """Files that were replaced since a whole shard was made of them; [] where times don't tell
    which, None where there was no such shard."""
    for record in (_read_record(task), task.known):
        if record and _is_whole(task, record) and record.get("sources"):
            if record["sources"] == _held(task):
                return None
            return newer_than(task.path, task.pairs(), task.root, task.info.flows)
    return None


def _matches(path: Path, record: dict[str, Any]) -> bool:
    try:
        return path.stat().st_size == record["bytes"] and file_sha256(path) == record["sha256"]
    except OSError:
        return False


def _record_path(scratch: Path, file: str) -> Path:
    return scratch / f"{file}.json"


def _read_record(task: Task) -> dict[str, Any] | None:
    try:
        record = read_json(_record_path(task.scratch, task.shard.file))
    except DataError:
        return None
    wanted = {"file", "category", "samples", "bytes", "sha256", "digest", "skipped"}
    return record if wanted <= record.keys() else None
