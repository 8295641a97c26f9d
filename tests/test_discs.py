"""Full and read-only discs, and two runs in one folder: for real, on small file systems mounted for
the test."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import time

import pytest
from click.testing import CliRunner
from folders import contents, ended, in_process
from tiny import tiny_sample, write_shards
from tiny_dresscode import SMALL

from cli import main
from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.storage import whole
from pipeline.preprocess.run import preprocess
from pipeline.shards.folder import ShardFolder


def test_a_folder_that_cannot_be_written_is_an_error(dataset, tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file/out", tmp_path / "file"):
        with pytest.raises(DataError, match="could not be written"):
            preprocess(dataset, out, **SMALL)


@pytest.fixture
def volume(tmp_path):
    """Mounts a file system in memory: ``volume(options)``; again changes the options."""
    place = tmp_path / "volume"
    place.mkdir()

    def mount(options: str):
        remount = "remount," if os.path.ismount(place) else ""
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", remount + options, "tmpfs", place], capture_output=True
        )
        if done.returncode:
            pytest.skip("this machine lets no file system be mounted")
        return place

    yield mount
    if os.path.ismount(place):
        subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disc_keeps_what_is_finished_and_the_run_goes_on_with_more_room(
    dataset, tmp_path, volume
):
    preprocess(dataset, tmp_path / "whole", images="raw", **SMALL)
    out = volume("size=300k") / "out"
    code, told = run_raw(dataset, out)
    assert code == 1 and "No space left on device" in told and "finished shards are kept" in told
    kept = sorted(path.name for path in out.glob("*.h5"))
    whole = contents(tmp_path / "whole")
    assert (
        0 < len(kept) < 9 and contents(out).items() >= {name: whole[name] for name in kept}.items()
    )
    assert not list(out.rglob("*.tmp"))
    volume("size=64m")
    summary = preprocess(dataset, out, images="raw", **SMALL)
    assert summary.kept == len(kept) and contents(out) == whole


def run_raw(dataset, out) -> tuple[int, str]:
    try:
        preprocess(dataset, out, images="raw", jobs=2, **SMALL)
    except DataError as error:
        return 1, str(error)
    return 0, ""


def test_a_read_only_disc_is_an_error(dataset, finished, volume):
    out = shutil.copytree(finished, volume("size=8m") / "out")
    volume("ro,size=8m")
    with pytest.raises(DataError, match="could not be written .Read-only file system"):
        preprocess(dataset, out, **SMALL)
    assert ShardFolder(out)[0].photo.any(), "reading must still work"


def test_files_may_not_grow_beyond_the_systems_limit(dataset, finished, tmp_path, capfd):
    """The same as a full disc, for machines where nothing can be mounted."""

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        preprocess(dataset, tmp_path / "out", **SMALL)

    assert ended(in_process(limited)) == 1
    assert "could not be written (File too large)" in capfd.readouterr().err
    assert not list((tmp_path / "out").rglob("*.tmp")) and not list((tmp_path / "out").glob("*.h5"))
    preprocess(dataset, tmp_path / "out", **SMALL)
    assert contents(tmp_path / "out") == contents(finished)


def test_of_two_runs_in_one_folder_the_second_says_so_and_stops(dataset, finished, tmp_path):
    out = tmp_path / "out"
    first = in_process(lambda: preprocess(dataset, out, **SMALL))
    while not list(out.glob("*.h5")):
        time.sleep(0.001)
    os.kill(first, signal.SIGSTOP)
    try:
        with pytest.raises(DataError, match=f"another run is writing here .process {first} on "):
            preprocess(dataset, out, **SMALL)
    finally:
        os.kill(first, signal.SIGCONT)
    assert ended(first) == 0
    assert contents(out) == contents(finished)


def test_an_unfinished_file_may_be_a_link_and_an_error_leaves_the_old_one(tmp_path):
    path, other = tmp_path / "kept.pt", tmp_path / "last.pt"
    other.write_bytes(b"weights")
    with whole(path) as unfinished:
        os.link(other, unfinished)
    assert path.samefile(other)  # no second copy on the disc
    with pytest.raises(RuntimeError), whole(path) as unfinished:
        unfinished.write_bytes(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"weights" and len(list(tmp_path.iterdir())) == 2


def test_a_run_sweeps_what_killed_ones_left_and_nothing_else(tmp_path):
    from model.training.run_state import RunFolder

    for name in ("last.pt", ".own.tmp", f".last.pt.{'0a' * 16}.tmp", f".log.jsonl.{'b' * 32}.tmp"):
        (tmp_path / name).write_bytes(b"x")
    RunFolder(tmp_path).sweep()
    assert sorted(p.name for p in tmp_path.iterdir()) == [".own.tmp", "last.pt"]


def test_a_disc_that_is_too_small_for_a_checkpoint_is_told_as_such(tmp_path, volume):
    shards = write_shards(tmp_path / "shards", [tiny_sample(Category.DRESSES, n) for n in range(3)])
    out = volume("size=2m") / "run"
    options = ["--preset", "small", "--perceptual", "none", "--epochs", "1", "--workers", "0"]
    options += ["--validation-share", "0", "--pictures", "0"]
    result = CliRunner().invoke(main, ["train", str(shards), str(out), *options])
    assert result.exit_code == 1
    assert re.search("it takes 2[0-9] MB, more than are free on the disc", result.output)
    assert "then start the run again" in result.output
    assert "inline_container" not in result.output and not list(out.glob("*.pt"))
    volume("size=200m")
    again = CliRunner().invoke(main, ["train", str(shards), str(out), *options])
    assert again.exit_code == 0, again.output
    assert (out / "last.pt").exists()
