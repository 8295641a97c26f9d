"""The command line from a Dress Code folder to a dressed person: on the synthetic sample, and on
real people."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cli import main


def run(*arguments) -> str:
    """Standard output of a command that has to succeed."""
    done = CliRunner().invoke(main, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize(
    "fixture, size", [("sample_dataset", "128x96"), ("real_people", "512x384")]
)
def test_a_dress_code_folder_becomes_a_dressed_person(
    request, tmp_path: Path, fixture: str, size: str
):
    data = request.getfixturevalue(fixture)
    shards, weights = tmp_path / "shards", tmp_path / "run" / "last.pt"
    assert "0 errors" in run("check", data)
    assert "0 skipped" in run("preprocess", data, shards, "--size", size, "--jobs", 1)
    run(
        "inspect-mask",
        data,
        "--size",
        size,
        "--out",
        tmp_path / "masks.html",
        "--json",
        tmp_path / "scores.json",
        "--fail-above",
        "leak=0",
        "--jobs",
        1,
    )
    run(
        "train",
        shards,
        tmp_path / "run",
        "--preset",
        "small",
        "--perceptual",
        "none",
        "--epochs",
        1,
        "--limit",
        1,
        "--pictures",
        1,
        "--workers",
        0,
        "--device",
        "cpu",
    )
    run("evaluate", weights, shards, "--json", tmp_path / "metrics.json", "--device", "cpu")
    run(
        "try-on",
        weights,
        "--shards",
        shards,
        "--limit",
        1,
        "--sheet",
        tmp_path / "sheet.png",
        "--out",
        tmp_path / "dressed",
        "--device",
        "cpu",
    )

    height, width = (int(n) for n in size.split("x"))
    dressed = sorted((tmp_path / "dressed").glob("*.png"))
    assert len(dressed) == 3
    for path in dressed:
        picture = np.asarray(Image.open(path))
        assert picture.shape == (height, width, 3) and picture.std() > 1
    assert {p.name for p in (tmp_path / "run").glob("progress_*.png")} == {
        f"progress_{c}.png" for c in ("upper_body", "lower_body", "dresses")
    }
    assert json.loads((tmp_path / "metrics.json").read_text())
    assert "<html" in (tmp_path / "masks.html").read_text()[:200].lower()


@pytest.mark.parametrize(
    "size, told",
    [
        ("384x512", "Write 512x384"),
        ("500x301", "is 384x288"),
        ("512x512", "4 high to 3 wide"),
        ("1024x1024", "--stretch"),
    ],
)
def test_a_size_that_would_distort_people_is_refused_with_the_one_that_was_meant(
    sample_dataset, tmp_path, size, told
):
    words = ["preprocess", str(sample_dataset), str(tmp_path / "out"), "--size", size]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 1 and told in done.output
    assert not (tmp_path / "out").exists()


def test_stretched_shards_can_be_had(sample_dataset, tmp_path):
    shards = tmp_path / "out"
    words = ("--size", "64x64", "--limit", 1, "--jobs", 1)
    run("preprocess", sample_dataset, shards, *words, "--stretch")
    assert json.loads((shards / "index.json").read_text())["configuration"]["size_hw"] == [64, 64]


def test_a_misspelt_command_is_answered_with_the_right_one():
    done = CliRunner().invoke(main, ["preproces"])
    assert done.exit_code == 2 and "Did you mean 'preprocess'?" in done.output
