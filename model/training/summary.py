"""What a run came to: its best epoch, and what the held-out people say of the epochs after it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.stats import t as student

from model.training.config import TrainConfig, better

FEWEST_PEOPLE = 6  # with fewer not even all of them getting worse is unlikely (1 in 2 ** n)
FEWEST_EPOCHS = 2  # after the best one: a single worse epoch is no trend
SURE = 0.975
LEVEL = 0.005  # of the best figure: where less than that would be seen, nothing is there
WOBBLES, WOBBLES_RISING = 3.0, 2.0  # the second where each epoch is worse than the one before


@dataclass(frozen=True)
class Ending:
    """How a run ended.

    Args:
        reason: why before its last epoch; None where it was not.
        signal: the name of the signal that ended it, or None.
        step: optimiser steps done.
        unfinished: True where ``--resume`` would go on.
    """

    reason: str | None = None
    signal: str | None = None
    step: int = 0
    unfinished: bool = False


@dataclass(frozen=True)
class Verdict:
    """What the epochs after the best one say.

    Args:
        kind: "over-fitting", "diverging" (training got worse too), "unsteady", "level", "too few
            people", "too early", or "best at the end".
        text: the same for a person.
        since: the first epoch of over-fitting, else None.
    """

    kind: str
    text: str
    since: int | None = None


def measured_epochs(
    entries: list[dict[str, Any]], figure: str, passing: bool = False
) -> list[dict[str, Any]]:
    """The entries of trained epochs that hold the figure, in order; with ``passing`` also looks
    inside an epoch."""
    return [
        e
        for e in entries
        if e["event"] == "epoch"
        and e["epoch"] > 0
        and _is_number(e.get(figure))
        and (passing or not e.get("passing"))
    ]


def best_of(known: list[dict[str, Any]], figure: str) -> dict[str, Any]:
    """The first entry that no other one beats."""
    best = known[0]
    for entry in known[1:]:
        if better(figure, entry[figure], best[figure]):
            best = entry
    return best


def judge(entries: list[dict[str, Any]], figure: str) -> Verdict:
    """The verdict on a run's epochs since its best one.

    Over-fitting is told where the held-out figure is worse since then, on average over the epochs,
    by more than two things explain: who was held out (a paired t-test over people, of each one's
    mean change) and how unsteady the run is from epoch to epoch (second differences of the means);
    and where the training loss fell meanwhile.

    Args:
        entries: of a run's log, in order; ``people`` in an epoch's are the figure's values, one a
            person, the same people in the same order throughout.
        figure: a validation figure, see ``model.training.config.FIGURES``.
    """
    known = measured_epochs(entries, figure)
    best = best_of(known, figure)
    later = [e for e in known if e["epoch"] > best["epoch"]]
    if not later:
        return Verdict("best at the end", "the last epoch is the best: more epochs may help")
    if len(later) < FEWEST_EPOCHS:
        return Verdict("too early", "one epoch since the best: too early to speak of a trend")
    changes = _changes(best, later, figure)
    worse = float(changes.mean())
    told = f"worse by {100 * worse:.1f} % on average since epoch {best['epoch']}"
    if changes.shape[1] > 1 or "people" in best:
        doubt = _doubt(changes.mean(0))
        if doubt <= LEVEL and worse < doubt:
            return Verdict("level", f"level since epoch {best['epoch']}, no over-fitting seen")
        if worse < doubt:
            people = f"too few people to tell ({changes.shape[1]}"
            doubtful = ")" if math.isinf(doubt) else f": it could be {100 * doubt:.1f} % by chance)"
            return Verdict("too few people", f"{told}: {people}{doubtful}")
    if worse < _wobble(changes.mean(1)):
        return Verdict("unsteady", f"{told}, no more than it goes up and down: no trend seen")
    if not _training_fell(best, later):
        return Verdict("diverging", f"{told}, and so is the training loss: try a lower --lr")
    since = int(later[0]["epoch"])
    return Verdict(
        "over-fitting",
        f"over-fitting from epoch {since} on: the training loss fell, held-out people got {told}",
        since,
    )


def summarise_run(
    entries: list[dict[str, Any]], config: TrainConfig, ending: Ending | None = None
) -> dict[str, Any]:
    """The final summary as plain values; ``text`` is for a person."""
    ending = ending or Ending()
    epochs = [e for e in entries if e["event"] == "epoch"]
    done = [e for e in epochs if e["epoch"] > 0]
    known = measured_epochs(entries, config.best, passing=True)
    best = best_of(known, config.best) if known else None
    verdict = judge(entries, config.best) if measured_epochs(entries, config.best) else None
    start = next((e[config.best] for e in epochs if not e["epoch"] and config.best in e), None)
    warnings = [e["text"] for e in entries if e["event"] == "warning"]
    summary: dict[str, Any] = {
        "epochs": done[-1]["epoch"] if done else 0,
        "stopped": ending.reason,
        "signal": ending.signal,
        "figure": config.best,
        "best_epoch": best["epoch"] if best else None,
        "best": best[config.best] if best else None,
        "before_training": start,
        "beats_start": None if not best or start is None else _beats(config.best, best, start),
        "verdict": verdict.kind if verdict else None,
        "overfitting_from": verdict.since if verdict else None,
        "warnings": warnings,
    }
    lines = [_told_ending(summary["epochs"], ending)]
    lines += _told_best(config.best, best, start) if best else _told_nothing(config, epochs)
    if verdict and verdict.kind == "best at the end" and summary["beats_start"] is False:
        verdict = replace(verdict, text="the last epoch is the best of those trained")
    lines += [verdict.text] if verdict else []
    lines += [f"{len(warnings)} warnings, see log.jsonl"] if warnings else []
    return summary | {"text": "; ".join(lines) + "."}


def _told_ending(epochs: float, ending: Ending) -> str:
    if ending.unfinished and ending.reason:
        return f"Stopped after step {ending.step} ({ending.reason}), go on with --resume"
    return f"{epochs:g} epochs" + (f" (stopped: {ending.reason})" if ending.reason else "")


def _told_best(figure: str, best: dict[str, Any], start: float | None) -> list[str]:
    people = best.get("count")
    on = f"{people} held-out people" if people else "held-out people"
    told = [f"best {figure} on {on} {best[figure]:.4f} after epoch {best['epoch']:.4g}"]
    if start is not None and not _beats(figure, best, start):
        told.append(f"never better than before training ({start:.4f})")
    elif start is not None:
        told[0] += f", before training {start:.4f}"
    return told


def _told_nothing(config: TrainConfig, epochs: list[dict[str, Any]]) -> list[str]:
    """Why there is no best figure."""
    if not any("count" in e for e in epochs):
        return ["nothing was held out, so the newest epoch counts as the best"] if epochs else []
    if any(e["epoch"] > 0 for e in epochs):
        return [f"{config.best} was never a number on the held-out people"]
    return ["no epoch was finished, so nothing was compared"]


def _beats(figure: str, best: dict[str, Any], start: float) -> bool:
    return better(figure, best[figure], start)


def _changes(best: dict[str, Any], later: list[dict[str, Any]], figure: str) -> np.ndarray:
    """(epochs, people): how much worse than at the best epoch, as a part of the best figure; a
    single column of means where a log does not hold the people."""
    sign = 1.0 if better(figure, 0.0, 1.0) else -1.0
    names = "people" if all(len(e.get("people", [])) for e in (best, *later)) else figure
    rows = np.array([np.atleast_1d(e[names]) for e in (best, *later)], np.float64)
    rows = rows[:, np.isfinite(rows).all(0)]
    return sign * (rows[1:] - rows[0]) / max(abs(best[figure]), 1e-12)


def _doubt(people: np.ndarray) -> float:
    """By how much the mean may be off with these people; infinity with too few."""
    if len(people) < FEWEST_PEOPLE:
        return math.inf
    return float(student.ppf(SURE, len(people) - 1) * people.std(ddof=1) / math.sqrt(len(people)))


def _wobble(means: np.ndarray) -> float:
    """By how much the mean over the epochs may be off by their ups and downs alone.

    The standard deviation of an epoch about its neighbours comes from second differences, and by
    their median, so that a single jump does not count.
    """
    bends = np.abs(np.diff([0.0, *means], 2))
    deviation = float(np.median(bends)) / (0.6745 * math.sqrt(6))
    rising = bool((np.diff(means) > 0).all())
    return (WOBBLES_RISING if rising else WOBBLES) * deviation * math.sqrt(1 + 1 / len(means))


def _training_fell(best: dict[str, Any], later: list[dict[str, Any]]) -> bool:
    """True too where a log does not tell."""
    losses = [e["train_loss"] for e in later if _is_number(e.get("train_loss"))]
    before = best.get("train_loss")
    return not losses or not _is_number(before) or sum(losses) / len(losses) < before


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
