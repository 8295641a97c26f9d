"""The run folder: configuration, log and checkpoints that hold all that a run needs to go on
exactly.

A checkpoint is a dict of plain containers and tensors (``torch.load(weights_only=True)`` reads it):
``format``, ``version``, ``config`` {"network", "train"}, ``network`` (what to use: the moving
average where there is one), ``optimizer``, ``trained`` (the weights under the moving average, else
None), ``place`` (epoch, update, best figure and the like), ``random`` and ``scaler``.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.network.weight_files import read_torch
from pipeline.base.errors import DataError
from pipeline.base.places import Holds, refuse_to_write
from pipeline.base.storage import whole

FORMAT, VERSION = "fittingroom", 1
LAST, BEST = "last.pt", "best.pt"
CUT_SHORT = ("unexpected pos", "failed writing file", "file write failed")
"""What torch says where its writer could not put all bytes on the disc."""
UNFINISHED = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")  # as pipeline.base.storage names them
LENT = ".best-of-whole-epochs.pt"


@dataclass
class Place:
    """Where a run stands; plain numbers, saved with the weights.

    ``epoch`` counts finished epochs, ``update`` the optimiser steps done in the one after, ``step``
    those of all. ``sums`` are the training terms of the current epoch, added up over ``seen``
    samples.
    """

    epoch: int = 0
    update: int = 0
    step: int = 0
    best: float | None = None
    best_epoch: int = 0
    stale: int = 0
    skipped: int = 0
    seen: int = 0
    sums: dict[str, float] = field(default_factory=dict)

    def share_out(self, factor: float) -> None:
        """Gives each process its part of the epoch's terms so far, where the first process's came
        from ``factor`` times as many processes."""
        self.seen = round(self.seen * factor)
        self.sums = {name: value * factor for name, value in self.sums.items()}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a JSON file that appears whole."""
    with whole(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n")


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes a checkpoint that appears whole; on a full disc the file of that name stays as it was.

    Raises:
        DataError: it could not be written.
    """
    try:
        with whole(path) as part:
            torch.save(state, part)
    except (OSError, RuntimeError) as error:  # torch reports a full disc as a RuntimeError
        kept = "The checkpoint that was there is untouched. " if path.exists() else ""
        again = "go on with --resume" if path.with_name(LAST).exists() else "start the run again"
        raise DataError(
            path,
            f"could not be written ({_why_not(state, error)})",
            "",
            f"{kept}Make room on the disc, then {again}.",
        ) from error


def _why_not(state: object, error: OSError | RuntimeError) -> str:
    """The reason in words: of a full disc torch tells only where in its own code it noticed."""
    text = (getattr(error, "strerror", None) or str(error)).replace("\n", " ")
    if not any(word in text for word in CUT_SHORT):
        return text
    return f"it takes {_bytes(state) / 1e6:,.0f} MB, more than are free on the disc"


def _bytes(value: object) -> int:
    """Of all tensors in plain containers."""
    if isinstance(value, torch.Tensor):
        return value.nbytes
    if isinstance(value, dict):
        return sum(map(_bytes, value.values()))
    return sum(map(_bytes, value)) if isinstance(value, (list, tuple)) else 0


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A training checkpoint of a run folder, on the CPU.

    Raises:
        DataError: there is none, or it is no training checkpoint of this program.
    """
    if not path.exists():
        raise DataError(
            path,
            "no checkpoint",
            "the last.pt of a run that was stopped",
            "Start the run without --resume.",
        )
    state = read_torch(path, "Use an older checkpoint of the run, or start again.")
    if not isinstance(state, dict) or state.get("format") != FORMAT or "place" not in state:
        raise DataError(
            path,
            "no state of a run",
            "a training checkpoint",
            "Weights alone can't be resumed: give them as --init.",
        )
    if state.get("version") != VERSION:
        raise DataError(
            path,
            f"version {state.get('version')}",
            f"version {VERSION}",
            "Resume with the version of this program that wrote it.",
        )
    return state


def seed_all(seed: int) -> None:
    """Every generator starts from ``seed``."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def random_state() -> dict[str, Any]:
    """Every generator's state as tensors and plain numbers."""
    drawn = np.random.get_state(legacy=False)
    twister, state = drawn["state"], random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "python": [state[0], list(state[1]), state[2]],
        "numpy": [
            drawn["bit_generator"],
            torch.from_numpy(twister["key"].astype(np.int64)),
            twister["pos"],
            drawn["has_gauss"],
            drawn["gauss"],
        ],
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Puts the generators where ``random_state`` found them."""
    torch.set_rng_state(state["torch"])
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


class RunFolder:
    """Files of one run. Only the first process of several writes."""

    def __init__(self, path: Path, writes: bool = True):
        self.path, self.writes = path, writes
        if writes:
            path.mkdir(parents=True, exist_ok=True)

    @property
    def last(self) -> Path:
        return self.path / LAST

    @property
    def log_path(self) -> Path:
        return self.path / "log.jsonl"

    def refuse_used(self) -> None:
        """Raises a DataError if another run lives here. One that ended before its first checkpoint
        leaves nothing to go on with, and is no reason. Nor may a dataset or shards lie here."""
        refuse_to_write(self.path, Holds.DATASET, Holds.SHARDS, Holds.UNFINISHED)
        if any(self.path.glob("*.pt")):
            raise DataError(
                self.path,
                "holds a run already",
                "a new folder",
                "Go on with it by --resume, or name another folder.",
            )

    def begin(self) -> None:
        """Forgets what a run that ended before its first checkpoint has told; call it under the
        folder's lock, after ``refuse_used``."""
        if self.writes:
            self.log_path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Removes parts of checkpoints that killed processes left; call it under the folder's
        lock."""
        for part in self.path.glob(".*.tmp") if self.writes else ():
            if UNFINISHED.fullmatch(part.name):
                part.unlink(missing_ok=True)

    def log(self, **entry) -> None:
        """Appends one line to log.jsonl."""
        if self.writes:
            with open(self.log_path, "a") as file:
                file.write(json.dumps(entry) + "\n")

    def read_log(self) -> list[dict[str, Any]]:
        """All entries; a last line cut off by a crash is left out."""
        entries = []
        if self.log_path.exists():
            for line in self.log_path.read_text().splitlines():
                with contextlib.suppress(json.JSONDecodeError):
                    entries.append(json.loads(line))
        return entries

    def write_config(self, content: dict[str, Any]) -> None:
        """Writes config.json: all that the run was told."""
        if self.writes:
            write_json(self.path / "config.json", content)

    def write_summary(self, content: dict[str, Any]) -> None:
        """Writes summary.json."""
        if self.writes:
            write_json(self.path / "summary.json", content)

    def rewind(self, place: Place) -> None:
        """Drops what was logged after a checkpoint: those steps will be done again."""
        if self.writes and self.log_path.exists():
            kept = [
                e
                for e in self.read_log()
                if e.get("step", 0) <= place.step
                and not e.get("passing")
                and e.get("epoch", 0) <= place.epoch + (e["event"] != "epoch")
            ]
            with whole(self.log_path) as part:
                part.write_text("".join(json.dumps(entry) + "\n" for entry in kept))

    def save(self, state: dict[str, Any], name: str = LAST) -> None:
        """Writes a checkpoint; ``best.pt`` and kept ones too are whole checkpoints."""
        if self.writes:
            write_checkpoint(self.path / name, state)

    def copy_last(self, name: str) -> None:
        """Gives the last checkpoint a second name, without a second copy on disc where the file
        system can."""
        if self.writes:
            with whole(self.path / name) as part:
                try:
                    os.link(self.last, part)
                except OSError:
                    part.write_bytes(self.last.read_bytes())

    def lend_best(self) -> None:
        """best.pt becomes the last checkpoint, one inside an epoch; what it was is kept for a run
        that goes on: that one measures whole epochs only, as if it had never stopped."""
        if self.writes:
            os.replace(self.path / BEST, self.path / LENT)
            self.copy_last(BEST)

    def take_back_best(self) -> None:
        """Undoes ``lend_best``, where it was done."""
        if self.writes and (self.path / LENT).exists():
            os.replace(self.path / LENT, self.path / BEST)
