"""Killed at any moment, any number of times, a run goes on and ends with the bytes of one that was
never stopped."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from folders import contents, die, ended, in_process
from tiny_dresscode import write_dataset

from pipeline.base.errors import DataError
from pipeline.base.storage import only_run_in
from pipeline.preprocess.run import preprocess
from pipeline.preprocess.verify import verify

SMALL = {"size_hw": (64, 64), "people_per_shard": 2}
SHARDS = 9


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = write_dataset(tmp_path_factory.mktemp("dresscode"), train=5)
    (root / "dresses/keypoints/020715_2.json").write_text("{}")  # skips must survive, too
    return root


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    """Files of an uninterrupted run."""
    out = tmp_path_factory.mktemp("whole") / "shards"
    assert preprocess(dataset, out, max_skips=1, **SMALL).packed == 14
    return contents(out)


def only_whole_files(out: Path, whole: dict[str, str]) -> bool:
    """Whatever lies under a final name is what an uninterrupted run puts there."""
    return all(
        whole[name] == sha
        for name, sha in contents(out).items()
        if not name.startswith(".progress") and name != ".lock"
    )


def dying_at(step: int, when: str, dataset: Path, out: Path) -> None:
    """Runs until the given file is about to get its final name, or just has got it, and dies
    there."""
    steps, put = iter(range(10**6)), os.replace

    def replace(unfinished, final):
        at_step = next(steps) == step
        if at_step and when == "before":
            die()
        put(unfinished, final)
        if at_step:
            die()

    os.replace = replace
    preprocess(dataset, out, max_skips=1, **SMALL)


def test_killed_around_every_single_file_that_appears(dataset, whole, tmp_path):
    """Configuration, then record and shard of each task, then the index: each is a moment of its
    own."""
    deaths = 0
    for step in range(2 * SHARDS + 2):
        for when in ("before", "after"):
            out = tmp_path / f"{step}-{when}"
            assert ended(in_process(dying_at, step, when, dataset, out)) == -signal.SIGKILL
            deaths += 1
            assert only_whole_files(out, whole)
            assert (out / "index.json").exists() == (step == 2 * SHARDS + 1 and when == "after")
            summary = preprocess(dataset, out, max_skips=1, **SMALL)
            finished = (
                step + (when == "after") - 1
            ) // 2  # one step for the configuration, two for a shard
            assert summary.kept == min(max(finished, 0), SHARDS)
            assert contents(out) == whole
    assert deaths == 40


def test_killed_again_and_again_at_random_moments(dataset, whole, tmp_path):
    """Threads write several shards at once here, so that moments between two files are hit as
    well."""
    chance, kills = random.Random(5), 0
    for round_ in range(4):
        out, longest = tmp_path / str(round_), 0.12
        while not (out / "index.json").exists() or (out / ".progress").exists():
            child = in_process(
                preprocess, dataset, out, max_skips=1, jobs=2, backend="threading", **SMALL
            )
            time.sleep(chance.uniform(0.005, longest))
            longest *= 1.05  # so that a slow machine, too, comes to an end
            os.kill(child, signal.SIGKILL)
            kills += ended(child) == -signal.SIGKILL
            assert only_whole_files(out, whole)
        preprocess(dataset, out, max_skips=1, **SMALL)
        assert contents(out) == whole
    assert kills >= 4


def command(dataset: Path, out: Path) -> subprocess.Popen:
    """The command with two worker processes, in a session of its own."""
    code = (
        "import sys; from pathlib import Path; from pipeline.preprocess.run import preprocess; "
        "preprocess(Path(sys.argv[1]), Path(sys.argv[2]), max_skips=1, jobs=2, size_hw=(64, 64), "
        "people_per_shard=2)"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, dataset, out],
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
        start_new_session=True,
    )


def after_shards(count: int, out: Path, running: subprocess.Popen) -> None:
    """Waits until so many shards are there."""
    while len(list(out.glob("*.h5"))) < count:
        assert running.poll() is None, running.stderr.read()
        time.sleep(0.002)


def workers(parent: int) -> list[psutil.Process]:
    """Worker processes of a run; the resource tracker among its children is none."""
    return [
        child
        for child in psutil.Process(parent).children()
        if "LokyProcess" in " ".join(child.cmdline())
    ]


def test_a_killed_worker_process_is_told_and_finished_shards_are_kept(dataset, whole, tmp_path):
    out = tmp_path / "out"
    running = command(dataset, out)
    try:
        after_shards(1, out, running)
        workers(running.pid)[0].kill()
        told = running.communicate(timeout=60)[1]
    finally:
        end_session(running)
    assert running.returncode == 1
    assert (
        "a worker process was killed, mostly for want of memory" in told
        and "finished shards are kept" in told
    )
    assert only_whole_files(out, whole)
    summary = preprocess(dataset, out, max_skips=1, **SMALL)
    assert summary.kept >= 1 and contents(out) == whole


def test_a_killed_parent_of_worker_processes_loses_nothing(dataset, whole, tmp_path):
    """Its workers outlive it for a moment; what they still write must not spoil the next run, which
    begins at once."""
    out = tmp_path / "out"
    running = command(dataset, out)
    try:
        after_shards(1, out, running)
        running.kill()
        running.wait()
        summary = preprocess(dataset, out, max_skips=1, **SMALL)
        assert summary.kept >= 1
        time.sleep(0.5)
    finally:
        end_session(running)
    assert contents(out) == whole and verify(out).problems == ()


def end_session(running: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    running.stderr.close()


NO_LOCKS = """
import errno, fcntl, os, sys
def refuse(*_):
    raise OSError(getattr(errno, os.environ["REFUSAL"]), "refused")
fcntl.flock = refuse
from cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("refusal", ["ENOLCK", "ENOSYS", "EOPNOTSUPP"])
def test_a_file_system_without_locks_is_gone_on_with_and_told(dataset, whole, tmp_path, refusal):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".running").write_text(f"process 4194305 on {socket.gethostname()}")  # was killed
    words = ["preprocess", dataset, out, "--size", "128x96", "--max-skips", "1", "--jobs", "1"]
    ran = subprocess.run(
        [sys.executable, "-c", NO_LOCKS, *words],
        env={**os.environ, "REFUSAL": refusal},
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    assert ran.returncode == 0, ran.stderr
    assert "this file system has no locks; the file .running keeps other runs out" in ran.stderr
    assert "Warning" not in ran.stderr
    assert (out / "index.json").exists() and not (out / ".running").exists()


def test_without_locks_a_run_elsewhere_keeps_this_one_out(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr("fcntl.flock", refuse)
    for holder in ("process 12 on another-machine", f"process {os.getpid()} on ", "???"):
        holder += socket.gethostname() * holder.endswith(" ")
        (tmp_path / ".running").write_text(holder)
        refused = pytest.raises(DataError, match="another run is writing here.*delete")
        with refused, only_run_in(tmp_path):
            pass
        assert (tmp_path / ".running").read_text() == holder


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
@pytest.mark.parametrize("number", [37, 38, 95])
def test_where_the_system_refuses_every_lock_shards_are_written_and_read(dataset, tmp_path, number):
    source, library = Path(__file__).parent / "data/nolock.c", tmp_path / "nolock.so"
    build = ["cc", "-shared", "-fPIC", f"-DNUMBER={number}", "-o", library, source, "-ldl"]
    subprocess.run(build, check=True)
    code = (
        "import sys; from pathlib import Path; from pipeline.preprocess.run import preprocess; "
        "from pipeline.shards.folder import ShardFolder; "
        "preprocess(Path(sys.argv[1]), Path(sys.argv[2]), max_skips=1, size_hw=(64, 64)); "
        "shards = ShardFolder(Path(sys.argv[2])); "
        "print(len([shards[i] for i in range(len(shards))]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, dataset, tmp_path / "out"],
        env={**os.environ, "LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    assert ran.stdout == "14\n", ran.stderr
