"""Batches made by worker processes, handed over in shared memory that is used again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
import torch
from tiny import SIZE, tiny_shards
from torch.utils.data import DataLoader

from model.data import packing
from model.data.dataset import TryOnDataset, to_tensor
from model.data.loading import AHEAD, Arrays, Loader, in_batches
from model.data.packing import PIXEL, _widen_there, parts, widen
from model.data.sampler import BatchSampler, epoch_order, plan_epoch
from pipeline.base.errors import DataError

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return tiny_shards(tmp_path_factory.mktemp("loading") / "shards", people=6)


@pytest.fixture(scope="module")
def dataset(shards):
    return TryOnDataset([shards], mirror=True, jitter=0.2, mask_style="mix", seed=5)


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def an_epoch(dataset, size: int, times: int = 1) -> list:
    return (
        list(BatchSampler(plan_epoch(epoch_order(dataset.categories, 5, 2), size), epoch=2)) * times
    )


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_samples_of_none(dataset, size, workers):
    batches = an_epoch(dataset, size, times=3)  # many times round the ring, its last batch short
    alone, helped = (list(Loader(dataset, batches, workers=n)) for n in (0, workers))
    assert len(alone) == len(batches) > 2 * (AHEAD * workers + 1)
    assert all(same(a, b) for a, b in zip(alone, helped, strict=True))
    assert [batch["index"].tolist() for batch in helped] == [
        [row for _, row in keys] for keys in batches
    ]


def test_a_batch_holds_the_samples_of_the_dataset(dataset):
    keys = [(2, 3), (2, 11), (2, 0)]
    batch = next(iter(Loader(dataset, [keys])))
    expected = torch.utils.data.default_collate([dataset[key] for key in keys])
    assert same(batch, expected)
    assert batch["reference"].shape == (3, 6, *SIZE) and batch["mask"].shape == (3, 1, *SIZE)
    plain = next(iter(DataLoader(dataset, 3)))
    assert same(next(iter(Loader(dataset, [[0, 1, 2]]))), plain)


@pytest.mark.parametrize("old_opencv", [False, True])
@pytest.mark.parametrize(
    "size", [(32, 64), (160, 512), (7, 5)]
)  # one block, two and the rest, an odd width
def test_packed_pictures_widen_to_the_same_tensors(monkeypatch, size, old_opencv):
    if old_opencv:
        monkeypatch.setattr(packing, "PAIRS", None)
    rng = np.random.default_rng(0)
    pose, garment, person = rng.integers(0, 256, (3, *size, 3), np.uint8)
    mask = rng.integers(0, 2, size, np.uint8)
    packed = np.full((1, PIXEL * size[0] * size[1]), 77, np.uint8)
    for part, content in zip(parts(packed[0], size), (pose, garment, person, mask), strict=True):
        part[:] = content
    assert np.array_equal(
        packed[0], np.concatenate([content.ravel() for content in (pose, garment, person, mask)])
    )
    wide = {name: value[0] for name, value in widen(torch.from_numpy(packed), size).items()}
    for name, picture in (
        ("garment", garment),
        ("person", person),
        ("agnostic", person * (1 - mask[..., None])),
    ):
        exact = torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 127.5 - 1
        assert torch.equal(wide[name], exact) and torch.equal(wide[name], to_tensor(picture)), name
    assert torch.equal(wide["reference"], torch.cat([to_tensor(pose), wide["agnostic"]]))
    assert torch.equal(wide["mask"][0], torch.from_numpy(mask).float())


def test_the_way_of_another_device_gives_the_same_values():
    packed = torch.randint(0, 256, (2, PIXEL * 32 * 64), dtype=torch.uint8)
    parts(packed, (32, 64)).mask.remainder_(2)
    there, here = _widen_there(packed, (32, 64), torch.device("cpu")), widen(packed, (32, 64))
    assert same(there, here) and all(there[name].is_contiguous() for name in there)


def test_a_batch_that_is_held_is_never_written_over(dataset):
    batches = an_epoch(dataset, 2, times=2)
    held, copies = [], []
    for batch in Loader(dataset, batches, workers=1):
        held.append(
            {name: value[..., :1] for name, value in batch.items()}
        )  # views alone keep the memory
        copies.append({name: value.clone() for name, value in held[-1].items()})
    assert len(held) == len(batches) and all(same(a, b) for a, b in zip(held, copies, strict=True))


def test_memory_that_a_gradient_needs_is_not_lent_again():
    arrays = Arrays()
    values = torch.from_numpy(arrays.lend((2, 2))).fill_(3)
    weight = torch.ones(2, 2, requires_grad=True)
    product = (weight * values).sum()
    del values
    arrays.lend((2, 2))[:] = 9
    product.backward()
    assert (weight.grad == 3).all()


def test_memory_is_used_again_once_nobody_holds_it():
    arrays = Arrays()
    places = set()
    for _ in range(10):
        tensor = torch.from_numpy(arrays.lend((3, 4)))  # the one before it is held until now
        places.add(tensor.data_ptr())
    assert len(places) == 2
    assert arrays.lend((5,)).shape == (5,)


def test_a_batch_that_is_dropped_makes_room_for_the_next(dataset):
    batches = iter(Loader(dataset, [[0], [1], [2], [3]]))
    places = {next(batches)["person"].data_ptr() for _ in range(4)}
    assert len(places) == 1


def test_the_ring_is_no_larger_than_the_batches_ahead(dataset):
    rings = {
        samples.data_ptr()
        for samples, _ in Loader(dataset, an_epoch(dataset, 1), workers=2).packed()
    }
    assert len(rings) == 2 * AHEAD + 1
    assert (
        len({samples.data_ptr() for samples, _ in Loader(dataset, an_epoch(dataset, 1)).packed()})
        == 1
    )


def test_rows_go_in_batches_of_the_size_asked_for():
    assert in_batches(range(5), 2) == [[0, 1], [2, 3], [4]] and in_batches([], 2) == []
    assert list(Loader(None, [], workers=2)) == []


def test_a_damaged_shard_is_named_from_a_worker_too(tmp_path):
    folder = tiny_shards(tmp_path / "shards", people=2)
    dataset = TryOnDataset([folder])
    for reader in dataset.folders[0].readers():
        reader.close()
    path = folder / "dresses-000.h5"
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"\xff\xd8\xff\xe0", b"\0\0\0\0"))
    for workers in (0, 1):
        with pytest.raises(DataError, match="dresses-000.h5"):
            list(Loader(dataset, in_batches(range(len(dataset)), 1), workers=workers))


def test_the_run_random_numbers_are_left_alone(dataset):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    list(Loader(dataset, [[0], [1]], workers=1))
    assert torch.equal(torch.get_rng_state(), before)


def test_workers_may_be_started_anew_instead_of_forked(shards):
    code = f"""
import multiprocessing, torch
from model.data.dataset import TryOnDataset
from model.data.loading import Loader
if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    batches = [[i] for i in range(12)]
    dataset = TryOnDataset([{str(shards)!r}], mirror=True)
    alone, helped = (list(Loader(dataset, batches, workers=n)) for n in (0, 1))
    pairs = zip(alone, helped, strict=True)
    print(sum(torch.equal(a["reference"], b["reference"]) for a, b in pairs))
"""
    script = shards.parent / "spawned.py"
    script.write_text(code)
    found = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert found.stdout == "12\n", found.stderr


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no /dev/shm to look into")
def test_killed_loading_leaves_neither_processes_nor_shared_memory(shards):
    code = f"""
from model.data.dataset import TryOnDataset
from model.data.loading import Loader
batches = [[i % 18] for i in range(100_000)]
for number, batch in enumerate(Loader(TryOnDataset([{str(shards)!r}]), batches, workers=2)):
    if number == 20:
        print("loading", flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "loading\n"
        workers = psutil.Process(process.pid).children()
        assert len(workers) >= 2
        names = [f"torch_{p}_" for p in (process.pid, *(w.pid for w in workers))]
        process.send_signal(signal.SIGKILL)
    gone, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive
    time.sleep(0.1)
    assert not [
        path.name for path in Path("/dev/shm").iterdir() if path.name.startswith(tuple(names))
    ]


def test_workers_start_after_opencv_has_worked_in_threads_of_its_own(dataset):
    before = cv2.getNumThreads()
    cv2.setNumThreads(4)
    try:
        for number in range(5):
            cv2.warpPerspective(
                np.zeros((512, 384, 3), np.uint8), np.eye(3) * (1 + number), (384, 512)
            )
            assert len(list(Loader(dataset, [[0], [1]], workers=2))) == 2
        assert cv2.getNumThreads() == 4
    finally:
        cv2.setNumThreads(before)
