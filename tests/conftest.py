"""Fixtures that several test modules share. Heavy ones are made once per session."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # workers side by side share the cores
    share = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, share)))


@pytest.fixture(scope="session")
def real_people() -> Path:
    """A folder of real people in Dress Code's layout, named by DRESSCODE_ROOT; tests that need it
    skip without."""
    root = os.environ.get("DRESSCODE_ROOT")
    if not root or not Path(root).is_dir():
        pytest.skip("DRESSCODE_ROOT names no folder")
    return Path(root)


@pytest.fixture(scope="session")
def sample_dataset(tmp_path_factory) -> Path:
    """A synthetic dataset: 256x192, all modalities, 4 training and 2 test people in each category.
    Read only."""
    from pipeline.sample import make_sample

    return make_sample(tmp_path_factory.mktemp("sample") / "data", 4, (256, 192), test_pairs=2).out


@pytest.fixture(scope="session")
def sample_shards(sample_dataset, tmp_path_factory) -> dict[str, Path]:
    """Folders of shards of the synthetic dataset at 128x96, all mask styles, by split. Read
    only."""
    from pipeline.preprocess.run import preprocess

    base = tmp_path_factory.mktemp("shards")
    for split in ("train", "test_paired", "test_unpaired"):
        preprocess(sample_dataset, base / split, split=split, size_hw=(128, 96))
    return {split: base / split for split in ("train", "test_paired", "test_unpaired")}


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    """Plain shapes as a dataset, all categories, 5 training and 3 test people each. Read only."""
    from tiny_dresscode import write_dataset

    return write_dataset(tmp_path_factory.mktemp("dresscode"), train=5, test=3)


@pytest.fixture(scope="session")
def finished(dataset, tmp_path_factory) -> Path:
    """Shards of ``dataset`` that an uninterrupted run made. Read only."""
    from tiny_dresscode import SMALL

    from pipeline.preprocess.run import preprocess

    out = tmp_path_factory.mktemp("finished") / "shards"
    preprocess(dataset, out, **SMALL)
    return out


@pytest.fixture(scope="session")
def whole(tmp_path_factory) -> Path:
    """Plain shapes as a dataset, nothing broken, few people. Read only."""
    from tiny_dresscode import write_dataset

    return write_dataset(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def root(whole, tmp_path) -> Path:
    """A copy of ``whole`` that a test may spoil."""
    return shutil.copytree(whole, tmp_path / "data")
