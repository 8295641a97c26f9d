"""People of a source written in a layout: in parallel, resumable, with a card at the end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2

from pipeline import __version__
from pipeline.base.errors import DataError
from pipeline.base.names import REGION, WHOLE
from pipeline.base.storage import only_run_in, read_json, write_json, write_whole
from pipeline.dataset.person import Person
from pipeline.layouts import archives
from pipeline.layouts.card import render_card
from pipeline.layouts.lists import ListRow, write_lists
from pipeline.layouts.subject import Subject
from pipeline.layouts.tables import LAYOUTS, OOTD_NAMES, Layout
from pipeline.masks.render import MASK_VERSION
from pipeline.people.in_dataset import DatasetPeople
from pipeline.people.in_shards import ShardPeople
from pipeline.people.source import People
from pipeline.preprocess.backends import run_tasks

CHUNK = 32
ARCHIVE_CHUNK = 256
JOURNAL = ".export"
RECORD = "export.json"


@dataclass(frozen=True)
class Settings:
    """What makes two exports the same.

    Attributes:
        layout: key of ``tables.LAYOUTS``.
        style: mask style.
        size_hw: height and width of everything.
    """

    layout: tuple[str, str]
    style: str
    size_hw: tuple[int, int]

    @property
    def row(self) -> Layout:
        return LAYOUTS[self.layout]

    def to_json(self) -> dict[str, Any]:
        about = {**asdict(self), "mask_version": MASK_VERSION, "software": __version__}
        return json.loads(json.dumps(about))


@dataclass(frozen=True)
class Chunk:
    """Some people of one split: what is sent to a worker."""

    settings: Settings
    root: Path
    name: str
    people: People
    digest: str


@dataclass(frozen=True)
class Summary:
    """What an export holds at its end."""

    out: Path
    people: dict[str, int]
    left_out: list[dict[str, Any]]
    made: int

    def __str__(self) -> str:
        counts = ", ".join(f"{n:,} of {split}" for split, n in self.people.items())
        return f"{counts} exported, {len(self.left_out)} left out ({self.out / 'README.md'})"


def export_data(
    people: dict[str, People],
    out: Path,
    settings: Settings,
    source: str,
    jobs: int = 1,
    max_skips: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Summary:
    """Writes people into ``out``; killed and started again it goes on where it was.

    Args:
        people: split -> its people. A split that an earlier call wrote stays in the lists.
        out: a new folder, or one of the same settings.
        source: what the card says of where they come from.
        max_skips: people that may be left out; with more the lists are not written.
        progress: called with the number of people done.

    Raises:
        DataError: the folder holds another export, a place can't be written, or too many people
            had to be left out.
    """
    if settings.layout[0] == "parquet":
        archives.check_parquet()
    try:
        (out / JOURNAL).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(out, f"cannot be made ({error.strerror})", "a folder") from error
    with only_run_in(out):
        _same_settings(out, settings)
        made = 0
        for done, changed in run_tasks(write_chunk, _chunks(people, out, settings), jobs):
            made += changed
            if progress:
                progress(done)
        return _finish(people, out, settings, source, max_skips, made)


def write_chunk(chunk: Chunk) -> tuple[int, bool]:
    """One chunk's people written, unless they are there already: how many, and whether it wrote."""
    cv2.setNumThreads(1)
    journal = chunk.root / JOURNAL / f"{chunk.name}.json"
    if _is_whole(chunk, journal):
        return len(chunk.people.names), False
    rows, files, left_out = _write(chunk)
    done = {"digest": chunk.digest, "rows": rows, "files": files, "left_out": left_out}
    write_json(journal, done)
    return len(chunk.people.names), True


def _write(chunk: Chunk) -> tuple[list[Any], list[str], list[dict[str, Any]]]:
    rows: list[Any] = []
    files: list[str] = []
    left_out: list[dict[str, Any]] = []
    packed: list[Any] = []
    kind = chunk.settings.layout[0]
    for i, who in enumerate(chunk.people.names):
        person = chunk.people.load(i, pictures=True)
        try:
            if person.problems:
                raise DataError(who.key, person.problems[0])
            subject = Subject(
                person, chunk.settings.style, chunk.settings.size_hw, _originals(chunk.people, i)
            )
            if kind == "webdataset":
                packed.append(archives.tar_sample(subject))
            elif kind == "parquet":
                packed.append(archives.parquet_row(subject))
            else:
                files += _write_files(chunk, subject)
        except DataError as error:
            reason = str(error).removeprefix(f"{who.key}: ")
            left_out.append({"person": who.key, "garment": who.garment_id, "reason": reason})
            continue
        rows.append([str(who.category), who.person_id, who.garment_id])
    if packed:
        files.append(_write_archive(chunk, kind, packed))
    return rows, files, left_out


def _write_files(chunk: Chunk, subject: Subject) -> list[str]:
    """All layers first, so that a person is there as a whole or not at all."""
    made = {}
    for file in chunk.settings.row.files:
        path = file.path.format(**_fields(subject.person, chunk.name))
        try:
            made[path] = file.layer(subject)
        except DataError:
            if not file.optional:
                raise
    for path, data in made.items():
        place = chunk.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, data)
    return list(made)


def _write_archive(chunk: Chunk, kind: str, packed: list[Any]) -> str:
    ending = "tar" if kind == "webdataset" else "parquet"
    path = f"data/{chunk.name}.{ending}"
    (chunk.root / path).parent.mkdir(parents=True, exist_ok=True)
    write = archives.write_tar if kind == "webdataset" else archives.write_parquet
    write(chunk.root / path, packed)
    return path


def _fields(person: Person, chunk_name: str) -> dict[str, str]:
    who = person.who
    return {
        "category": str(who.category),
        "person": who.person_id,
        "garment": who.garment_id,
        "phase": "train" if who.split == "train" else "test",
        "ootd": OOTD_NAMES[who.category],
    }


def _originals(people: People, i: int) -> dict[str, Path]:
    if not isinstance(people, DatasetPeople):
        return {}
    record = people.records[i]
    return {"photo": record.image, "garment": record.garment}


def _chunks(people: dict[str, People], out: Path, settings: Settings) -> Iterator[Chunk]:
    archive = not settings.row.files
    step = ARCHIVE_CHUNK if archive else CHUNK
    for split, source in people.items():
        count = len(source.names)
        parts = -(-count // step)
        for number in range(parts):
            rows = range(number * step, min(count, (number + 1) * step))
            part = source.part(rows)
            name = f"{split}-{number:05d}" + (f"-of-{parts:05d}" if archive else "")
            yield Chunk(settings, out, name, part, _digest(part))


def _digest(people: People) -> str:
    """Changes where the people, or files that they are read from, change."""
    facts: list[Any] = [[str(w.category), w.person_id, w.garment_id, w.split] for w in people.names]
    if isinstance(people, DatasetPeople):
        for record in people.records:
            places = (record.image, record.garment, record.keypoints)
            for path in (*places, record.label_map, record.dense):
                told = path.stat() if path is not None and path.exists() else None
                facts.append([told.st_size, told.st_mtime_ns] if told else None)
    elif isinstance(people, ShardPeople):
        facts.append([s["sha256"] for folder in people.folders for s in folder.shards])
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _is_whole(chunk: Chunk, journal: Path) -> bool:
    if not journal.is_file():
        return False
    try:
        done = read_json(journal)
        files = [chunk.root / name for name in done["files"]]
        return done["digest"] == chunk.digest and all(f.is_file() for f in files)
    except (DataError, KeyError, TypeError):
        return False  # a spoilt note: the chunk is written again


def _same_settings(out: Path, settings: Settings) -> None:
    path, wanted = out / JOURNAL / "settings.json", settings.to_json()
    if path.is_file():
        found = read_json(path, "Choose a new folder")
        differing = sorted(k for k in wanted if found.get(k) != wanted[k])
        if differing:
            told = "; ".join(f"{k} was {found.get(k)!r}, is {wanted[k]!r}" for k in differing)
            raise DataError(out, f"holds another export: {told}", remedy="Choose a new folder")
        return
    strangers = [p.name for p in out.iterdir() if p.name not in (JOURNAL, ".lock")]
    if strangers:
        raise DataError(
            out,
            f"is not empty ({strangers[0]})",
            "a new folder, or one that this command began",
            "Choose another name",
        )
    write_json(path, wanted)


def _forget(out: Path, journal: Path) -> None:
    """Takes an archive that the list no longer has away; loose files may belong to others."""
    for name in read_json(journal)["files"]:
        if name.startswith("data/"):
            (out / name).unlink(missing_ok=True)
    journal.unlink()


def _finish(
    people: dict[str, People],
    out: Path,
    settings: Settings,
    source: str,
    max_skips: int,
    made: int,
) -> Summary:
    """Lists, card and record, of this call's splits and of earlier ones."""
    journals: dict[str, list[dict[str, Any]]] = {}
    now = {c.name for c in _chunks(people, out, settings)}
    for path in sorted((out / JOURNAL).glob("*-*.json")):
        split = path.stem.split("-")[0]
        if split in people and path.stem not in now:
            _forget(out, path)  # of an earlier list of another length
            continue
        journals.setdefault(split, []).append(read_json(path))
    rows = {
        split: [ListRow(*row) for done in parts for row in done["rows"]]
        for split, parts in sorted(journals.items())
    }
    left_out = [
        {"split": split, **entry}
        for split, parts in sorted(journals.items())
        for done in parts
        for entry in done["left_out"]
    ]
    counts = {split: len(pairs) for split, pairs in rows.items()}
    record = {**settings.to_json(), "source": source, "people": counts, "left_out": left_out}
    if any(those.frame != WHOLE for those in people.values()):
        record["frame"] = REGION
    if len(left_out) > max_skips:
        write_json(out / JOURNAL / RECORD, record)
        raise DataError(
            out,
            f"{len(left_out)} people can't be exported, first {left_out[0]['person']}: "
            f"{left_out[0]['reason']}",
            f"at most {max_skips}",
            f"All are listed in {out / JOURNAL / RECORD}. Mend them, or pass "
            f"--max-skips {len(left_out)}",
        )
    write_lists(settings.row.lists, out, rows)
    write_json(out / RECORD, record)
    write_whole(out / "README.md", render_card(record, settings.row, rows).encode())
    return Summary(out, counts, left_out, made)
