"""Several processes by torchrun: the same training as one, shared out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_shards

from model.data.sampler import plan_epoch
from model.training.config import TrainConfig
from model.training.elsewhere import shared_out, told_elsewhere
from pipeline.base.errors import DataError

ROOT = Path(__file__).parents[1]
SCRIPT = """
import json, os, sys
sys.path[:0] = sys.argv[1:3]
import torch
torch.set_num_threads(1)
from pathlib import Path
from tiny import tiny_network
from model.training.train import train
from model.training.trainer import Trainer
from model.training.config import TrainConfig
import model.training.trainer
rank = int(os.environ.get("RANK", 0))
model.training.trainer.draw_curves = lambda entries, path: None  # slow
count = Trainer._forward_and_backward
def listen(self, batch, weight):
    seen.extend([self.place.epoch, i] for i in batch["index"].tolist() if weight)
    return count(self, batch, weight)
Trainer._forward_and_backward = listen
from model.training.processes import Processes
from model.training.watch import Stop
leave, Processes.leave = Processes.leave, Processes.wait  # one group for all the runs
Stop.seconds_left = lambda self: -1.0 if self.max_minutes and seen else 1e9  # after a step
for name, options, resume in json.loads(sys.argv[4]):
    seen = []
    folder = Path(sys.argv[3])
    train([folder / "shards"], folder / name, TrainConfig(**options), network=tiny_network(),
          resume=resume,
          device="cpu", note=lambda text: print(rank, name, text, flush=True))
    (folder / f"{name}-seen-{rank}.json").write_text(json.dumps(seen))
leave(Processes(rank, int(os.environ.get("WORLD_SIZE", 1))))
"""
OPTIONS = {
    "epochs": 2,
    "lr": 1e-3,
    "workers": 0,
    "pictures": 1,
    "log_steps": 1,
    "statistics": "frozen",
    "validation_share": 0.25,
    "jitter": 0.2,
}


def launch(folder: Path, processes: int, runs: list[tuple[str, dict, bool]]) -> str:
    """Does (name, options, resume) one after the other in the same processes: starting them is what
    takes time."""
    script = folder / "script.py"
    script.write_text(SCRIPT)
    starter = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    runs = [(name, OPTIONS | options, resume) for name, options, resume in runs]
    done = subprocess.run(
        [
            sys.executable,
            *(starter if processes > 1 else []),
            str(script),
            str(ROOT),
            str(ROOT / "tests"),
            str(folder),
            json.dumps(runs),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distributed")
    tiny_shards(folder / "shards", people=4)
    launch(folder, 1, [("one", {"batch_size": 4}, False)])
    said = launch(
        folder,
        2,
        [
            ("two", {"batch_size": 2}, False),
            ("stopped", {"batch_size": 2, "max_minutes": 1}, False),
            ("stopped", {"batch_size": 2}, True),
            ("stopped-then-one", {"batch_size": 2, "max_minutes": 1}, False),
        ],
    )
    shutil.copytree(folder / "stopped-then-one", folder / "stopped-then-one-before")
    told = launch(folder, 1, [("stopped-then-one", {"batch_size": 2}, True)])
    return folder, said + told


def state(folder: Path, name: str) -> dict:
    return torch.load(folder / name / "last.pt", weights_only=True)


def test_every_sample_is_seen_once_an_epoch_by_one_process_or_the_other(runs):
    folder, _ = runs
    seen = [json.loads((folder / f"two-seen-{rank}.json").read_text()) for rank in (0, 1)]
    alone = json.loads((folder / "one-seen-0.json").read_text())
    assert seen[0] and seen[1] and sorted(seen[0] + seen[1]) == sorted(alone)
    assert len({tuple(pair) for pair in alone}) == len(alone) == 2 * len({i for _, i in alone})


def test_two_processes_with_half_the_batch_equal_one_with_the_whole(runs):
    one, two = (state(runs[0], name) for name in ("one", "two"))
    assert one["place"]["step"] == two["place"]["step"] > 4
    for name, value in one["network"].items():
        assert torch.allclose(value.double(), two["network"][name].double(), atol=2e-5), name


def test_figures_are_gathered_from_all_processes(runs):
    logs = [
        [json.loads(line) for line in (runs[0] / name / "log.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    for a, b in zip(*[[e for e in log if e["event"] == "epoch"] for log in logs], strict=True):
        assert a["count"] == b["count"] >= 3 and a["epoch"] == b["epoch"]
        for name in ("l1", "l1_inside", "ssim_inside") + (("train_loss",) if a["epoch"] else ()):
            assert a[name] == pytest.approx(b[name], rel=1e-3), name


def test_only_the_first_process_speaks_and_writes(runs):
    folder, said = runs
    assert {line[0] for line in said.splitlines() if "epoch" in line} == {"0"}
    log = [json.loads(line) for line in (folder / "two" / "log.jsonl").read_text().splitlines()]
    assert [e["epoch"] for e in log if e["event"] == "epoch"] == [0, 1, 2]
    assert not list((folder / "two").rglob(".*.tmp"))


def test_two_processes_stopped_and_resumed_equal_two_that_were_not(runs):
    whole, resumed = (state(runs[0], name) for name in ("two", "stopped"))
    assert whole["place"] == resumed["place"]
    assert all(
        torch.equal(value, resumed["network"][name]) for name, value in whole["network"].items()
    )


def test_one_process_goes_on_with_the_steps_of_two(runs):
    folder, said = runs
    stopped, whole, resumed = (
        state(folder, name) for name in ("stopped-then-one-before", "two", "stopped-then-one")
    )
    assert 0 < stopped["place"]["step"] < whole["place"]["step"]
    assert "Going on with 1 process in place of 2, 2 pairs at a time, 2 times a step" in said
    assert (resumed["config"]["train"]["batch_size"], resumed["processes"]) == (2, 1)
    assert resumed["config"]["train"]["accumulate"] == 2
    assert whole["place"] | {"best": None} == resumed["place"] | {"best": None}
    for name, value in whole["network"].items():
        assert torch.allclose(value.double(), resumed["network"][name].double(), atol=2e-5), name
    logs = [
        [json.loads(line) for line in (folder / name / "log.jsonl").read_text().splitlines()]
        for name in ("two", "stopped-then-one")
    ]
    losses = [[e["train_loss"] for e in log if "train_loss" in e] for log in logs]
    assert len(losses[0]) == 2 and losses[1][1] == pytest.approx(losses[0][1], rel=1e-3)


def test_whoever_shares_the_steps_of_a_run_out_keeps_their_order_and_their_pairs():
    order, kept = np.random.default_rng(0).permutation(101), []
    state = {"config": {"train": TrainConfig(batch_size=4, accumulate=2).to_json()}, "processes": 3}
    own = TrainConfig(batch_size=4, accumulate=2)
    for processes in (1, 2, 3, 4, 6, 8, 12, 24):
        config = shared_out(own, state, processes, Path("run"))
        assert config.batch_size <= 4
        assert config.batch_size * config.accumulate * processes == 24
        parts = [
            plan_epoch(order, config.batch_size, config.accumulate, rank, processes)
            for rank in range(processes)
        ]
        kept.append(
            [
                sorted(i for micros in update for m in micros if m.weight for i in m.indices)
                for update in zip(*parts)
            ]
        )
    assert all(steps == kept[0] for steps in kept) and len(kept[0]) == 5
    assert shared_out(own, state, 3, Path("run")) == own


def test_a_run_that_ended_elsewhere_before_its_first_checkpoint_goes_on_anywhere(tmp_path):
    was, now = TrainConfig(batch_size=2), TrainConfig(batch_size=2, accumulate=2)
    state = {"config": {"train": was.to_json()}, "processes": 2}
    (tmp_path / "config.json").write_text(json.dumps({"train": now.to_json()}))
    for processes, shares in ((1, (2, 2)), (2, (2, 1)), (4, (1, 1))):
        config = shared_out(now, state, processes, tmp_path)
        assert (config.batch_size, config.accumulate) == shares
    named = TrainConfig(batch_size=1, accumulate=3)
    assert shared_out(named, state, 4, tmp_path) == named  # the user's own: refused later


def test_processes_that_cannot_share_a_step_evenly_are_told_which_number_could():
    own = TrainConfig(batch_size=2)
    state = {"config": {"train": own.to_json()}, "processes": 4}
    with pytest.raises(DataError, match="steps of 8 pairs, expected .*: 1, 2, 4, 8.*--init"):
        shared_out(own, state, 3, Path("run"))


def test_other_statistics_of_a_run_that_goes_on_elsewhere_are_told():
    was = TrainConfig(batch_size=4, statistics="recalibrate")
    now = TrainConfig(batch_size=2, statistics="recalibrate")
    assert "of 2 pairs from here on, not of 4" in told_elsewhere(was, 1, now, 2)[1]
    frozen = [replace(config, statistics="frozen") for config in (was, now)]
    assert len(told_elsewhere(frozen[0], 1, frozen[1], 2)) == 1
    assert not told_elsewhere(was, 1, was, 1)
