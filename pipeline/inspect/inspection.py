"""Scores of many people's masks: drawn or taken from shards, judged in parallel, ordered, told."""

from __future__ import annotations

import csv
import io
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from joblib import Parallel, delayed

from pipeline.base.errors import DataError
from pipeline.base.storage import write_json, write_whole
from pipeline.dataset.identity import Identity
from pipeline.dataset.index import PairRecord
from pipeline.dataset.person import GUESSED, Person, read_person
from pipeline.dataset.pose import joints_inside
from pipeline.inspect.room import Donor, room
from pipeline.inspect.score_zones import find_zones
from pipeline.inspect.scores import oddities, score_mask
from pipeline.inspect.thresholds import LIMITS, concern, higher_is_better, limit_of, tell, trouble
from pipeline.masks.person import person_masks
from pipeline.masks.region import cut_region
from pipeline.masks.render import MISLABELLED, mislabelled_share, render_agnostic_mask
from pipeline.people.source import People

CHUNK = 16
"""People a task: long enough that sending it costs nothing, short enough for a lively progress
bar."""


NOTE_TROUBLE = 0.5
"""What a note adds to a person's trouble: enough to be worth a look."""
NOT_KNOWN = "label map guessed: what the mask leaves visible of the garment is not known"


@dataclass(frozen=True)
class Question:
    """What is asked of every person.

    Attributes:
        style: the mask that is scored.
        against: another style to compare with, or None.
        twins: for people of shards: their records in the dataset, by key, to tell masks that are
            out of date.
        change: also score ``cf``, which draws several masks more.
        donors: whose garments ``room`` lays on each body; without any it is not scored.
    """

    style: str = "standard"
    against: str | None = None
    twins: Mapping[str, PairRecord] | None = None
    change: bool = False
    donors: Sequence[Donor] = ()

    @property
    def styles(self) -> tuple[str, ...]:
        return (self.style, self.against) if self.against else (self.style,)


@dataclass
class Verdict:
    """What was found about one person.

    Attributes:
        row: number of the person in the People that were asked about.
        scores: by name; empty where no mask could be had. ``iou`` and ``stored`` only where asked
            for.
        missing: sources that are not there. notes: oddities in words. problems: why the person
            can't be used.
    """

    row: int
    who: Identity
    scores: dict[str, float] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def trouble(self) -> float:
        """0 = nothing to look at; people who can't be used come before all others. A note is worth
        a look whatever the scores say."""
        if self.problems:
            return 1000.0
        told = trouble(self.scores, self.who.category)
        return told + NOTE_TROUBLE if self.notes else told

    @property
    def reasons(self) -> list[str]:
        """What is wrong, in words, the worst first."""
        category = self.who.category
        worst = sorted(self.scores, key=lambda name: -concern(name, self.scores[name], category))
        told = [
            f"{limit_of(n).title} {tell(n, self.scores[n])}"
            for n in worst
            if concern(n, self.scores[n], category) >= 0.1
        ]
        return [*self.problems, *told, *self.notes]


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Overlap of two masks, 0 to 1; two empty ones are equal."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def judge(person: Person, row: int, question: Question) -> Verdict:
    """Scores of one person. Whatever goes wrong becomes one of its problems."""
    verdict = Verdict(row, person.who, missing=list(person.missing), problems=list(person.problems))
    try:
        masks = person_masks(person, question.styles)
        mask = masks[question.style]
        verdict.scores = _scores(person, mask, question)
        if person.sources.get("label_map") == GUESSED:
            verdict.notes.append(NOT_KNOWN)
        if (joints := _seen_joints(person)) is not None:
            verdict.notes += oddities(
                person.who.category, joints, person.label_map, person.dense_i, person.keypoints
            )
            verdict.notes += _mislabelled(person)
        if question.against:
            verdict.scores["iou"] = iou(mask, masks[question.against])
        if question.twins is not None:
            _compare_with_dataset(verdict, person, mask, question)
    except DataError as error:
        if not verdict.problems:
            verdict.problems.append(str(error))
    except Exception as error:  # one person's bad luck must not cost the report of all the others
        verdict.problems.append(f"{type(error).__name__}: {error}")
    return verdict


def _seen_joints(person: Person) -> np.ndarray | None:
    """The joints that lie in the picture; None where there are none at all."""
    if person.keypoints is None or person.crop is None:
        return person.keypoints
    return joints_inside(person.keypoints, person.size_hw)


def _mislabelled(person: Person) -> list[str]:
    """A note where much of the garment bears another class: masks hide it, but scores count it as
    the other clothes."""
    cut_off = person.crop is not None and not person.crop.is_whole
    if cut_off or person.label_map is None or person.keypoints is None:
        return []
    sources = person.keypoints, person.dense_i, person.label_map, person.photo
    share = mislabelled_share(person.who.category, *sources)
    return [f"{share:.0%} of the garment bears another class"] if share >= MISLABELLED else []


def _scores(person: Person, mask: np.ndarray, question: Question) -> dict[str, float]:
    """``score_mask`` where its sources are there; without a label map only what the mask itself
    tells. Of a part of a photo no mask can be drawn again, so that ``cf`` and ``room`` are
    missing."""
    joints = _seen_joints(person)
    if person.label_map is None or person.keypoints is None or joints is None:
        return {
            "area": np.count_nonzero(mask) / mask.size,
            "pieces": float(cv2.connectedComponents(mask.astype(np.uint8))[0] - 1),
        }
    who, style = person.who, question.style
    sources = joints, person.dense_i
    cut_off = person.crop is not None and not person.crop.is_whole

    def render(label_map: np.ndarray) -> np.ndarray:
        return render_agnostic_mask(who.category, *sources, label_map, style, person.photo)

    again = render if question.change and not cut_off else None
    scores = score_mask(who.category, *sources, person.label_map, mask, again)
    scores["joints_missing"] = float(np.isnan(person.keypoints[:, 0]).sum())
    if question.donors and not cut_off:
        zones = find_zones(who.category, *sources, person.label_map)
        if zones is not None:
            scores["room"] = room(who.key, zones, mask, question.donors)
    return {name: float(value) for name, value in scores.items()}


def _compare_with_dataset(
    verdict: Verdict, person: Person, mask: np.ndarray, question: Question
) -> None:
    """Adds the score ``stored`` and a note where the shard's mask is not what the dataset gives
    now."""
    record = (question.twins or {}).get(verdict.who.key)
    if record is None:
        verdict.notes.append("not in the dataset's pair lists")
        return
    size_hw, style = (mask.shape[0], mask.shape[1]), question.style
    whole = person.crop is None
    twin = read_person(
        record,
        size_hw if whole else None,
        pictures=("photo",),
        reduced=whole,
        tolerant=True,
    )
    try:
        if whole:
            fresh = person_masks(twin, (style,))[style]
        else:
            fresh = cut_region(twin, (style,), size_hw).masks[style]
    except DataError as error:
        twin.problems.append(str(error))
    if twin.problems:
        verdict.notes.append(f"the dataset gives no mask now: {twin.problems[0]}")
        return
    different = np.count_nonzero(fresh != mask)
    verdict.scores["stored"] = iou(fresh, mask)
    if different:
        verdict.notes.append(f"mask differs from the dataset's in {different:,} pixels")


def load(people: People, i: int, who: Identity, pictures: bool = False) -> Person:
    """Person ``i``; where not even that is possible (a shard that broke since it was listed), one
    with the reason."""
    try:
        return people.load(i, pictures)
    except DataError as error:
        return Person(who, problems=[str(error)])


def _judge_part(
    people: People, rows: Sequence[int], names: Sequence[Identity], question: Question
) -> list[Verdict]:
    cv2.setNumThreads(1)
    return [
        judge(load(people, i, who), row, question) for i, (row, who) in enumerate(zip(rows, names))
    ]


def judge_all(
    people: People,
    question: Question,
    jobs: int = 1,
    progress: Callable[[int], None] = lambda n: None,
) -> list[Verdict]:
    """Verdicts of everybody, in the people's order, whatever the number of jobs.

    Args:
        people: whom to judge.
        question: what to ask.
        jobs: worker processes.
        progress: called with the number of people just finished.
    """
    names = people.names
    parts = [range(start, min(start + CHUNK, len(names))) for start in range(0, len(names), CHUNK)]
    tasks = (
        delayed(_judge_part)(
            people.part(part),
            part,
            names[part.start : part.stop],
            _only(question, names[part.start : part.stop]),
        )
        for part in parts
    )
    found: list[Verdict] = []
    for verdicts in Parallel(n_jobs=min(jobs, len(parts)), return_as="generator_unordered")(tasks):
        found += verdicts
        progress(len(verdicts))
    return sorted(found, key=lambda v: v.row)


def _only(question: Question, names: Sequence[Identity]) -> Question:
    """The question with the twins of these people alone: what a worker needs."""
    if question.twins is None:
        return question
    keys = {who.key for who in names}
    return replace(question, twins={k: r for k, r in question.twins.items() if k in keys})


def badness(verdict: Verdict, by: str) -> float:
    """Sort key, worst highest: ``trouble``, or a score turned so that its bad end is high.

    People who can't be used come first, those of whom the value is not known last.
    """
    if by == "trouble" or verdict.problems:
        return verdict.trouble if by == "trouble" else math.inf
    value = verdict.scores.get(by, math.nan)
    if math.isnan(value):
        return -math.inf
    return -value if higher_is_better(by) or by == "iou" else value


def choose(
    verdicts: Sequence[Verdict],
    worst: int | None = None,
    by: str = "trouble",
    sample: int | None = None,
    seed: int = 0,
) -> list[Verdict]:
    """The people to show: the worst ones first, or a random sample in its usual order, or
    everybody.

    Args:
        worst: this many, per the score ``by``.
        sample: this many by chance, the same ones for the same ``seed``.
    """
    chosen = list(verdicts)
    if sample is not None and sample < len(chosen):
        chosen = sorted(random.Random(seed).sample(chosen, sample), key=lambda v: v.row)
    if worst is not None:
        chosen = sorted(chosen, key=lambda v: -badness(v, by))[:worst]
    return chosen


def score_names(verdicts: Sequence[Verdict]) -> list[str]:
    """Names of all scores that occur, in the order of tables."""
    seen = dict.fromkeys(name for v in verdicts for name in v.scores)
    known = [name for name in LIMITS if name in seen]
    return known + [name for name in seen if name not in LIMITS]


def beyond(
    verdicts: Sequence[Verdict], below: Mapping[str, float], above: Mapping[str, float]
) -> list[tuple[Verdict, str]]:
    """People who fail a threshold, with the reason. Those who can't be used fail too; unknown
    values do not."""
    failed = []
    for verdict in verdicts:
        reasons = list(verdict.problems)
        for name, value in below.items():
            if verdict.scores.get(name, math.inf) < value:
                reasons.append(f"{name} {verdict.scores[name]:.4g} below {value:g}")
        for name, value in above.items():
            if verdict.scores.get(name, -math.inf) > value:
                reasons.append(f"{name} {verdict.scores[name]:.4g} above {value:g}")
        if reasons:
            failed.append((verdict, "; ".join(reasons)))
    return failed


def write_csv(path: Path, verdicts: Sequence[Verdict]) -> None:
    """One line a person: ids, trouble, every score (empty where unknown), what is missing, notes,
    problems."""
    names, text = score_names(verdicts), io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(
        [
            "category",
            "person",
            "garment",
            "split",
            "trouble",
            *names,
            "missing",
            "notes",
            "problems",
        ]
    )
    for v in verdicts:
        values = [v.scores.get(n, math.nan) for n in names]
        table.writerow(
            [
                v.who.category,
                v.who.person_id,
                v.who.garment_id,
                v.who.split,
                f"{v.trouble:g}",
                *("" if math.isnan(x) else f"{x:.6g}" for x in values),
                "; ".join(v.missing),
                "; ".join(v.notes),
                "; ".join(v.problems),
            ]
        )
    write_whole(path, text.getvalue().encode())


def write_scores(path: Path, verdicts: Sequence[Verdict], about: Mapping[str, object]) -> None:
    """The same as JSON: ``{..about, "people": [...]}``; unknown values are null."""
    people = [
        {
            "category": str(v.who.category),
            "person": v.who.person_id,
            "garment": v.who.garment_id,
            "split": v.who.split,
            "trouble": v.trouble,
            "scores": {n: None if math.isnan(x) else x for n, x in v.scores.items()},
            "missing": v.missing,
            "notes": v.notes,
            "problems": v.problems,
        }
        for v in verdicts
    ]
    write_json(path, {**about, "people": people})


REJECTS = "# People whose masks fail or are worth a look: category/person  # why"


def write_rejects(path: Path, rejected: Sequence[tuple[Verdict, str]]) -> None:
    """``category/person_id  # reason`` a line: what ``preprocess --exclude`` takes."""
    lines = [f"{v.who.key}  # {' '.join(reason.split())}" for v, reason in rejected]
    write_whole(path, "".join(f"{line}\n" for line in (REJECTS, *dict.fromkeys(lines))).encode())


def check_rejects(path: Path) -> None:
    """DataError where a file is there that ``write_rejects`` has not written: such as the list of
    ``check --exclude``, which nobody wants to lose."""
    if path.is_file() and path.stat().st_size:
        with path.open(errors="replace") as file:
            if file.readline().rstrip() != REJECTS:
                found, wanted = "another list is there", "a name of its own"
                remedy = "preprocess takes several lists: repeat --exclude"
                raise DataError(path, found, wanted, remedy)
