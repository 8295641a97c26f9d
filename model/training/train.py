"""A run, from what the user chose to its summary: everything is set up, checked and told here; the
loop is ``trainer``'s."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from model.loss.losses import PerceptualNetworks
from model.network.config import NetworkConfig
from model.training.banner import opening
from model.training.config import TrainConfig
from model.training.elsewhere import pairs_per_step, shared_out
from model.training.fits import advice, what_fits
from model.training.processes import Processes
from model.training.published import is_published, other_frame, recognition
from model.training.run_state import LAST, RunFolder, read_checkpoint, seed_all
from model.training.setup import (
    Data,
    build_network,
    build_setting,
    plan,
    refuse_other_run,
    resolved,
)
from model.training.trainer import Trainer
from model.training.watch import Bar, Stop
from pipeline.base.storage import only_run_in


def train(
    shards: Sequence[Path],
    run: Path,
    config: TrainConfig,
    *,
    network: NetworkConfig | None = None,
    init: Path | None = None,
    resume: bool = False,
    unpaired: Sequence[Path] = (),
    perceptual: Callable[[], PerceptualNetworks | None] = lambda: None,
    device: str | None = None,
    dry_run: bool = False,
    fit: bool = False,
    note: Callable[[str], None] = print,
    bar: Bar | None = None,
    begun: float | None = None,
) -> dict[str, Any]:
    """Trains on shards into a run folder.

    Args:
        shards: shard folders of the train split.
        run: a new folder, or with ``resume`` that of a run that was stopped.
        network: shape to build; None takes that of ``init``, else the full one.
        init: weights to start from.
        unpaired: shard folders of an unpaired list, for the pictures only.
        perceptual: makes the networks of the perceptual terms, or None for L1 alone.
        device: "cpu", "cuda" or None for what is there.
        dry_run: only say what would be done; nothing is written.
        fit: only try steps of more and more pairs, and say what fits; nothing is written.
        note: takes lines for the person who watches.
        bar: moves a bar in place of the lines of steps (``model.training.watch.Reporter``).
        begun: ``time.monotonic()`` from which the time limit counts; None for now.

    Returns:
        The summary of the run (``model.training.summary``), the plan of a dry run, or with ``fit``
        a "text" on what fits.

    Raises:
        DataError: the data, the weights or the run folder do not fit, or the run has diverged.
        Ended: told to end before the first step, or a second time.
    """
    processes = Processes.join(device)
    stop = Stop(config.max_minutes, processes, begun)
    with stop.on_signals():
        try:
            state = read_checkpoint(Path(run) / LAST) if resume else None
            if state:
                config = shared_out(config, state, processes.count, Path(run))
            config = resolved(config, init, state, network)
            data = Data.open(shards, config, unpaired)
            if state:
                refuse_other_run(
                    state, config, data.identity(), network, processes.count, Path(run)
                )
                network, init = NetworkConfig.from_dict(state["config"]["network"]), None
            seed_all(config.seed)
            built = build_network(network, init, config.start)
            networks = None if dry_run else perceptual()  # a plan needs no weights
            setting = build_setting(config, data, built, processes.device, networks)
            if dry_run:
                told = plan(setting, data, processes.count, processes.device)
                told["loss"]["perceptual"] = config.perceptual != "none"
                return told
            if fit:
                trials = []
                for trial in what_fits(setting, data, processes):
                    note(str(trial))
                    trials.append(trial)
                return {"text": advice(trials, setting)}
            folder = RunFolder(Path(run), writes=processes.first)
            if not resume and processes.first:
                folder.refuse_used()
            with only_run_in(folder.path) if processes.first else contextlib.nullcontext():
                folder.sweep()
                if not resume:
                    folder.begin()
                trainer = Trainer(setting, data, folder, processes, note, stop, bar)
                source = folder.last if state else init
                lines = opening(setting, data, processes.count, processes.device, source)
                if init:
                    lines += other_frame(init, setting.identity["frame"])
                if init and is_published(init, built.config):
                    size, pairs = setting.identity["size"], pairs_per_step(config, processes.count)
                    frame = setting.identity["frame"]
                    lines += recognition(init, config, size, pairs, frame)
                for line in lines:
                    trainer.report.note(line)
                if state:
                    trainer.resume(state)
                return trainer.fit()
        finally:
            processes.leave()
