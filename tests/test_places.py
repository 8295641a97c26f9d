"""A folder of another kind is named as what it is, and nothing is written into it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import main
from pipeline.base.places import Holds, place_of, refuse_to_write
from tests.tiny import tiny_shards


def run(*words, code: int = 1) -> str:
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == code and "Traceback" not in done.output, done.output
    return " ".join(done.output.split())


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return tiny_shards(tmp_path_factory.mktemp("places") / "shards" / "train")


def test_every_kind_of_folder_is_known(sample_dataset, shards, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best.pt").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun" / ".progress").mkdir(parents=True)
    (tmp_path / "file").touch()
    assert place_of(sample_dataset) is Holds.DATASET
    assert place_of(shards) is Holds.SHARDS
    assert place_of(tmp_path / "run") is Holds.RUN
    assert place_of(tmp_path / "empty") is Holds.EMPTY
    assert place_of(tmp_path / "begun") is Holds.UNFINISHED
    assert place_of(tmp_path / "file") is Holds.FILE
    assert place_of(tmp_path / "none") is Holds.NOWHERE
    assert place_of(tmp_path) is Holds.OTHER
    refuse_to_write(tmp_path / "empty", Holds.DATASET, Holds.RUN)


def test_preprocess_and_train_write_nothing_into_a_dataset_or_a_run(
    sample_dataset, shards, tmp_path
):
    before = files(sample_dataset)
    told = run("preprocess", sample_dataset, sample_dataset, "--size", "64x64", "--stretch")
    assert "a dataset in Dress Code's layout, expected a folder of its own" in told
    told = run("train", shards, sample_dataset, "--preset", "small", "--perceptual", "none")
    assert "a dataset in Dress Code's layout, expected a folder of its own" in told
    told = run("train", shards, shards, "--preset", "small", "--perceptual", "none")
    assert "a folder of shards, expected a folder of its own" in told
    (tmp_path / "best.pt").touch()
    assert "a training run, expected a folder of its own" in run(
        "preprocess", sample_dataset, tmp_path, "--size", "64x64", "--stretch"
    )
    assert files(sample_dataset) == before


def test_a_dataset_in_place_of_shards_and_the_other_way_round_are_named(
    sample_dataset, shards, tmp_path
):
    told = run("train", sample_dataset, tmp_path / "run", "--preset", "small")
    assert "a dataset in Dress Code's layout" in told and "another folder" in told
    told = run("train", shards.parent, tmp_path / "run", "--preset", "small")
    assert f"folders of them: train, expected one of them. Give {shards}" in told
    for words in (("check", shards), ("preprocess", shards, tmp_path / "out")):
        assert "a folder of shards, expected Dress Code's layout" in run(*words)
    assert f"If shards are meant, give {shards}" in run("inspect-mask", shards.parent)
    out = ("--garment", "000001", "--out", tmp_path / "a.png")
    told = run("try-on", "drawn", "--data", shards, "--person", "000000", *out)
    assert "a folder of shards" in told and "--shards" in told
