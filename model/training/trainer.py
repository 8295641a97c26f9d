"""The training loop, top to bottom: ``Trainer.fit`` is the recipe.

What makes resume exact: the order of an epoch, every sample and the learning rate are functions of
seed, epoch and step; all else that changes (weights, optimiser, average, scaler, generators,
counters) is in the checkpoint.
"""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from model.data.dataset import TryOnDataset
from model.data.loading import Loader, in_batches
from model.data.sampler import BatchSampler, MicroBatch, chosen_evenly, epoch_order, plan_epoch
from model.network.devices import full_memory_told
from model.training.banner import estimate, room
from model.training.board import Board, TensorBoard, WeightsAndBiases
from model.training.config import TrainConfig, better
from model.training.elsewhere import told_elsewhere
from model.training.pictures import FixedPeople, draw_curves, forget_after
from model.training.processes import Processes
from model.training.run_state import (
    BEST,
    FORMAT,
    LAST,
    VERSION,
    Place,
    RunFolder,
    random_state,
    restore_random_state,
)
from model.training.schedule import (
    MovingAverage,
    learning_rate,
    parameter_groups,
    recalibrate,
    statistics_kept,
    training_mode,
)
from model.training.setup import (
    Data,
    Setting,
    depth_at,
)
from model.training.sound import StatisticsKept, all_finite, diverged, sound_norm
from model.training.summary import Ending, summarise_run
from model.training.validate import collapse, gathered, inputs_of, measure, mode_gap, summarise
from model.training.watch import Bar, LookEnded, Reporter, Stop
from pipeline.base.errors import DataError

MOST_SKIPPED = 20  # steps without a finite gradient, one after the other, until training gives up


class Trainer:
    """One run: the network, its optimiser, and where it stands.

    Args:
        setting: configuration, network, loss: what ``setup`` made of the user's choices.
        data: training and validation pairs, and who is drawn.
        run: the folder that everything goes to.
        note: takes a line for the person who watches.
        stop: what may end the run early.
        bar: moves a bar.
    """

    def __init__(
        self,
        setting: Setting,
        data: Data,
        run: RunFolder,
        processes: Processes,
        note: Callable[[str], None] = print,
        stop: Stop | None = None,
        bar: Bar | None = None,
    ):
        self.setting, self.config, self.data, self.run, self.processes = (
            setting,
            setting.config,
            data,
            run,
            processes,
        )
        self.device, self.network, self.loss = processes.device, setting.network, setting.loss
        boards = self._boards() if processes.first else []
        self.report = Reporter(self.config, run, boards, processes, note, bar)
        self.stop = stop or Stop(self.config.max_minutes, processes)
        self.model = self._wrapped()
        self.statistics = StatisticsKept(self.network)
        groups = parameter_groups(self.network, self.config.flow_rate, self.config.light_rate)
        self.optimizer = torch.optim.AdamW(
            groups, lr=self.config.lr, weight_decay=self.config.weight_decay
        )
        self.average = MovingAverage(self.network, self.config.ema) if self.config.ema else None
        self.scaler = torch.amp.GradScaler(
            self.device.type, enabled=setting.autocast is torch.float16
        )
        self.people = FixedPeople(*data.people) if self.config.pictures else None
        self.place = Place()
        self.failures = 0  # steps without a finite gradient, one after the other
        self.saved = time.monotonic()
        self.look_seconds = self.save_seconds = 0.0  # what the last ones took

    # ---- the recipe

    def fit(self) -> dict[str, Any]:
        """Trains to the last epoch, or until patience or time is over. Returns the summary of the
        run."""
        with full_memory_told(*self._in_words()):
            return self._fit()

    def _fit(self) -> dict[str, Any]:
        self.run.write_config(self.setting.to_json())
        self.stop.gentle = True
        self._tell_time()
        if self.place.step == 0:
            self._begin()
        while self.place.epoch < self.config.epochs and not self.stop.decided:
            if self._train_epoch():
                self._finish_epoch()
            else:
                self._leave(look=self._may_look())
        for board in self.report.boards:
            board.close()
        summary = summarise_run(self.run.read_log(), self.config, self._how_it_ended())
        self.run.write_summary(summary)
        return summary

    def _begin(self) -> None:
        """Before the first step: statistics where they are measured once, and the first look."""
        if self.config.statistics == "calibrated":
            self._measure_statistics()
            self.average = MovingAverage(self.network, self.config.ema) if self.config.ema else None
        with contextlib.suppress(LookEnded):
            self._look(epoch=0)
        if self.stop.now(self._leaving_seconds()):
            self._leave(look=False)

    def _tell_time(self) -> None:
        """Tries the work of one step and says what all will take. Nothing is changed, and memory
        that does not suffice shows before minutes have gone by."""
        updates = self._plan(self.place.epoch)
        left = (self.config.epochs - self.place.epoch) * len(updates) - self.place.update
        if left <= 0:
            return
        micro = updates[0][0]
        keys = [(self.place.epoch, index) for index in micro.indices]
        batch = next(iter(Loader(self.data.train, [keys], self.device)))
        training_mode(self.network, frozen=self.config.frozen)
        warm = self.device.type == "cuda" or self.config.compile
        with statistics_kept(self.network):
            for _ in range(2 if warm else 1):
                begun = time.monotonic()
                self._graded(batch, micro.weight)
                if self.device.type == "cuda":
                    torch.cuda.synchronize(self.device)
        self.optimizer.zero_grad(set_to_none=True)
        seconds = (time.monotonic() - begun) * len(updates[0])
        self.report.note(estimate(seconds, left))
        if self.device.type == "cuda":
            self.report.note(room(self.device))

    def _train_epoch(self) -> bool:
        """The updates of an epoch that are left. False if training has to stop before its end."""
        updates = self._plan(self.place.epoch)
        loader = self.loader(BatchSampler(updates, self.place.epoch, self.place.update))
        self.report.start_epoch(self.place)
        with contextlib.closing(iter(loader)) as batches:  # its workers end here, not at some time
            for update in updates[self.place.update :]:
                begun = time.monotonic()
                rate = self._set_rate(len(updates))
                self.update(update, batches)
                self.report.step(self.place, len(updates), rate)
                self._save_now_and_then()
                needed = time.monotonic() - begun + self._leaving_seconds()
                if self.place.update < len(updates) and self.stop.now(needed):
                    return False
        return True

    def _leaving_seconds(self) -> float:
        """What a stop inside an epoch will take: a look, and two checkpoints."""
        return 1.1 * self.look_seconds + 2 * self.save_seconds

    def update(self, update: list[MicroBatch], batches: Iterator[dict[str, Any]]) -> None:
        """One step of the optimiser: every micro-batch forward and backward, then the weights
        move."""
        training_mode(self.network, frozen=self.config.frozen)
        self.statistics.keep()
        self.optimizer.zero_grad(set_to_none=True)
        terms = []
        for micro in update:
            with self._quiet_unless(micro.last):
                found = self._forward_and_backward(next(batches), micro.weight)
            terms.append((found, len(micro.indices) if micro.weight else 0))
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip or math.inf)
        figure, counted = self._fetched(norm, terms)
        sound = self._is_sound(figure)
        if sound:
            self.scaler.step(self.optimizer)
            self._count(counted)
        else:
            self.statistics.restore()
        self.scaler.update()
        self.place.update += 1
        self.place.step += 1
        if self.average and sound:
            self.average.update(self.network, self.place.step)

    def _forward_and_backward(self, batch: dict[str, Any], weight: float) -> dict[str, Tensor]:
        """Adds ``weight`` times the gradient of one micro-batch. Returns the terms of its loss,
        "total" among them."""
        return self._graded(batch, weight)

    def _graded(self, batch: dict[str, Any], weight: float) -> dict[str, Tensor]:
        person = batch["person"]
        factor = self.scaler.scale(torch.full((), weight, device=self.device))
        with torch.autocast(
            self.device.type, self.setting.autocast, enabled=self.setting.autocast is not None
        ):
            _, levels, flows = self.model(
                *inputs_of(batch, self.device),
                return_levels=True,
                return_flows=True,
                depth=depth_at(self.config.coarse_first, self._done()),
            )
            return self.loss.backward_through(levels, person, factor, batch, flows)

    def _finish_epoch(self) -> None:
        """Measures, draws, and saves an epoch that is done."""
        place, before = self.place, replace(self.place, sums=dict(self.place.sums))
        sums = self.processes.share(place.sums | {"seen": place.seen})
        means = {name: value / sums["seen"] for name, value in sums.items() if name != "seen"}
        place.epoch, place.update, place.seen, place.sums = place.epoch + 1, 0, 0, {}
        try:
            weights, value = self._look(place.epoch, means)
        except LookEnded:  # the epoch will be measured when the run goes on
            self.place = before
            self._leave(look=False)
            return
        self._judge(value)
        self._save(weights)
        if self.config.keep_every and place.epoch % self.config.keep_every == 0:
            self.run.copy_last(f"epoch-{place.epoch:04d}.pt")
        if place.best_epoch == place.epoch:
            self.run.copy_last(BEST)
        if self.config.patience and place.stale >= self.config.patience:
            self.stop.because(f"no better {self.config.best} in {place.stale} epochs")
        elif place.epoch < self.config.epochs:
            self.stop.now(self._leaving_seconds())

    def _may_look(self) -> bool:
        """Whether a run that stops inside an epoch still has the time to measure what it came to:
        after SIGTERM the system waits some seconds only."""
        hurried = self.stop.signal not in (None, signal.SIGINT)
        return not self.processes.any(hurried or self.stop.seconds_left() < self.look_seconds)

    def _leave(self, look: bool) -> None:
        """Saves a run that stops inside an epoch, at once.

        Then, with ``look``, measures it: weights that are fit for testing go beside the trained
        ones, and into best.pt if they are better.
        """
        self._save()
        if look:
            trained = self._weights()
            part = self.place.update / len(self._plan(self.place.epoch))
            try:
                weights, value = self._look(self.place.epoch + part, passing=True)
            except LookEnded:
                return
            self._save({"network": weights["network"], "trained": trained})
            if self.place.best_epoch and better(self.config.best, value, self.place.best):
                self.run.lend_best()
        if not self.place.best_epoch:
            self.run.copy_last(BEST)

    def _how_it_ended(self) -> Ending:
        stop, place = self.stop, self.place
        return Ending(
            stop.reason,
            stop.signal.name if stop.signal else None,
            place.step,
            place.epoch < self.config.epochs and not self._out_of_patience(),
        )

    def _out_of_patience(self) -> bool:
        return bool(self.config.patience) and self.place.stale >= self.config.patience

    # ---- looking at the network

    def _look(
        self, epoch: float, means: dict[str, float] | None = None, passing: bool = False
    ) -> tuple[dict[str, Any], float]:
        """Validates and draws the network as it will be used.

        Args:
            epoch: epochs done, with a fraction inside one.
            means: terms of the training loss in the epoch.
            passing: True where the run stops inside an epoch: a resumed run forgets this look.

        Returns:
            The weights for the checkpoint, and the figure that chooses the best one (NaN without).

        Raises:
            LookEnded: the run has to end first; the network is as it was.
        """
        begun, own = time.monotonic(), self._weights()
        ended = self.stop.over if passing else self.stop.now
        entry: dict[str, Any] = {"event": "epoch", "epoch": epoch, "step": self.place.step}
        entry |= {"passing": True} if passing else {}
        entry |= {
            "train_" + ("loss" if name == "total" else name): value
            for name, value in (means or {}).items()
        }
        try:
            if ended():
                raise LookEnded
            with self._as_used():
                entry |= self._validate(epoch, ended)
                if self.people and self.processes.first:
                    self.people.draw(self.network, self.device, self.run.path, epoch)
                used = self._weights()
        except LookEnded:
            self.network.load_state_dict(own)
            raise
        self.report.epoch(entry)
        if self.processes.first:
            draw_curves(self.run.read_log(), self.run.path / "curves.png")
        self.processes.wait()
        self.look_seconds = time.monotonic() - begun
        weights = {"network": used, "trained": own if self.average else None}
        return weights, entry.get(self.config.best, math.nan)

    @contextlib.contextmanager
    def _as_used(self) -> Iterator[None]:
        """Inside, the network is what a user gets: averaged weights, running statistics measured
        again."""
        with self.average.applied(self.network) if self.average else contextlib.nullcontext():
            if self.config.statistics == "recalibrate" and self.place.step:
                self._measure_statistics()
            self.processes.spread(self.network.buffers())
            yield

    def _measure_statistics(self) -> None:
        """Running statistics as the mean over the first pairs of the run, with the weights as they
        are."""
        sampler = BatchSampler(
            plan_epoch(self._order(0)[: self.config.recalibration], self.config.batch_size), epoch=0
        )
        recalibrate(self.network, (inputs_of(batch, self.device) for batch in self.loader(sampler)))

    def _watched(self, loader: Loader, ended: Callable[[], bool]) -> Iterator[dict[str, Any]]:
        """The loader's batches, until the run has to end; asked as often in every process."""
        fewest, total = self.processes.least(len(loader)), len(loader)
        with contextlib.closing(iter(loader)) as batches:
            for number, batch in enumerate(batches):
                if number < fewest and ended():
                    raise LookEnded
                self.report.show(number, total, "measuring held-out people")
                yield batch

    def _validate(self, epoch: float, ended: Callable[[], bool]) -> dict[str, Any]:
        """Figures on the held-out pairs and the gap between the modes; warns where the output has
        collapsed."""
        if not len(self.data.validation):
            return {}
        rows = gathered(
            measure(
                self.network,
                self._watched(self._validation_loader(), ended),
                self.loss.values,
                self.device,
                self.setting.lpips,
            ),
            self.processes,
        )
        figures = summarise(rows) | {"people": [round(r[self.config.best], 6) for r in rows]}
        figures |= {
            "l1_training_mode": figures["l1"],
            "l1_evaluation_mode": figures["l1"],
            "gap": 0.0,
        }
        if not self.config.frozen:
            loader = self._validation_loader()
            figures |= mode_gap(self.network, self._watched(loader, ended), self.device)
        for sign in collapse(rows) if epoch else []:
            self.report.warn(self.place, f"epoch {epoch:g}: {sign}", passing=epoch != int(epoch))
        return figures

    def _judge(self, value: float) -> None:
        """Counts epochs since the best; without a figure the newest is the best."""
        if (
            better(self.config.best, value, self.place.best)
            or math.isnan(value)
            and not len(self.data.validation)
        ):
            self.place.best, self.place.best_epoch, self.place.stale = value, self.place.epoch, 0
        else:
            self.place.stale += 1

    # ---- checkpoints

    def _weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.network.state_dict().items()}

    def _save(self, weights: dict[str, Any] | None = None) -> None:
        """Writes last.pt; without ``weights`` with those of this moment.

        Raises:
            DataError: they are not finite; the file that was there is left as it was.
        """
        begun, own = time.monotonic(), self.network.state_dict()
        weights = weights or {
            "network": self.average.state if self.average else own,
            "trained": own if self.average else None,
        }
        parts = (part for part in weights.values() if part)
        if not all(all_finite(part.values()) for part in parts):
            raise self._diverged(f"NaN or infinity in the weights after step {self.place.step}")
        self.run.save(
            {
                "format": FORMAT,
                "version": VERSION,
                **weights,
                "config": self.setting.to_json(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "average": self.average.state if self.average else None,
                "place": asdict(self.place),
                "random": random_state(),
                "processes": self.processes.count,
            },
            LAST,
        )
        self.saved = time.monotonic()
        self.save_seconds = self.saved - begun

    def _save_now_and_then(self) -> None:
        minutes = (time.monotonic() - self.saved) / 60
        due = (
            self.place.step % self.config.save_steps == 0
            if self.config.save_steps
            else (0 < self.config.save_minutes <= minutes)
        )
        if due and self.processes.first:
            self._save()

    def resume(self, state: dict[str, Any]) -> None:
        """Puts everything where the checkpoint left it."""
        self.network.load_state_dict(state["trained"] or state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if state["scaler"]:  # empty where the run began in another number format
            self.scaler.load_state_dict(state["scaler"])
        self.place = Place(**state["place"])
        was, before = TrainConfig.from_json(state["config"]["train"]), state["processes"]
        self.place.share_out(before / self.processes.count)
        if self.average:
            self.average.state = {
                name: value.to(self.device) for name, value in state["average"].items()
            }
        restore_random_state(state["random"])
        self.run.rewind(self.place)
        self.run.take_back_best()
        if self.processes.first:
            forget_after(self.run.path, self.place.epoch)
        for line in told_elsewhere(was, before, self.config, self.processes.count):
            self.report.note(line)
        if self.place.epoch < self.config.epochs:
            told = f"Going on after step {self.place.step}, in epoch {self.place.epoch + 1}."
        else:
            told = f"Nothing is left to do: all {self.place.epoch} epochs are done. "
            if self.config.schedule == "cosine":  # its rate has come down to nothing
                told += (
                    f"To go on, train into another folder with --init {self.run.path / 'best.pt'}."
                )
            else:
                told += "--epochs with a larger number goes on for longer."
        self.report.note(told)

    # ---- small things

    def _boards(self) -> list[Board]:
        boards: list[Board] = []
        if self.config.tensorboard:
            boards.append(TensorBoard(self.run.path / "tensorboard"))
        if self.config.wandb:
            boards.append(WeightsAndBiases(self.run.path, self.setting.to_json()))
        return boards

    def _wrapped(self) -> nn.Module:
        model: nn.Module = self.network
        if self.config.compile:
            model = cast(
                nn.Module, torch.compile(model)
            )  # of a module it makes a module, not just a function
        if self.processes.count == 1:
            return model
        devices = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(
            model, device_ids=devices, broadcast_buffers=not self.config.frozen
        )

    def _done(self) -> float:
        """The part of all steps that is done."""
        return self.place.step / max(1, self.config.epochs * len(self._plan(self.place.epoch)))

    def _quiet_unless(self, last: bool) -> contextlib.AbstractContextManager[None]:
        """Gradients travel between processes only with the last micro-batch of an update."""
        if last or not isinstance(self.model, DistributedDataParallel):
            return contextlib.nullcontext()
        return self.model.no_sync()

    def first_update(self) -> list[MicroBatch]:
        """What the first step of the run is made of."""
        return self._plan(0)[0]

    def _order(self, epoch: int) -> np.ndarray:
        return epoch_order(
            self.data.train.categories, self.config.seed, epoch, self.config.balanced
        )

    def _plan(self, epoch: int) -> list[list[MicroBatch]]:
        return plan_epoch(
            self._order(epoch),
            self.config.batch_size,
            self.config.accumulate,
            self.processes.rank,
            self.processes.count,
        )

    def loader(self, sampler: BatchSampler) -> Loader:
        return Loader(self.data.train, list(sampler), self.device, self.config.workers)

    def _validation_loader(self) -> Loader:
        pairs = self.data.validation
        assert isinstance(pairs, TryOnDataset)  # nothing is validated on the empty list
        chosen = chosen_evenly(pairs.categories, self.config.validation_limit).tolist()
        mine = chosen[self.processes.rank :: self.processes.count]
        return Loader(
            pairs, in_batches(mine, self.config.batch_size), self.device, self.config.workers
        )

    def _set_rate(self, steps_per_epoch: int) -> float:
        rate = learning_rate(self.config, self.place.step, steps_per_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["part"]
        return rate

    def _fetched(
        self, norm: Tensor, found: list[tuple[dict[str, Tensor], int]]
    ) -> tuple[float, list[tuple[dict[str, float], int]]]:
        """The gradient's norm and the terms of an update's micro-batches, (terms, pairs) each, as
        numbers: all of them with one wait for the device."""
        kept = [
            ({name: terms[name] for name in terms if name in self.setting.terms}, pairs)
            for terms, pairs in found
        ]
        values = [value.detach().float() for terms, _ in kept for value in terms.values()]
        figure, *rest = torch.stack([norm.detach().float(), *values]).tolist()
        numbers = iter(rest)
        return figure, [({name: next(numbers) for name in terms}, pairs) for terms, pairs in kept]

    def _count(self, found: list[tuple[dict[str, float], int]]) -> None:
        """Adds the terms of an update's micro-batches, (terms, pairs) each, to the epoch's sums."""
        for terms, pairs in found:
            for name, value in terms.items():
                self.place.sums[name] = self.place.sums.get(name, 0.0) + value * pairs
            self.place.seen += pairs

    def _in_words(self) -> tuple[str, str]:
        """What is trained, and what to change where the memory is full."""
        size, config = self.data.identity()["size"], self.config
        precision = self.setting.precision
        changes = [] if precision != "fp32" or self.device.type == "cpu" else ["--precision auto"]
        if config.batch_size > 1:
            batch = config.batch_size // 2
            changes.append(f"--batch-size {batch} with --accumulate {2 * config.accumulate}")
        changes += ["shards of a smaller size"]
        remedy = "Take " + ", or ".join(changes)
        return f"training at {size}, batch {config.batch_size}, {precision}", remedy

    def _is_sound(self, norm: float) -> bool:
        """False if the gradients hold NaN or infinity: then the step is left out. Gives up where
        that goes on."""
        self.failures = 0 if sound_norm(norm) else self.failures + 1
        if not self.failures:
            return True
        self.place.skipped += 1
        if (
            self.failures == 1 and not self.scaler.is_enabled()
        ):  # with fp16 usual, until its scale is found
            self.report.warn(
                self.place, f"step {self.place.step + 1}: the gradient is not finite; step left out"
            )
        if self.failures >= MOST_SKIPPED:
            raise self._diverged(f"{self.failures} steps without a finite gradient")
        return False

    def _diverged(self, found: str) -> DataError:
        """Logs the end of a run that can't go on; the error to raise."""
        self.report.warn(self.place, f"{found}; training has given up")
        last = self.run.last
        return diverged(self.run.path, found, str(last) if last.exists() else None)
