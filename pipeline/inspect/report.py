"""The report on masks: one self-contained HTML page, or a contact sheet.

The page loads nothing from anywhere. Pictures of up to ``EMBEDDED`` people are inside of it; those
of more lie in a folder beside it and are loaded when they come into view.
"""

from __future__ import annotations

import base64
import html
import json
import math
import os
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from joblib import Parallel, delayed

from pipeline.base.errors import DataError
from pipeline.base.labels import GARMENT_LABELS, Category, Joint, is_in
from pipeline.base.storage import unwritable, write_whole
from pipeline.dataset.identity import Identity
from pipeline.dataset.person import Person
from pipeline.inspect import overlays, report_pictures
from pipeline.inspect.inspection import CHUNK, Question, Verdict, load, score_names
from pipeline.inspect.thresholds import higher_is_better, limit_of
from pipeline.masks.person import person_masks
from pipeline.people.source import People

EMBEDDED = 60
"""Up to so many people the pictures are part of the page."""
HEIGHTS = (560, 384)
"""Height of pictures inside the page, and beside it."""
WORTH_A_LOOK = 0.5
"""From this ``trouble`` on the page counts a person as worth a look."""
SHEET_ROWS = 60

_HERE = Path(__file__).parent
_SCRIPTS = ("report_person.js", "report_summary.js", "report_page.js", "report_viewer.js")


@dataclass(frozen=True)
class About:
    """Words and settings of a report: its title, one line on where the people come from, how rows
    are ordered."""

    title: str
    text: str
    sort: str = "order"


def write_report(
    path: Path,
    people: People,
    verdicts: Sequence[Verdict],
    question: Question,
    about: About,
    jobs: int = 1,
    progress: Callable[[int], None] = lambda n: None,
    everyone: Sequence[Verdict] | None = None,
) -> Path | None:
    """Writes the page, and for many people the folder of their pictures beside it; both appear when
    whole.

    Args:
        path: the page, such as ``report.html``; the folder is then ``report_files``.
        people: where the verdicts' rows point.
        verdicts: whom to show, in this order.
        question: as it was asked of them.
        about: title, text, order.
        jobs: worker processes.
        progress: called with the number of people just drawn.
        everyone: whom the summary counts; by default those who are shown.

    Returns:
        The folder of pictures, or None where they are inside of the page.

    Raises:
        DataError: the place can't be written.
    """
    path = Path(path)
    folder = path.with_name(f"{path.stem}_files") if len(verdicts) > EMBEDDED else None
    scratch = folder and folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
    try:
        if scratch:
            scratch.mkdir(parents=True)
        rows = _rows(
            people, verdicts, question, scratch, folder.name if folder else "", jobs, progress
        )
        size = report_pictures.tile_size(people.size_hw, HEIGHTS[folder is not None])
        page = build_page(rows, verdicts, question, size, about, everyone)
        if folder and scratch:
            _swap(scratch, folder)
        write_whole(path, page.encode())
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _swap(scratch: Path, folder: Path) -> None:
    """Puts the new folder of pictures in the place of an old one of an earlier report."""
    if folder.exists():
        if not folder.is_dir() or any(p.name not in _FOLDERS for p in folder.iterdir()):
            raise DataError(
                folder,
                "holds other files",
                "pictures of an earlier report",
                "Choose another --out or move the folder away",
            )
        old = scratch.with_suffix(".old")
        os.replace(folder, old)
        os.replace(scratch, folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.replace(scratch, folder)


_FOLDERS = {str(c) for c in Category}


def _rows(
    people: People,
    verdicts: Sequence[Verdict],
    question: Question,
    scratch: Path | None,
    name: str,
    jobs: int,
    progress: Callable[[int], None],
) -> list[dict[str, Any]]:
    """What the page knows of each person, in the verdicts' order; draws and stores the pictures."""
    parts = [
        range(start, min(start + CHUNK, len(verdicts))) for start in range(0, len(verdicts), CHUNK)
    ]
    asked = replace(question, twins=None)
    tasks = (
        delayed(_draw_part)(
            people.part([verdicts[i].row for i in part]),
            part,
            [verdicts[i].who for i in part],
            asked,
            scratch,
            name,
        )
        for part in parts
    )
    drawn: dict[int, dict[str, Any]] = {}
    if parts:
        for rows in Parallel(n_jobs=min(jobs, len(parts)), return_as="generator_unordered")(tasks):
            drawn.update(rows)
            progress(len(rows))
    return [drawn[i] for i in range(len(verdicts))]


def _draw_part(
    people: People,
    numbers: Sequence[int],
    names: Sequence[Identity],
    question: Question,
    scratch: Path | None,
    name: str,
) -> dict[int, dict[str, Any]]:
    cv2.setNumThreads(1)
    rows = {}
    for local, (number, who) in enumerate(zip(numbers, names)):
        person = load(people, local, who, pictures=True)
        made = report_pictures.make_pictures(
            person, question, people.size_hw, HEIGHTS[scratch is not None]
        )
        stem = f"{who.category}/{who.person_id}_{number}"
        rows[number] = {
            "p": _store(made.jpeg, scratch, name, f"{stem}.jpg", "image/jpeg"),
            "l": _store(made.png, scratch, name, f"{stem}.png", "image/png"),
            "j": made.joints,
            "a": made.labels,
            "d": made.parts,
            "x": made.lacks,
            "e": made.problems,
        }
    return rows


def _store(data: bytes | None, scratch: Path | None, name: str, file: str, kind: str) -> str | None:
    """What the page writes into ``src``: a file's place beside it, or the data itself."""
    if data is None:
        return None
    if scratch is None:
        return f"data:{kind};base64,{base64.b64encode(data).decode()}"
    target = scratch / file
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(data)
    return f"{name}/{file}"


def build_page(
    rows: Sequence[Mapping[str, Any]],
    verdicts: Sequence[Verdict],
    question: Question,
    picture_hw: tuple[int, int],
    about: About,
    everyone: Sequence[Verdict] | None = None,
) -> str:
    """The page's HTML.

    Args:
        rows: for each verdict the sources of its pictures (``p``, ``l``), joints ``j``, places of
            names ``a`` and ``d``, what is lacking ``x`` and problems ``e``.
        verdicts: the same people.
        question: styles that are shown.
        picture_hw: height and width of one picture.
        about: title, text, order.
        everyone: whom the summary counts; by default the verdicts.
    """
    names = score_names(everyone or verdicts)
    content = {
        "about": about.text,
        "sort": about.sort,
        "style": question.style,
        "against": question.against,
        "picture": list(picture_hw),
        "gutter": report_pictures.GUTTER,
        "look": WORTH_A_LOOK,
        "layers": list(report_pictures.layer_names(question)),
        "categories": [str(c) for c in Category],
        "scores": [_score(name) for name in names],
        "labels": _table(overlays.ATR_NAMES, overlays.ATR_COLOURS),
        "parts": _table(overlays.DENSE_NAMES, overlays.DENSE_COLOURS),
        "marks": _marks(question),
        "joints": [j.name.replace("_", " ").lower() for j in Joint],
        "limbs": [
            [int(a), int(b), _css(overlays.limb_colour(i))]
            for i, (a, b) in enumerate(overlays.LIMBS)
        ],
        "everyone": _everyone(everyone, names)
        if everyone and len(everyone) > len(verdicts)
        else None,
        "people": [_row(row, verdict, names) for row, verdict in zip(rows, verdicts)],
    }
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    fill = {
        "title": html.escape(about.title),
        "style": _file("report_page.css"),
        "script": "\n".join(_file(name) for name in _SCRIPTS),
        "data": text.replace("<", "\\u003c"),
    }
    page = _file("report_page.html")
    pieces = page.split("{{")  # one pass: nothing that is put in is searched again
    return pieces[0] + "".join(
        fill[name] + rest for name, rest in (piece.split("}}", 1) for piece in pieces[1:])
    )


def _row(row: Mapping[str, Any], verdict: Verdict, names: Sequence[str]) -> dict[str, Any]:
    who = verdict.who
    problems = list(dict.fromkeys([*verdict.problems, *row["e"]]))
    return {
        **row,
        "k": who.key,
        "c": who.category.index,
        "g": who.garment_id,
        "s": who.split,
        "t": verdict.trouble,
        "v": _values(verdict, names),
        "m": verdict.missing,
        "n": verdict.notes,
        "e": problems,
    }


def _everyone(verdicts: Sequence[Verdict], names: Sequence[str]) -> list[list[Any]]:
    """For each person the category, worth a look or not, usable or not, scores."""
    return [
        [
            v.who.category.index,
            bool(v.problems or v.notes) or v.trouble >= WORTH_A_LOOK,
            bool(v.problems),
            _values(v, names),
        ]
        for v in verdicts
    ]


def _values(verdict: Verdict, names: Sequence[str]) -> list[float | None]:
    values = [verdict.scores.get(name, math.nan) for name in names]
    return [None if math.isnan(v) else round(v, 5) for v in values]


def _score(name: str) -> dict[str, Any]:
    limit = limit_of(name)
    bounds = [limit.bounds(c) for c in Category]
    return {
        "name": name,
        "title": limit.title,
        "meaning": limit.meaning,
        "percent": limit.percent,
        "higher": higher_is_better(name),
        "limits": None if bounds[0] is None else bounds,
    }


def _marks(question: Question) -> list[list[str]]:
    marks = {
        "hidden": overlays.HIDDEN,
        "mask's outline": overlays.MASK_LINE,
        "garment's outline": overlays.GARMENT_LINE,
        "leak: garment visible": overlays.LEAK,
        "identity hidden": overlays.IDENTITY,
    }
    if question.against:
        marks |= {
            f"only {question.style}": overlays.ONLY_A,
            f"only {question.against}": overlays.ONLY_B,
            "both": overlays.BOTH,
        }
    return [[name, _css(colour)] for name, colour in marks.items()]


def _table(names: Sequence[str], colours: np.ndarray) -> list[list[str]]:
    return [[name, _css(colour)] for name, colour in zip(names, colours)]


def _css(colour) -> str:
    return "#" + "".join(f"{int(c):02x}" for c in colour)


def _file(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def make_sheet(
    people: People,
    verdicts: Sequence[Verdict],
    question: Question,
    height: int = 300,
    progress: Callable[[int], None] = lambda n: None,
) -> np.ndarray:
    """A contact sheet: a row for each person with all sources and the masks, headed by its key and
    scores.

    Args:
        people: where the verdicts' rows point.
        verdicts: whom to show; at most ``SHEET_ROWS`` are.
        question: styles that are shown.
        height: of one picture in pixels.
        progress: called with 1 for each row.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    rows, captions = [], []
    names = ["photo", "label map", "DensePose", "keypoints", f"mask, {question.style}"]
    names += [f"mask, {question.against}", "difference"] if question.against else []
    for verdict in verdicts[:SHEET_ROWS]:
        person = load(people.part([verdict.row]), 0, verdict.who, pictures=True)
        rows.append(_sheet_row(person, question, people.size_hw))
        told = ", ".join(verdict.reasons) or "nothing to remark"
        captions.append(f"{verdict.who.key}   {told}")
        progress(1)
    return overlays.grid(rows, [*names, "agnostic", "garment"], captions, height=height)


def _sheet_row(person: Person, question: Question, size_hw: tuple[int, int]) -> list[np.ndarray]:
    grey = np.full((*size_hw, 3), 225, np.uint8)
    photo = grey if person.photo is None else person.photo
    garment = identity = None
    if person.label_map is not None:
        garment = is_in(person.label_map, GARMENT_LABELS[person.who.category])
        identity = report_pictures.identity_region(person)
    row = [
        photo,
        grey if person.label_map is None else overlays.colour_labels(person.label_map),
        grey if person.dense_i is None else overlays.colour_dense(person.dense_i),
        photo if person.keypoints is None else overlays.draw_keypoints(photo, person.keypoints),
    ]
    try:
        masks = list(person_masks(person, question.styles).values())
    except DataError:
        masks = []
    row += [overlays.mask_overlay(photo, mask, garment, identity) for mask in masks] or [
        grey
    ] * len(question.styles)
    if question.against:
        row.append(overlays.mask_difference(photo, *masks) if masks else grey)
    row.append(np.where(masks[0][..., None], 0, photo).astype(np.uint8) if masks else grey)
    return [*row, grey if person.garment is None else person.garment]
