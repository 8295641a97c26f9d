"""Files of a dataset that were replaced after a run: their shards are made again, no others."""

from __future__ import annotations

import os
import shutil

import pytest
from click.testing import CliRunner
from folders import contents
from tiny_dresscode import write_dataset

from cli import main
from pipeline.preprocess.run import preprocess
from pipeline.preprocess.verify import verify

SMALL = {"size_hw": (64, 64), "people_per_shard": 2}


@pytest.fixture
def packed(tmp_path):
    root = write_dataset(tmp_path / "data", train=4)
    preprocess(root, tmp_path / "shards", **SMALL)
    return root, tmp_path / "shards"


def photos(root, category="dresses"):
    return sorted((root / category / "images").glob("*_0.jpg"))


def test_a_replaced_label_map_makes_its_shard_again_and_no_other(packed):
    root, out = packed
    before = contents(out)
    first, second = sorted((root / "dresses/label_maps").glob("*.png"))[:2]
    shutil.copyfile(second, first)
    (problem,) = verify(out, root=root).problems
    assert "dresses-0000" in str(problem) and "changed since" in str(problem)
    assert first.name in str(problem)
    summary = preprocess(root, out, **SMALL)
    assert summary.made == 1 and summary.kept == 5
    ((name, files),) = summary.changed
    assert name.startswith("dresses-") and files == (f"dresses/label_maps/{first.name}",)
    other = {n for n, digest in contents(out).items() if before.get(n) != digest}
    assert other == {name, "index.json"}
    assert verify(out, root=root).problems == ()


def test_a_photo_replaced_by_an_older_file_is_found_too(packed):
    root, out = packed
    first, second = photos(root)[:2]
    os.utime(second, (1, 1))
    shutil.copy2(second, first)  # with its time
    summary = preprocess(root, out, **SMALL)
    assert summary.made == 1 and summary.changed[0][1] == ()


def test_files_that_were_only_touched_or_copied_elsewhere_make_nothing_again(packed, tmp_path):
    root, out = packed
    before = contents(out)
    for path in photos(root):
        path.touch()
    assert preprocess(root, out, **SMALL).made == 0
    moved = shutil.copytree(root, tmp_path / "moved")
    assert preprocess(moved, out, **SMALL).made == 0
    assert verify(out, root=moved).problems == ()
    assert contents(out) == before


def test_shards_whose_sidecar_was_lost_are_compared_by_what_the_files_hold(packed):
    root, out = packed
    (out / ".sources.json").unlink()
    assert preprocess(root, out, **SMALL).made == 0
    (out / ".sources.json").write_text("[broken")
    shutil.copyfile(photos(root)[1], photos(root)[0])
    assert preprocess(root, out, **SMALL).made == 1


def test_the_command_names_the_shard_and_the_file(packed):
    root, out = packed
    words = ["preprocess", str(root), str(out), "--size", "64x64", "--stretch"]
    again = CliRunner().invoke(main, [*words, "--jobs", "1"])
    assert again.exit_code == 1 and "another configuration" in again.output  # people per shard
    shutil.copyfile(photos(root)[1], photos(root)[0])
    told = CliRunner().invoke(main, ["preprocess", str(root), str(out), "--verify"])
    assert told.exit_code == 1 and "have changed since" in told.output
