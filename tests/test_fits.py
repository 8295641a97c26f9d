"""``train --fit``: real steps tell what fits the device, and nothing is written."""

from __future__ import annotations

import math

import pytest
import torch
from click.testing import CliRunner
from tiny import tiny_network, tiny_shards

from cli import main
from model.network.config import NetworkConfig
from model.training.banner import memory
from model.training.config import TrainConfig
from model.training.fits import Fit, advice, what_fits
from model.training.processes import Processes
from model.training.setup import Data, build_network, build_setting
from model.training.trainer import Trainer
from pipeline.base.errors import DataError


@pytest.fixture
def shards(tmp_path):
    return tiny_shards(tmp_path / "shards", 3)


@pytest.fixture
def run(shards):
    config = TrainConfig(statistics="frozen", workers=0, validation_share=0)
    data = Data.open([shards], config)
    network = build_network(tiny_network(), None)
    return build_setting(config, data, network, torch.device("cpu"), None), data, Processes()


def test_steps_of_more_and_more_pairs_are_tried_until_there_are_no_more(run):
    found = list(what_fits(*run))
    assert [fit.batch for fit in found] == [1, 2, 4, 8], "there are nine pairs"
    assert all(fit.fits and fit.seconds > 0 for fit in found)
    assert all(0 < fit.peak < fit.total == memory(torch.device("cpu"))[1] for fit in found)
    assert "people/s" in str(found[0])


def test_a_full_memory_ends_the_trial_and_is_told(run, monkeypatch):
    update = Trainer.update

    def full(self, micro, batches):
        if self.config.batch_size >= 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return update(self, micro, batches)

    monkeypatch.setattr(Trainer, "update", full)
    found = list(what_fits(*run))
    assert [fit.batch for fit in found] == [1, 2, 4] and not found[-1].fits
    assert "more than the" in str(found[-1])
    assert "batch 2 fits" in advice(found, run[0]) and "--batch-size" in advice(found, run[0])


def test_another_fault_is_not_taken_for_a_full_memory(run, monkeypatch):
    def broken(*_):
        raise DataError("a.h5", "sample 3 is damaged")

    monkeypatch.setattr(Trainer, "update", broken)
    with pytest.raises(DataError, match="sample 3"):
        list(what_fits(*run))


def test_what_is_left_free_counts_and_nothing_may_fit(run):
    full = Fit(1, 0.5, 95, 100)
    assert not full.fits and Fit(1, 0.5, 85, 100).fits and not Fit(1, math.nan, 1, 100).fits
    assert advice([full], run[0]).startswith("Nothing fits: take --precision bf16")


def test_the_command_tries_and_writes_nothing(shards, tmp_path, monkeypatch):
    monkeypatch.setattr(NetworkConfig, "preset", classmethod(lambda cls, name: tiny_network()))
    words = ["train", shards, tmp_path / "run", "--fit", "--perceptual", "none", "--device", "cpu"]
    words += ["--preset", "small", "--workers", "0"]
    result = CliRunner().invoke(main, list(map(str, words)))
    assert result.exit_code == 0, result.output
    assert "batch 4: " in result.stderr and "trains the most people a second" in result.stdout
    assert not (tmp_path / "run").exists()
