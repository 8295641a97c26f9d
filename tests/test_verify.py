"""Damaged shards are named, and the next run makes just those anew."""

from __future__ import annotations

import json
import shutil

import h5py
import pytest
from click.testing import CliRunner
from folders import contents
from tiny_dresscode import SMALL

from cli import main
from pipeline.base.storage import file_sha256
from pipeline.preprocess.run import preprocess
from pipeline.preprocess.verify import verify
from pipeline.shards.checksums import content_checksum


def run(*words) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(w) for w in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "another"])
def test_verify_names_what_is_damaged_and_the_next_run_makes_just_that(
    dataset, finished, tmp_path, damage
):
    out = shutil.copytree(finished, tmp_path / "out")
    assert run("preprocess", "--verify", out)[0] == 0
    victim, good = out / "lower_body-00001.h5", contents(finished)
    data = bytearray(victim.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 1
        victim.write_bytes(data)
    elif damage == "cut":
        victim.write_bytes(data[:-1])
    elif damage == "gone":
        victim.unlink()
    else:
        shutil.copy(out / "lower_body-00000.h5", victim)
    problems = verify(out).problems
    assert [p.path for p in problems] == [str(victim)]
    code, told = run("preprocess", "--verify", out)
    assert code == 1 and "lower_body-00001.h5" in told and "Run preprocess again" in told
    times = {path.name: path.stat().st_mtime_ns for path in out.glob("*.h5") if path != victim}
    assert preprocess(dataset, out, **SMALL).made == 1
    assert contents(out) == good
    assert times == {
        path.name: path.stat().st_mtime_ns for path in out.glob("*.h5") if path != victim
    }


def test_verify_decodes_every_sample_even_where_the_checksum_fits(finished, tmp_path):
    out = shutil.copytree(finished, tmp_path / "out")
    with h5py.File(out / "dresses-00000.h5", "a") as file:
        file["garment/bytes"][10:30] = 0
    index = json.loads((out / "index.json").read_text())
    for shard in index["shards"]:
        shard["sha256"], shard["bytes"] = (
            f(out / shard["file"]) for f in (file_sha256, lambda p: p.stat().st_size)
        )
    index["checksum"] = content_checksum(index)
    (out / "index.json").write_text(json.dumps(index))
    (problem,) = verify(out, jobs=2).problems
    assert "garment picture of 020714 can't be read" in str(problem)


def test_verify_finds_shards_that_are_in_no_index(finished, tmp_path):
    out = shutil.copytree(finished, tmp_path / "out")
    shutil.copy(out / "dresses-00000.h5", out / "dresses-00009.h5")
    assert [p.found for p in verify(out).problems] == ["is in no index"]
