"""A run that goes on with another number of processes: the same steps, shared out otherwise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from model.training.config import TrainConfig
from pipeline.base.errors import DataError
from pipeline.base.storage import read_json


def pairs_per_step(config: TrainConfig, processes: int) -> int:
    """Pairs of all processes from one step of the optimiser to the next."""
    return config.batch_size * config.accumulate * processes


def shared_out(
    config: TrainConfig, state: dict[str, Any], processes: int, path: Path
) -> TrainConfig:
    """The configuration with which so many processes take the steps of a run that goes on.

    A step takes the next pairs of the epoch's order, as many as it had; who computes which of them
    does not matter to it. So with another number of processes ``batch_size`` and ``accumulate``
    follow, where the user has not named others: the largest batch that is none larger than it was,
    since that one fitted the memory.

    Args:
        config: the run's own, or with another ``batch_size`` and ``accumulate``.
        state: the run's checkpoint.
        path: of the run.

    Raises:
        DataError: a step's pairs can't be shared out evenly.
    """
    was = TrainConfig.from_json(state["config"]["train"])
    pairs = pairs_per_step(was, state["processes"])
    named = _shares(config) not in (_shares(was), _shares(_told(path) or was))
    if named or pairs_per_step(config, processes) == pairs:
        return config
    if pairs % processes:
        fitting = [n for n in range(1, pairs + 1) if not pairs % n]
        raise DataError(
            path,
            f"{processes} processes, and steps of {_counted(pairs)}",
            "a number of processes that divides them: " + ", ".join(map(str, fitting)),
            "The order of the pairs would not be the run's. Start as many, or begin another run "
            "from its best.pt with --init",
        )
    each = pairs // processes
    batch = max(n for n in range(1, was.batch_size + 1) if not each % n)
    return replace(config, batch_size=batch, accumulate=each // batch)


def _shares(config: TrainConfig) -> tuple[int, int]:
    return config.batch_size, config.accumulate


def _told(run: Path) -> TrainConfig | None:
    """What config.json has: later than the checkpoint where a run that went on elsewhere ended
    before its first."""
    path = run / "config.json"
    if not path.exists():
        return None
    own = read_json(path, "Start the run again, without --resume").get("train")
    return TrainConfig.from_json(own) if isinstance(own, dict) else None


def differs_in_pairs(was: TrainConfig, before: int, now: TrainConfig, processes: int) -> list[str]:
    """What keeps a run from going on because its steps would have another number of pairs; empty
    where they have as many."""
    pairs = pairs_per_step(was, before), pairs_per_step(now, processes)
    if pairs[0] == pairs[1]:
        return []
    names = [
        f"{name}: {getattr(was, name)}, now {getattr(now, name)}"
        for name in ("batch_size", "accumulate")
        if getattr(was, name) != getattr(now, name)
    ]
    names += [f"processes: {before}, now {processes}"] if before != processes else []
    return [*names, f"pairs a step: {pairs[0]}, now {pairs[1]}"]


def told_elsewhere(was: TrainConfig, before: int, now: TrainConfig, processes: int) -> list[str]:
    """Lines for the person on a run that goes on shared out otherwise; empty where nothing
    changes."""
    if (was.batch_size, was.accumulate, before) == (now.batch_size, now.accumulate, processes):
        return []
    count = "1 process" if processes == 1 else f"{processes} processes"
    times = f", {now.accumulate} times a step" if now.accumulate > 1 else ""
    lines = [
        f"Going on with {count} in place of {before}, {_counted(now.batch_size)} at a time{times}: "
        f"the same {_counted(pairs_per_step(now, processes))} a step, in the same order."
    ]
    if not now.frozen and was.batch_size != now.batch_size:
        lines.append(
            f"Batch statistics are of {_counted(now.batch_size)} from here on, not of "
            f"{was.batch_size}: another training than it was."
        )
    return lines


def _counted(pairs: int) -> str:
    return "1 pair" if pairs == 1 else f"{pairs} pairs"
