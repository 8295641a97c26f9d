"""A real Dask scheduler and two worker processes on this machine: the same bytes, also when a
worker is killed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from folders import contents
from tiny_dresscode import write_dataset

from cli import main
from pipeline.base.errors import DataError
from pipeline.preprocess.run import preprocess

pytest.importorskip("distributed")
ROOT = Path(__file__).parent.parent
SMALL = {"size_hw": (64, 64), "people_per_shard": 2}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("dresscode"), train=8)


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "shards"
    preprocess(dataset, out, **SMALL)
    return contents(out)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Address of the scheduler and its two worker processes."""
    folder, started = tmp_path_factory.mktemp("cluster"), []

    def start(*words) -> subprocess.Popen:
        log = open(folder / f"{len(started)}.log", "w+")  # noqa: SIM115
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "distributed.cli." + words[0], *words[1:]],
                stderr=log,
                stdout=log,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        )
        return started[-1]

    try:
        start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        address = announced(folder / "0.log", r"Scheduler at:\s+(tcp://[\d.:]+)")
        workers = [
            start(
                "dask_worker",
                address,
                "--nthreads",
                "1",
                "--no-nanny",
                "--no-dashboard",
                "--local-directory",
                folder / "scratch",
            )
            for _ in range(2)
        ]
        for number in (1, 2):
            announced(folder / f"{number}.log", r"Registered to:\s+(tcp://[\d.:]+)")
        yield address, workers
    finally:
        for process in started[::-1]:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.wait()


def announced(log: Path, pattern: str) -> str:
    for _ in range(600):
        if found := re.search(pattern, log.read_text()):
            return found[1]
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def test_a_cluster_gives_the_bytes_of_one_process(dataset, whole, cluster, tmp_path):
    words = [
        "preprocess",
        dataset,
        tmp_path / "big",
        "--size",
        "64x64",
        "--stretch",
        "--backend",
        "dask",
        "--scheduler",
        cluster[0],
    ]
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0 and "24 packed, 0 skipped" in result.output
    preprocess(dataset, tmp_path / "out", backend="dask", scheduler=cluster[0], **SMALL)
    assert contents(tmp_path / "out") == whole
    assert (
        preprocess(dataset, tmp_path / "out", backend="dask", scheduler=cluster[0], **SMALL).made
        == 0
    )


def test_a_bad_pair_on_a_cluster_is_listed_as_anywhere(dataset, cluster, tmp_path):
    root = write_dataset(tmp_path / "data", train=2)
    (root / "dresses/keypoints/020715_2.json").write_text("{}")
    with pytest.raises(DataError, match="(?s)1 bad pair,.*dresses/020715"):
        preprocess(root, tmp_path / "out", backend="dask", scheduler=cluster[0], **SMALL)


def test_a_cluster_that_loses_a_worker_still_ends_with_the_same_bytes(
    dataset, whole, cluster, tmp_path
):
    """The last test of this module: one worker is gone afterwards."""
    address, (victim, _) = cluster
    out = tmp_path / "out"

    def kill_after_the_first_shard():
        while not list(out.glob("*.h5")):
            time.sleep(0.001)
        victim.kill()

    killer = threading.Thread(target=kill_after_the_first_shard)
    killer.start()
    preprocess(dataset, out, backend="dask", scheduler=address, **SMALL)
    killer.join()
    assert victim.wait() == -signal.SIGKILL
    assert contents(out) == whole


def test_a_scheduler_that_does_not_answer_is_an_error(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.preprocess.backends.CONNECT_SECONDS", 1)
    with pytest.raises(
        DataError, match="no Dask scheduler with workers answers at tcp://127.0.0.1:9"
    ):
        preprocess(
            dataset, tmp_path / "out", backend="dask", scheduler="tcp://127.0.0.1:9", **SMALL
        )
