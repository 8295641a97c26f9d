"""Joins the stages: a dataset becomes a folder of shards, in parallel, resumable at any moment.
Knows their order.

One shard is one task. A worker gets paths, makes its own file, and returns a small record; no
picture travels. What is
finished is told by the files themselves: a shard counts only with a record that holds its SHA-256.
    Records lie in
``.progress`` while the run lasts; at the end ``index.json`` takes them up and that folder goes. So
a finished run's folder is the same, byte for byte, however often the run was interrupted.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2

from pipeline.base.errors import DataError
from pipeline.base.manifest import load_manifest
from pipeline.base.places import INDEX_NAME, PROGRESS_NAME, Holds, refuse_to_write
from pipeline.base.storage import only_run_in, read_json, unwritable, write_json
from pipeline.preprocess.backends import run_tasks
from pipeline.preprocess.config import PreprocessConfig
from pipeline.preprocess.make_shard import Task, make_shard
from pipeline.preprocess.plan import Plan, differences, make_plan
from pipeline.preprocess.sources import read_seen, write_seen
from pipeline.shards.checksums import content_checksum
from pipeline.shards.folder import read_index
from pipeline.shards.format import FORMAT, FORMAT_VERSION

CONFIGURATION_NAME = "configuration.json"
LISTED_SKIPS = 100
NOT_IN_INDEX = ("skipped", "seen", "changed")


@dataclass(frozen=True)
class Summary:
    """How a run ended.

    Args:
        packed: people in the folder.
        skipped: bad pairs, as in the index.
        made, kept: shards that this run made, and found finished.
        changed: shards that were made again because files of theirs had changed, each with those
            that times of change tell.
        mended: people in the folder with a mended mask or label map.
        guessed: people whose label map follows from joints and colours alone (``annotate``).
    """

    index: Path
    packed: int
    skipped: tuple[dict[str, Any], ...]
    made: int
    kept: int
    changed: tuple[tuple[str, tuple[str, ...]], ...] = ()
    mended: int = 0
    guessed: int = 0

    def __str__(self) -> str:
        return f"{self.packed:,} packed, {len(self.skipped):,} skipped ({self.index})"


@dataclass(frozen=True)
class PartSummary:
    """How one part of a run ended: people in its shards, bad pairs, shards just made."""

    part: tuple[int, int]
    packed: int
    skipped: int
    made: int

    def __str__(self) -> str:
        number, count = self.part
        return f"part {number} of {count}: {self.packed:,} packed, {self.skipped:,} skipped"


class BadPairs(DataError):
    """More unusable pairs than ``--max-skips`` allows, with the list."""

    def __init__(self, root: str, skipped: Sequence[dict[str, Any]], allowed: int):
        self.skipped = list(skipped)
        super().__init__(
            root,
            f"{len(self.skipped):,} bad pair{'s' * (len(self.skipped) != 1)}",
            f"at most {allowed}",
            "Mend or replace the files and run again, or allow more with --max-skips: finished "
            "shards are kept. The command check lists every defect; to leave out whom its "
            "--exclude lists, preprocess into another folder",
        )
        self.args = (root, self.skipped, allowed)

    def __str__(self) -> str:
        lines = [
            f"  {s['category']}/{s['person_id']} {s['file']}: {s['reason']}"
            for s in self.skipped[:LISTED_SKIPS]
        ]
        if len(self.skipped) > LISTED_SKIPS:
            lines.append(f"  and {len(self.skipped) - LISTED_SKIPS} more")
        return "\n".join([super().__str__(), *lines])


def preprocess(
    root: Path,
    out: Path,
    config: PreprocessConfig | None = None,
    *,
    jobs: int = 1,
    backend: str = "loky",
    scheduler: str | None = None,
    max_skips: int = 0,
    progress: Callable[[int], None] | None = None,
    **choices: Any,
) -> Summary:
    """Masks and shards of a dataset; goes on where an earlier run with the same options stopped.

    Args:
        root: Dress Code, or a part of it.
        out, jobs, backend, scheduler, max_skips, progress: see ``run_plan``.
        config: what is packed, and how; the defaults where None.
        choices: fields of ``config`` with another value.

    Raises:
        DataError: nothing to pack, too many bad pairs, another configuration in ``out``, another
            run there, or a place that can't be written. Everything finished is kept.
    """
    plan = make_plan(root, replace(config or PreprocessConfig(), **choices))
    return run_plan(
        plan,
        out,
        jobs=jobs,
        backend=backend,
        scheduler=scheduler,
        max_skips=max_skips,
        progress=progress,
    )


def run_plan(
    plan: Plan,
    out: Path,
    *,
    jobs: int = 1,
    backend: str = "loky",
    scheduler: str | None = None,
    max_skips: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Summary:
    """Makes every shard of a plan that is not whole yet, then the index.

    Args:
        out: folder for the shards; made if missing.
        jobs, backend, scheduler: see ``backends.run_tasks``; the bytes do not depend on them.
        max_skips: bad pairs to tolerate; one more ends the run, with the list.
        progress: called with the number of people of each shard that is done.

    Raises:
        DataError: as ``preprocess``.
    """
    out = Path(out).absolute()
    refuse_to_write(out, Holds.DATASET, Holds.RUN)
    threads = cv2.getNumThreads()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(out, error, resumable=True) from error
    try:
        with only_run_in(out):
            known = _begin(plan, out)
            try:
                records, made = _make_shards(
                    plan, out, known, max_skips, progress, (jobs, backend, scheduler)
                )
                return _finish(plan, out, records, made)
            except BaseException:
                _clear_unfinished(out / PROGRESS_NAME)  # of workers that were ended with the run
                raise
    finally:
        cv2.setNumThreads(threads)  # workers in this process set it to one


def run_part(
    plan: Plan,
    out: Path,
    part: tuple[int, int],
    *,
    jobs: int = 1,
    max_skips: int = 0,
    progress: Callable[[int], None] | None = None,
) -> PartSummary:
    """Makes the shards of one part of a plan, for machines that share nothing but the folder.

    When all parts have ended, ``run_plan`` finds every shard whole and writes the index.

    Args:
        part: (number, count), from 1: shard ``n`` of the plan belongs to part ``n % count + 1``.
        out, jobs, max_skips, progress: as of ``run_plan``; ``max_skips`` counts this part's pairs.

    Raises:
        DataError: as ``run_plan``; or this part is running already.
    """
    number, count = part
    out = Path(out).absolute()
    refuse_to_write(out, Holds.DATASET, Holds.RUN)
    mine = replace(plan, shards=plan.shards[number - 1 :: count])
    own = out / PROGRESS_NAME / f"part-{number}-of-{count}"
    try:
        own.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(own, error, resumable=True) from error
    with only_run_in(own):
        known = _open(plan, out)
        records, made = _make_shards(mine, out, known, max_skips, progress, (jobs, "loky", None))
    skipped = sum(len(record["skipped"]) for record in records)
    return PartSummary(part, sum(r["samples"] for r in records), skipped, made)


def _begin(plan: Plan, out: Path) -> dict[str, dict[str, Any]]:
    """As ``_open``, and clears away what killed workers left."""
    scratch = out / PROGRESS_NAME
    known = _open(plan, out)
    try:
        _clear_unfinished(scratch)
    except OSError as error:
        raise unwritable(scratch, error, resumable=True) from error
    return known


def _open(plan: Plan, out: Path) -> dict[str, dict[str, Any]]:
    """Refuses a folder of another configuration, and returns known records."""
    scratch = out / PROGRESS_NAME
    index = read_index(out) if (out / INDEX_NAME).is_file() else None
    if index:
        _refuse_other(out, index["configuration"], plan)
    if (scratch / CONFIGURATION_NAME).is_file():
        _refuse_other(out, read_json(scratch / CONFIGURATION_NAME), plan)
    try:
        scratch.mkdir(exist_ok=True)
    except OSError as error:
        raise unwritable(scratch, error, resumable=True) from error
    write_json(scratch / CONFIGURATION_NAME, plan.configuration, scratch)
    return _known_records(index, read_seen(out)) if index else {}


def _clear_unfinished(scratch: Path) -> None:
    for unfinished in scratch.glob(".*.tmp"):
        unfinished.unlink(missing_ok=True)


def _refuse_other(out: Path, before: dict[str, Any], plan: Plan) -> None:
    if found := differences(before, plan.configuration):
        raise DataError(
            out,
            f"shards of another configuration: {'; '.join(found)}",
            remedy="Use the same options, choose another folder, or delete this one",
        )


def _known_records(index: dict[str, Any], seen: dict[str, str]) -> dict[str, dict[str, Any]]:
    """File name -> record as ``make_shard`` returned it."""
    records = {shard["file"]: {**shard, "skipped": []} for shard in index["shards"]}
    for name in set(records) & set(seen):
        records[name]["seen"] = seen[name]
    for entry in index["skipped"]:
        records[entry["shard"]]["skipped"].append(entry)
    return records


def _make_shards(
    plan: Plan,
    out: Path,
    known: dict[str, dict[str, Any]],
    max_skips: int,
    progress: Callable[[int], None] | None,
    where: tuple[int, str, str | None],
) -> tuple[list[dict[str, Any]], int]:
    """Records of all shards in the plan's order, and how many were made just now."""
    records: dict[str, dict[str, Any]] = {}
    made = skips = 0

    def tasks() -> Iterator[Task]:
        for shard in plan.shards:
            if skips > max_skips:
                # too many bad pairs: begin nothing more, but finish and keep what is under way
                return
            info = plan.info(shard.category)
            yield Task(shard, info, plan.root, out, known.get(shard.file), plan.masks)

    sizes = {shard.file: len(shard) for shard in plan.shards}
    for record, is_new in run_tasks(make_shard, tasks(), *where):
        records[record["file"]] = record
        made += is_new
        skips += len(record["skipped"])
        if progress:
            progress(sizes[record["file"]])
    ordered = [records[file] for file in sizes if file in records]
    if skips > max_skips:
        raise BadPairs(
            str(plan.root), [entry for record in ordered for entry in record["skipped"]], max_skips
        )
    return ordered, made


def _finish(plan: Plan, out: Path, records: list[dict[str, Any]], made: int) -> Summary:
    """Writes the index and removes the scratch folder: from here on the folder is complete."""
    skipped = [entry for record in records for entry in record["skipped"]]
    packed = sum(record["samples"] for record in records)
    if not packed:
        raise BadPairs(str(plan.root), skipped, 0)
    facts = load_manifest()
    shards = [
        {key: value for key, value in record.items() if key not in NOT_IN_INDEX}
        for record in records
    ]
    index = {
        "format": f"{FORMAT}s",
        "format_version": FORMAT_VERSION,
        "configuration": plan.configuration,
        "people": packed,
        "shards": shards,
        "skipped": skipped,
        "source": facts.dataset,
        "licence": facts.licence.notice,
    }
    index["checksum"] = content_checksum(index)
    write_json(out / INDEX_NAME, index, out / PROGRESS_NAME)
    write_seen(out, {record["file"]: record["seen"] for record in records}, out / PROGRESS_NAME)
    for _ in range(
        3
    ):  # a worker that outlived an earlier, killed run may put a file there meanwhile
        shutil.rmtree(out / PROGRESS_NAME, ignore_errors=True)
    changed = tuple((r["file"], tuple(r["changed"])) for r in records if "changed" in r)
    kept = len(records) - made
    mended = sum(record.get("mended", 0) for record in records)
    guessed = sum(len(record.get("guessed", [])) for record in records)
    return Summary(out / INDEX_NAME, packed, tuple(skipped), made, kept, changed, mended, guessed)
