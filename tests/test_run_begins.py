"""What a training run refuses, plans and says before its first step."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner

from cli import main
from model.data.dataset import TryOnDataset
from model.network.daflow import DAFlow
from model.training.banner import opening
from model.training.config import TrainConfig
from model.training.setup import Data, build_setting, resolved
from pipeline.base.errors import DataError
from tests.tiny import tiny_network


def run(*words, code: int = 0) -> str:
    done = CliRunner().invoke(main, ["train", *map(str, words)])
    assert done.exit_code == code and "Traceback" not in done.output, done.output
    return done.stdout if code == 0 else " ".join(done.output.split())


def test_people_with_anothers_garment_are_nothing_to_learn_from(sample_shards):
    with pytest.raises(DataError, match="another's garment.*--split train"):
        Data.open([sample_shards["test_unpaired"]], TrainConfig(validation_share=0.0))


def test_an_unpaired_list_is_one(sample_shards):
    config = TrainConfig(validation_share=0.0)
    train, paired, unpaired = (
        [sample_shards[split]] for split in ("train", "test_paired", "test_unpaired")
    )
    with pytest.raises(DataError, match="their own garment.*--split test_unpaired"):
        Data.open(train, config, paired)
    assert isinstance(Data.open(train, config, unpaired).train, TryOnDataset)


def test_a_run_on_test_people_says_so(sample_shards):
    for split, told in (("train", False), ("test_paired", True)):
        config = resolved(TrainConfig(validation_share=0.0, perceptual="none"), None, None, None)
        data = Data.open([sample_shards[split]], config)
        network = DAFlow(tiny_network())
        setting = build_setting(config, data, network, torch.device("cpu"), None)
        lines = opening(setting, data, 1, torch.device("cpu"), None)
        assert any("people of test_paired: measure on others" in line for line in lines) is told


def test_a_dry_run_needs_no_weights_of_the_loss(sample_shards, tmp_path, monkeypatch):
    def nothing(*files):
        raise AssertionError("a plan needs no weights")

    monkeypatch.setattr("model.loss.perceptual.load_perceptual", nothing)
    words = (sample_shards["train"], tmp_path / "run", "--preset", "small", "--dry-run")
    assert json.loads(run(*words))["loss"]["perceptual"] is True
    assert json.loads(run(*words, "--perceptual", "none"))["loss"]["perceptual"] is False
    assert not (tmp_path / "run").exists()


def test_a_file_of_options_may_hold_what_the_run_begins_from(sample_shards, tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("init: drawn-upper\nepochs: 3\ndevice: cpu\n")
    words = (sample_shards["train"], tmp_path / "run", "--config", file, "--dry-run")
    told = json.loads(run(*words))
    assert told["config"]["train"]["epochs"] == 3 and told["config"]["network"]["work_rows"] == 128
    file.write_text("epoch: 3\n")
    assert "unknown option 'epoch', expected perhaps epochs" in run(*words, code=1)


def test_a_place_that_was_forgotten_is_named(sample_shards):
    told = run(sample_shards["train"], code=2)
    assert "SHARDS to learn from, and RUN" in told and str(sample_shards["train"]) in told
