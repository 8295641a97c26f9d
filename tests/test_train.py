"""The training loop: what a run leaves behind, what it refuses, what it warns of."""

from __future__ import annotations

import json
import math
import os
import pty
import re
import subprocess
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tiny import tiny_network, tiny_sample, tiny_shards, write_shards

from cli import main
from model.evaluation.metrics import pair_metrics
from model.network.checkpoint import load_network
from model.network.daflow import DAFlow
from model.network.explain import FLOW_FIGURES
from model.training.board import TensorBoard, WeightsAndBiases
from model.training.config import TrainConfig
from model.training.pictures import read_picture, thinned
from model.training.schedule import (
    MovingAverage,
    batch_norms,
    learning_rate,
    recalibrate,
    statistics_kept,
    training_mode,
)
from model.training.summary import Ending, judge, summarise_run
from model.training.train import train
from model.training.trainer import Trainer
from model.training.validate import collapse, measure, mode_gap, summarise
from pipeline.base.errors import DataError
from pipeline.base.labels import Category

ROOT = Path(__file__).parents[1]
QUICK = {"workers": 0, "pictures": 0, "log_steps": 1}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return tiny_shards(tmp_path_factory.mktemp("train") / "shards", people=6)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(shards, folder, network=None, notes=None, options=None, **changes):
    with pytest.MonkeyPatch.context() as patch:
        if not changes.get("pictures"):
            patch.setattr("model.training.trainer.draw_curves", lambda entries, path: None)  # slow
        return train(
            [shards],
            folder,
            TrainConfig(**QUICK | {"epochs": 1, "batch_size": 4} | changes),
            device="cpu",
            network=network or tiny_network(),
            note=(notes if notes is not None else []).append,
            **options or {},
        )


def entries(folder, event=None):
    found = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [entry for entry in found if event in (None, entry["event"])]


def test_worker_processes_change_nothing_about_a_run(shards, tmp_path):
    options = {"mask_style": "mix", "jitter": 0.1, "seed": 4, "batch_size": 2}
    alone, helped = (
        run(shards, tmp_path / str(n), workers=n, **options)
        and torch.load(tmp_path / str(n) / "last.pt", weights_only=True)
        for n in (0, 2)
    )
    assert alone["network"].keys() == helped["network"].keys()
    assert all(
        torch.equal(value, helped["network"][name]) for name, value in alone["network"].items()
    )


# ---- a run and what it leaves behind


@pytest.fixture(scope="module")
def finished(shards, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    others = [
        tiny_sample(c, i, split="test_unpaired", garment=i + 1) for c in Category for i in range(2)
    ]
    unpaired = write_shards(folder / "unpaired", others)
    notes: list[str] = []
    summary = run(
        shards,
        folder / "run",
        notes=notes,
        epochs=2,
        pictures=1,
        lr=1e-3,
        keep_every=2,
        seed=3,
        options={"unpaired": [unpaired]},
    )
    return folder / "run", summary, notes


def test_run_folder_holds_configuration_log_checkpoints_pictures_and_curves(finished):
    folder, _, _ = finished
    config = json.loads((folder / "config.json").read_text())
    assert (
        config["train"]["lr"] == 1e-3
        and config["train"]["seed"] == 3
        and config["train"]["weight_decay"] == 0.01
    )
    assert config["network"]["flows"] == 2 and config["data"]["size"] == "64x64"
    for name in ("last.pt", "best.pt", "epoch-0002.pt", "summary.json"):
        assert (folder / name).stat().st_size > 100, name
    curves = cv2.imread(str(folder / "curves.png"))
    assert curves.shape[0] > 400 and curves.std() > 10
    assert not list(folder.rglob(".*.tmp"))


def test_progress_shows_fixed_people_from_before_training_to_the_end(finished):
    folder, _, _ = finished
    for category in Category:
        sheet = read_picture(folder / f"progress_{category}.png", (1, 1))
        people = sheet[-2 * (64 + 6) :]  # below the heads
        assert sheet.shape[1] == 6 * (64 + 6) + 6  # garment, masked, epochs 0 1 2, photo
        first, last = (people[:64, 6 + column * 70 : 6 + column * 70 + 64] for column in (2, 4))
        assert not np.array_equal(first, last)
    names = [
        {p.name for p in (folder / "pictures" / f"epoch-00{epoch}.00").iterdir()}
        for epoch in (0, 1, 2)
    ]
    assert names[0] == names[1] == names[2] and len(names[0]) == 6
    assert sum(name.startswith("unpaired-") for name in names[0]) == 3


def test_log_has_steps_and_epochs_with_figures_of_every_category_and_the_gap(finished):
    folder, _, _ = finished
    steps, epochs = entries(folder, "step"), entries(folder, "epoch")
    assert [entry["step"] for entry in steps] == list(range(1, len(steps) + 1))
    assert [entry["epoch"] for entry in epochs] == [0, 1, 2]
    for entry in epochs:
        assert set(entry["categories"]) == {str(c) for c in Category}
        assert {"loss", "l1", "l1_inside", "l1_outside", "ssim_inside", "gap"} <= set(entry)
        assert entry["gap"] == pytest.approx(
            entry["l1_evaluation_mode"] - entry["l1_training_mode"]
        )
    assert epochs[2]["train_loss"] < epochs[1]["train_loss"]


def test_best_checkpoint_gives_the_figures_that_the_log_says(finished, shards):
    from model.training.setup import Data

    folder, summary, _ = finished
    network = load_network(folder / "best.pt")
    config = TrainConfig(**json.loads((folder / "config.json").read_text())["train"])
    held_out = Data.open([shards], config).validation
    batches = torch.utils.data.DataLoader(held_out, 4)
    figures = summarise(measure(network, batches, None, torch.device("cpu")))
    assert figures["likeness_inside"] == pytest.approx(summary["best"], abs=1e-5)
    assert summary["best"] == entries(folder, "epoch")[summary["best_epoch"]]["likeness_inside"]
    assert all(name in entry for entry in entries(folder, "epoch") for name in FLOW_FIGURES)


def test_few_held_out_pairs_are_still_of_every_category(shards, tmp_path):
    run(shards, tmp_path / "run", limit=4, validation_share=0.4, validation_limit=3)
    found = {str(c): 0 for c in Category} | {
        name: figures["count"]
        for name, figures in entries(tmp_path / "run", "epoch")[-1]["categories"].items()
    }
    assert set(found.values()) == {1}


def test_progress_lines_tell_epoch_step_loss_speed_and_time_left(finished):
    line = next(note for note in finished[2] if "step 1/" in note)
    assert all(word in line for word in ("epoch 1/2", "loss", "people/s", "left"))


def test_one_batch_is_learnt_by_heart(tmp_path):
    folder = tiny_shards(tmp_path / "shards", people=1)
    run(
        folder,
        tmp_path / "run",
        tiny_network(channels=(8, 8, 16, 16, 16), fpn=16),
        epochs=25,
        lr=1e-2,
        batch_size=3,
        mirror=False,
        validation_share=0.0,
        log_steps=1,
    )
    losses = [entry["loss"] for entry in entries(tmp_path / "run", "step")]
    assert losses[-1] < 0.6 * losses[0]


# ---- recipes


def test_accumulated_steps_equal_a_larger_batch(shards, tmp_path):
    same = {"statistics": "frozen", "validation_share": 0.0, "mirror": False}
    run(shards, tmp_path / "whole", batch_size=6, **same)
    run(shards, tmp_path / "parts", batch_size=2, accumulate=3, **same)
    whole, parts = (
        torch.load(tmp_path / n / "last.pt", weights_only=True)["network"]
        for n in ("whole", "parts")
    )
    assert all(torch.allclose(whole[name], parts[name], atol=2e-5) for name in whole)
    assert (
        entries(tmp_path / "whole", "step")[-1]["step"]
        == entries(tmp_path / "parts", "step")[-1]["step"]
        == 3
    )


def test_learning_rate_warms_up_and_falls_as_told():
    cosine = TrainConfig(lr=1.0, schedule="cosine", warmup=10, epochs=10)
    rates = [learning_rate(cosine, step, 10) for step in range(100)]
    assert (
        rates[0] == pytest.approx(1 / 11) and rates[10] == 1.0 and rates[:11] == sorted(rates[:11])
    )
    assert rates[10:] == sorted(rates[10:], reverse=True) and 0.01 <= rates[-1] < 0.02
    drops = TrainConfig(lr=1.0, schedule="step", step_epochs=30, step_factor=0.2)
    assert [learning_rate(drops, epoch * 7, 7) for epoch in (0, 29, 30, 60)] == pytest.approx(
        [1, 1, 0.2, 0.04]
    )
    assert {learning_rate(TrainConfig(lr=0.5), step, 3) for step in range(9)} == {0.5}


def test_moving_average_follows_the_weights_and_gives_them_back():
    network = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False), torch.nn.BatchNorm1d(1))
    torch.nn.init.zeros_(network[0].weight)
    average = MovingAverage(network, 0.5)
    torch.nn.init.ones_(network[0].weight)
    average.update(network, step=100)
    with average.applied(network):
        assert network[0].weight.item() == 0.5
    assert network[0].weight.item() == 1.0 and average.state["0.weight"].item() == 0.5


def test_frozen_statistics_stay_while_the_weights_learn(shards, tmp_path):
    run(shards, tmp_path / "run", statistics="frozen")
    state = torch.load(tmp_path / "run" / "last.pt", weights_only=True)["network"]
    fresh = DAFlow(tiny_network()).state_dict()
    for name in (name for name in state if "running_" in name):
        assert torch.equal(state[name], fresh[name])
    assert {entry["gap"] for entry in entries(tmp_path / "run", "epoch")} == {0.0}


def test_calibrated_statistics_are_measured_once_and_then_stay_in_the_average_too(shards, tmp_path):
    run(
        shards,
        tmp_path / "run",
        statistics="calibrated",
        ema=0.9,
        limit=5,
        keep_every=1,
        epochs=2,
        lr=1e-2,
    )
    first, last = (
        torch.load(tmp_path / "run" / f"epoch-000{n}.pt", weights_only=True) for n in (1, 2)
    )
    for name in (name for name in last["network"] if "running_var" in name):
        assert not torch.equal(last["network"][name], torch.ones_like(last["network"][name])), name
        assert torch.equal(first["network"][name], last["network"][name])
        assert torch.equal(last["trained"][name], last["network"][name])
    assert {entry["gap"] for entry in entries(tmp_path / "run", "epoch")} == {0.0}


def test_recalibrated_statistics_are_the_mean_over_the_batches_seen():
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(2))
    batches = [(torch.randn(4, 2, 8, 8) * 3 + shift,) for shift in (1, 2, 6)]
    network[0].running_mean.fill_(99)
    recalibrate(network.eval(), batches)
    expected = torch.stack([batch[0].mean((0, 2, 3)) for batch in batches]).mean(0)
    assert torch.allclose(network[0].running_mean, expected, atol=1e-5)
    assert not network.training and network[0].momentum == 0.1


class Normalising(torch.nn.Module):
    """Gives the garment back through a batch normalisation."""

    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm2d(3)

    def forward(self, reference, garment, agnostic):
        return self.norm(garment)


def test_the_gap_between_the_modes_is_measured_without_touching_the_network(shards):
    from model.data.dataset import TryOnDataset

    network = Normalising()
    network.norm.running_mean.fill_(5)  # statistics of other weights: "trains fine, tests blank"
    before = {name: value.clone() for name, value in network.state_dict().items()}
    batches = torch.utils.data.DataLoader(TryOnDataset([shards]), 6)
    figures = mode_gap(network, batches, torch.device("cpu"))
    assert figures["gap"] > 0.1  # all black in a test
    assert figures["l1_evaluation_mode"] - figures["l1_training_mode"] == figures["gap"]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    training_mode(network, frozen=True)
    with statistics_kept(network):
        assert not any(norm.training for norm in batch_norms(network)) and network.training


def test_half_precision_trains_with_finite_figures(shards, tmp_path):
    run(shards, tmp_path / "run", precision="bf16", limit=5, channels_last=True)
    assert math.isfinite(entries(tmp_path / "run", "epoch")[-1]["loss"])
    assert (
        torch.load(tmp_path / "run" / "last.pt", weights_only=True)["network"][
            "dafnet.lights_encoder.0.weight"
        ].dtype
        == torch.float32
    )


def test_fine_tuning_starts_from_the_weights_and_freezes_the_statistics(shards, finished, tmp_path):
    weights = finished[0] / "best.pt"
    train(
        [shards],
        tmp_path / "run",
        TrainConfig(**QUICK, epochs=1, lr=0.0),
        init=weights,
        device="cpu",
        note=lambda text: None,
    )
    assert (
        json.loads((tmp_path / "run" / "config.json").read_text())["train"]["statistics"]
        == "frozen"
    )
    was, now = (
        torch.load(path, weights_only=True)["network"]
        for path in (weights, tmp_path / "run" / "last.pt")
    )
    assert all(torch.equal(was[name], now[name]) for name in was)  # rate 0: nothing else may move


def test_patience_ends_a_run_that_no_longer_gets_better(shards, tmp_path):
    summary = run(shards, tmp_path / "run", epochs=9, lr=0.0, patience=2, limit=5, batch_size=12)
    assert (
        summary["epochs"] == 3
        and summary["best_epoch"] == 1
        and "no better likeness_inside" in summary["stopped"]
    )


# ---- warnings


def test_a_run_without_finite_gradients_warns_and_gives_up_with_advice(
    shards, tmp_path, monkeypatch
):
    monkeypatch.setattr("model.training.trainer.MOST_SKIPPED", 3)
    notes: list[str] = []
    update = Trainer.update

    def spoil(self, *args):
        with torch.no_grad():
            self.network.dafnet.lights_decoder[2].weight.fill_(math.nan)
        update(self, *args)

    monkeypatch.setattr(Trainer, "update", spoil)
    with pytest.raises(DataError, match="3 steps without a finite gradient.*--lr"):
        run(shards, tmp_path / "run", batch_size=1, notes=notes)
    assert any("gradient is not finite" in note for note in notes)
    assert entries(tmp_path / "run", "warning")


def finite(checkpoint) -> bool:
    state = torch.load(checkpoint, weights_only=True)["network"]
    return all(v.isfinite().all() for v in state.values() if v.is_floating_point())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["Cross_MFEs.1.layers.0.weight", "Refine_MFEs.4.layers.6.bias"])
def test_weights_that_are_not_finite_end_the_run_and_spoil_no_checkpoint(
    shards, tmp_path, monkeypatch, value, place
):
    update = Trainer.update

    def spoil(self, *args):
        if self.place.step == 3:
            with torch.no_grad():
                self.network.dafnet.get_parameter(place).fill_(value)
        update(self, *args)

    monkeypatch.setattr(Trainer, "update", spoil)
    with pytest.raises(DataError, match="Lower --lr.*--init .*last.pt"):
        run(shards, tmp_path / "run", batch_size=4, save_steps=2, epochs=9)
    state = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    assert state["place"]["step"] == 2 and finite(tmp_path / "run" / "last.pt")
    assert "given up" in entries(tmp_path / "run", "warning")[-1]["text"]


def test_a_step_without_finite_gradients_leaves_weights_and_statistics_as_they_were(
    shards, tmp_path, monkeypatch
):
    forward = Trainer._forward_and_backward

    def spoil(self, batch, weight):
        if self.place.step == 1:
            before = {n: v.clone() for n, v in self.network.state_dict().items()}
            seen.append(before)
            batch = batch | {"garment": batch["garment"] * math.nan}
        elif self.place.step == 2:
            seen.append({n: v.clone() for n, v in self.network.state_dict().items()})
        return forward(self, batch, weight)

    seen: list[dict] = []
    monkeypatch.setattr(Trainer, "_forward_and_backward", spoil)
    run(shards, tmp_path / "run", batch_size=4, statistics="batch")
    assert all(torch.equal(value, seen[1][name]) for name, value in seen[0].items())
    assert finite(tmp_path / "run" / "last.pt") and finite(tmp_path / "run" / "best.pt")
    assert math.isfinite(entries(tmp_path / "run", "epoch")[-1]["train_loss"])


def test_a_rate_far_too_high_ends_in_advice_and_no_crash(shards, tmp_path):
    with pytest.raises(DataError, match="Lower --lr"):
        run(shards, tmp_path / "run", lr=1e30, batch_size=1, epochs=3)


def test_blank_equal_and_broken_results_are_told_apart():
    rng = np.random.default_rng(0)
    truth = rng.random((5, 48))

    def rows(small, std=0.2, finite=True):
        return [
            {"small": list(s), "small_truth": list(t), "std": std, "finite": finite}
            for s, t in zip(small, truth)
        ]

    assert collapse(rows(truth)) == []
    assert "blank" in collapse(rows(truth, std=0.001))[0]
    assert "nearly the same" in collapse(rows(np.repeat(truth[:1], 5, 0)))[0]
    assert "NaN" in collapse(rows(truth, finite=False))[0]


def test_figures_separate_inside_from_outside():
    person = np.random.default_rng(0).random((32, 32, 3))
    mask = np.zeros((32, 32), bool)
    mask[:16] = True
    result = person.copy()
    result[mask] = np.clip(result[mask] + 0.25, None, 2)
    figures = pair_metrics(result, person, mask)
    assert figures["l1_inside"] == pytest.approx(0.25) and figures["l1_outside"] == 0
    assert figures["l1"] == pytest.approx(0.125)
    assert figures["ssim_outside"] > figures["ssim"] > figures["ssim_inside"]
    assert math.isnan(pair_metrics(result, person, np.zeros_like(mask))["l1_inside"])


def log_of(held_out, training=None, people=60, noise=0.01, start=None):
    """A run's log: the figure's mean over people epoch by epoch, each person with noise of one's
    own."""
    rng = np.random.default_rng(0)
    usual = rng.uniform(0.5, 1.5, people)
    found = (
        [] if start is None else [{"event": "epoch", "epoch": 0, "l1_inside": start, "count": 1}]
    )
    for i, mean in enumerate(held_out):
        values = mean * usual / usual.mean() * (1 + noise * rng.standard_normal(people))
        found.append(
            {
                "event": "epoch",
                "epoch": i + 1,
                "l1_inside": float(values.mean()),
                "people": values.tolist(),
                "count": people,
                "train_loss": training[i] if training else 9 - 0.5 * i,
            }
        )
    return found


RISING = [5, 4, 3, 3.1, 3.3]


@pytest.mark.parametrize(
    "kind, log",
    [
        ("best at the end", log_of([5, 4, 3, 2.9])),
        ("too early", log_of([5, 4, 3, 3.5])),
        ("over-fitting", log_of(RISING)),
        ("over-fitting", log_of([5, 4, 3.4, 3, 3.015, 3.024], noise=0.005)),  # .5 and .8 %
        ("over-fitting", log_of([5, 4, 3, 3.1, 3.2, 3.3, 3.05])),  # the last one recovers
        ("too few people", log_of(RISING, people=4)),
        ("too few people", log_of([5, 4, 3, 3.2, 3.4], people=7, noise=0.1)),
        ("unsteady", log_of([5, 4, 3, 3.3, 3.05, 3.25, 3.02])),
        ("level", log_of([5, 4, 3, 3.001, 3.003, 3.001, 3.004])),
        ("diverging", log_of(RISING, training=[9, 8, 7, 7.5, 8])),
    ],
)
def test_the_verdict_follows_the_trend_since_the_best_epoch(kind, log):
    verdict = judge(log, "l1_inside")
    assert verdict.kind == kind, verdict.text
    assert (verdict.since is not None) == (kind == "over-fitting")


def test_figures_that_are_better_when_larger_are_judged_the_other_way_round():
    log = [
        e | {"ssim": -e["l1_inside"], "people": [-v for v in e["people"]]} for e in log_of(RISING)
    ]
    assert judge(log, "ssim").kind == "over-fitting"
    assert judge(log[::-1], "ssim").kind == judge(log_of(RISING)[::-1], "l1_inside").kind


def test_runs_that_do_not_get_worse_are_seldom_called_over_fitted():
    rng, found = np.random.default_rng(1), []
    for _ in range(200):
        log = log_of(
            [5, 4, *3 * (1 + 0.005 * rng.standard_normal(7))], noise=float(rng.uniform(0, 0.05))
        )
        found.append(judge(log, "l1_inside").kind)
    assert found.count("over-fitting") <= 0.15 * len(found)


def test_the_summary_names_best_epoch_start_and_verdict():
    config = TrainConfig(best="l1_inside")
    told = summarise_run(log_of([5, 3, 4, 4.5], start=6.0), config)
    assert told["best_epoch"] == 2 and told["overfitting_from"] == 3 and told["beats_start"]
    assert "over-fitting from epoch 3 on" in told["text"] and "after epoch 2" in told["text"]
    beaten = summarise_run(log_of([5, 3, 4, 4.5], start=2.0), config)
    assert not beaten["beats_start"] and "never better than before training" in beaten["text"]


def test_that_nothing_was_held_out_is_said_only_where_it_is_so():
    done = {"event": "epoch", "epoch": 1, "step": 3}
    assert "nothing was held out" in summarise_run([done], TrainConfig())["text"]
    broken = summarise_run([done | {"count": 5}], TrainConfig())["text"]
    assert "nothing was held out" not in broken and "never a number" in broken
    looked = {"event": "epoch", "epoch": 0, "count": 5, "likeness_inside": 0.5}
    early = summarise_run([looked], TrainConfig(), Ending("SIGTERM received", "SIGTERM", 2, True))
    assert "Stopped after step 2 (SIGTERM received), go on with --resume" in early["text"]
    assert "no epoch was finished" in early["text"]


def test_progress_with_many_epochs_keeps_first_and_last():
    assert thinned(list(range(40)), 9)[0] == 0 and thinned(list(range(40)), 9)[-1] == 39
    assert len(thinned(list(range(40)), 9)) == 9 and thinned([1, 2], 9) == [1, 2]


# ---- the published weights


def test_bare_weights_of_the_published_network_are_recognised_and_what_differs_is_told(
    shards, finished, tmp_path, monkeypatch
):
    from model.training import published

    network = load_network(finished[0] / "best.pt")
    monkeypatch.setattr(published, "NetworkConfig", lambda: network.config)
    bare = tmp_path / "ckpt_viton.pt"
    torch.save(network.state_dict(), bare)
    notes: list[str] = []
    setting = {"options": {"init": bare}, "batch_size": 8, "lr": 5e-5, "limit": 5}
    run(shards, tmp_path / "run", network.config, notes, mask_style="loose>standard", **setting)
    said = "\n".join(notes)
    assert "ckpt_viton.pt: bare weights of the published network" in said
    assert re.search(r"Trained as here: .*learning rate 5e-05.*pairs per step 8", said)
    assert re.search(r"Trained otherwise: masks daflow \(here loose>standard\); size 256x192", said)
    assert published.is_published(bare, network.config)
    assert not published.is_published(finished[0] / "best.pt", network.config)
    assert not published.is_published(bare, tiny_network(flows=3))


def test_a_run_that_changes_its_masks_is_measured_with_those_it_ends_with(shards, tmp_path):
    run(shards, tmp_path / "run", mask_style="loose>standard", mask_epochs=1, limit=5)
    run(shards, tmp_path / "plain", mask_style="standard", limit=5)
    began, plain = (entries(tmp_path / n, "epoch")[0] for n in ("run", "plain"))
    assert began["l1_inside"] == plain["l1_inside"]
    first, other = (entries(tmp_path / n, "step")[0]["loss"] for n in ("run", "plain"))
    assert first != other


# ---- refusals, and the command


def test_weights_of_another_network_are_refused(shards, finished, tmp_path):
    with pytest.raises(DataError, match="best.pt"):
        run(
            shards,
            tmp_path / "run",
            tiny_network(flows=3),
            options={"init": finished[0] / "best.pt"},
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"angles": 2.0}, "--angles"),
        ({"lr": -1.0}, "--lr"),
        ({"schedule": "linear"}, "--schedule.*cosine"),
        ({"ema": 1.5}, "--ema"),
        ({"epochs": 0}, "--epochs"),
    ],
)
def test_options_out_of_bounds_are_refused_by_name(changes, told):
    with pytest.raises(DataError, match=told):
        TrainConfig(**changes)


def test_tensorboard_that_is_not_installed_is_told_with_the_command_to_install_it(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(DataError, match="not installed.*pip install"):
        TensorBoard(tmp_path)


def test_a_run_logs_for_weights_and_biases_offline_and_under_one_id(shards, tmp_path, monkeypatch):
    module, opened = types.ModuleType("wandb"), []

    class Run:
        def __init__(self, **options):
            self.options, self.logged, self.ended = options, [], False
            opened.append(self)

        def log(self, values, step):
            self.logged.append((step, values))

        def finish(self):
            self.ended = True

    module.init, module.Image = Run, lambda picture: picture.shape
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    run(shards, tmp_path / "run", wandb=True, limit=5, pictures=1)
    run(shards, tmp_path / "run", wandb=True, limit=5, options={"resume": True}, epochs=2)
    assert [r.options["mode"] for r in opened] == ["offline"] * 2 and all(r.ended for r in opened)
    assert opened[0].options["id"] == opened[1].options["id"]
    assert opened[0].options["config"]["train"]["limit"] == 5
    names = {name for _, values in opened[0].logged for name in values}
    assert {"training/loss", "validation/l1_inside", "progress_dresses"} <= names
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(DataError, match="not installed.*fittingroom.wandb"):
        WeightsAndBiases(tmp_path, {})


def test_a_run_says_what_it_will_do_before_its_first_step(finished):
    notes = finished[2]
    said = "\n".join(notes[: next(i for i, note in enumerate(notes) if "step 1/" in note)])
    assert "cpu (1 threads), float32, 1 process" in said and "l1" in said
    assert "Pairs: 15 (upper body 5, lower body 5, dresses 5), 3 held out, 64 x 64" in said
    assert "masks standard" in said and "2 epochs of 4 = 8, 4 pairs each, AdamW at 0.001" in said
    assert "Time: about 0:00:0" in said and "for 8 steps" in said


SPEAK = """
import sys
sys.path.insert(0, sys.argv[1])
from commands.common import live_progress
with live_progress() as (say, bar):
    say("a [line] of 3")
    if bar:
        bar(2, 5, "epoch 1/10  loss 0.5")
"""


@pytest.mark.parametrize("colour", [True, False])
def test_on_a_terminal_a_bar_moves_and_a_file_gets_plain_lines(tmp_path, colour):
    here, there = pty.openpty()
    speak = [sys.executable, "-c", SPEAK, str(ROOT)]
    names = ("NO_COLOR", "FORCE_COLOR", "COLORTERM")
    given = {name: value for name, value in os.environ.items() if name not in names}
    given |= {"TERM": "xterm-256color", "COLUMNS": "100"} | ({} if colour else {"NO_COLOR": "1"})
    subprocess.run(speak, stderr=there, env=given, check=True)
    os.close(there)
    shown = os.read(here, 100_000).decode()
    assert "a [line] of 3" in shown and "2/5" in shown and "epoch 1/10  loss 0.5" in shown
    assert bool(re.search(r"\x1b\[[0-9;]*3[0-9]", shown)) == colour
    plain = subprocess.run(speak, capture_output=True, env=given | {"FORCE_COLOR": "1"}).stderr
    assert plain == b"a [line] of 3\n"


def call(*arguments):
    return CliRunner().invoke(main, ["train", *map(str, arguments), "--device", "cpu"])


def test_dry_run_prints_the_plan_and_writes_nothing(shards, tmp_path):
    result = call(
        shards,
        tmp_path / "run",
        "--preset",
        "small",
        "--perceptual",
        "none",
        "--dry-run",
        "--batch-size",
        2,
        "--accumulate",
        2,
        "--validation-share",
        0,
    )
    plan = json.loads(result.stdout)
    assert plan["by_category"] == {"upper_body": 6, "lower_body": 6, "dresses": 6}
    assert (
        plan["steps_per_epoch"] == 5
        and plan["steps"] == 50
        and plan["config"]["train"]["lr"] == 5e-5
    )
    assert not (tmp_path / "run").exists()


def test_of_several_processes_the_first_one_tells_the_plan_or_the_summary(shards, tmp_path):
    words = ["train", str(shards), str(tmp_path / "run"), "--preset", "small", "--dry-run"]
    words += ["--perceptual", "none"]
    said = [CliRunner().invoke(main, words, env={"RANK": rank}) for rank in ("0", "1")]
    assert [done.exit_code for done in said] == [0, 0]
    assert json.loads(said[0].stdout)["pairs"] == 18 - 3 and not said[1].stdout


def test_yaml_gives_options_and_the_command_line_wins(shards, tmp_path):
    (tmp_path / "own.yaml").write_text("epochs: 7\nlr: 0.002\nmask-style: mix\nbalanced: true\n")
    result = call(
        shards,
        tmp_path / "run",
        "--preset",
        "small",
        "--perceptual",
        "none",
        "--dry-run",
        "--config",
        tmp_path / "own.yaml",
        "--epochs",
        3,
    )
    config = json.loads(result.stdout)["config"]["train"]
    assert (config["epochs"], config["lr"], config["mask_style"], config["balanced"]) == (
        3,
        0.002,
        "mix",
        True,
    )


@pytest.mark.parametrize(
    "text, told",
    [
        ("epoch: 3", "unknown option 'epoch'"),
        ("[1", "not YAML"),
        ("- 3", "a list"),
        ("epochs: many", "many"),
        ("epochs: [1, 2]", "epochs: a list"),
        ("best: {a: b}", "best: a dict"),
        ("epochs: 2026-01-01", "epochs: a date"),
        ("lr: " + "[" * 20_000, "not YAML"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nepochs: [*b, *b]", "references"),
        ("a: &a {lr: 1}\n<<: [*a, *a]", "references"),
        ("# " + "x" * 70_000, "some lines of options"),
    ],
)
def test_a_wrong_yaml_file_is_refused(shards, tmp_path, text, told):
    (tmp_path / "own.yaml").write_text(text)
    result = call(shards, tmp_path / "run", "--config", tmp_path / "own.yaml")
    assert result.exit_code in (1, 2) and told in result.output and "Traceback" not in result.output


def test_the_command_refuses_resume_without_a_run_and_other_options_with_one(
    shards, finished, tmp_path
):
    missing = call(shards, tmp_path / "none", "--resume")
    assert missing.exit_code == 1 and "without --resume" in missing.output
    other = call(shards, finished[0], "--resume", "--lr", 0.5, "--perceptual", "none")
    assert other.exit_code == 1 and "lr: 0.001, now 0.5" in other.output.replace("\n", " ")
    (tmp_path / "empty").mkdir()
    empty = call(tmp_path / "empty", tmp_path / "run", "--perceptual", "none")
    assert empty.exit_code == 1 and "an empty folder" in empty.output


def test_perceptual_terms_are_logged_and_lpips_is_validated(tmp_path):
    from model.loss.losses import PerceptualNetworks

    folder = tiny_shards(tmp_path / "shards", people=5, categories=(Category.DRESSES,))
    run(
        folder,
        tmp_path / "run",
        limit=5,
        validation_share=0.01,
        batch_size=4,
        options={"perceptual": PerceptualNetworks},
    )
    step, epoch = entries(tmp_path / "run", "step")[0], entries(tmp_path / "run", "epoch")[-1]
    assert step["content"] > 0 and step["style"] > 0
    assert step["loss"] == pytest.approx(
        sum(step[name] for name in ("l1", "lpips", "style", "content")), rel=1e-4
    )
    assert "lpips" in epoch and epoch["train_content"] == step["content"]
