"""Stopped and resumed equals never stopped, bit for bit; and nothing that was there gets lost."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny import tiny_network, tiny_shards

from model.training import run_state
from model.training.config import TrainConfig
from model.training.processes import Processes
from model.training.run_state import read_checkpoint, write_checkpoint
from model.training.train import train
from model.training.trainer import Trainer
from model.training.watch import Ended, Stop
from pipeline.base.errors import DataError
from pipeline.base.labels import Category

ROOT = Path(__file__).parents[1]
OPTIONS = {
    "epochs": 2,
    "batch_size": 2,
    "accumulate": 2,
    "lr": 1e-3,
    "schedule": "cosine",
    "warmup": 2,
    "ema": 0.9,
    "flow_rate": 0.5,
    "mask_style": "mix",
    "jitter": 0.1,
    "balanced": True,
    "workers": 0,
    "pictures": 1,
    "log_steps": 1,
    "validation_share": 0.25,
    "seed": 4,
}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return tiny_shards(tmp_path_factory.mktemp("resume") / "shards", people=4)


@pytest.fixture(scope="module", autouse=True)
def quick():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "model.training.trainer.draw_curves", lambda entries, path: None
        )  # slow, and not what this is about
        yield
    torch.set_num_threads(before)


def run(shards, folder, resume=False, note=lambda text: None, **changes):
    return train(
        [shards],
        folder,
        TrainConfig(**OPTIONS | changes),
        network=tiny_network(),
        resume=resume,
        device="cpu",
        note=note,
    )


def test_a_finished_run_says_that_nothing_is_left_to_do(shards, tmp_path):
    said: list[str] = []
    options = {"epochs": 1, "pictures": 0, "schedule": "constant", "note": said.append}
    run(shards, tmp_path / "run", **options)
    before = (tmp_path / "run" / "last.pt").read_bytes()
    run(shards, tmp_path / "run", resume=True, **options)
    assert any("Nothing is left to do: all 1 epochs are done. --epochs" in line for line in said)
    assert not any("Going on" in line for line in said)
    assert (tmp_path / "run" / "last.pt").read_bytes() == before
    run(shards, tmp_path / "run", resume=True, **options | {"epochs": 2})
    assert any("Going on after step" in line for line in said)
    said.clear()
    options |= {"schedule": "cosine"}
    run(shards, tmp_path / "cosine", **options)
    run(shards, tmp_path / "cosine", resume=True, **options)
    assert any(f"--init {tmp_path / 'cosine' / 'best.pt'}" in line for line in said)


@pytest.fixture(scope="module")
def unbroken(shards, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    run(shards, folder)
    return folder


def equal(a, b) -> bool:
    if isinstance(a, dict):
        return (
            isinstance(b, dict) and a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
        )
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b))
    return torch.equal(a, b) if torch.is_tensor(a) else a == b


def log_without_clock(folder: Path) -> list[dict]:
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in entry.items() if name != "minutes"} for entry in entries
    ]


def assert_same_run(folder: Path, other: Path) -> None:
    for name in ("last.pt", "best.pt"):
        a, b = (torch.load(path / name, weights_only=True) for path in (folder, other))
        for part in ("network", "trained", "optimizer", "average", "place", "random", "scaler"):
            assert equal(a[part], b[part]), f"{part} of {name}"
    assert log_without_clock(folder) == log_without_clock(other)
    pictures = [
        sorted(p.relative_to(f) for p in f.rglob("*.png") if p.name != "curves.png")
        for f in (folder, other)
    ]
    assert pictures[0] == pictures[1] and len(pictures[0]) > 6
    assert all((folder / name).read_bytes() == (other / name).read_bytes() for name in pictures[0])


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it, no farewell is written."""


@pytest.mark.parametrize("step", [3])
def test_killed_after_a_step_and_resumed_equals_never_stopped(
    shards, unbroken, tmp_path, monkeypatch, step
):
    """Three steps make an epoch: after the third, the kill comes before the epoch was measured."""
    assert read_checkpoint(unbroken / "last.pt")["place"]["step"] == 6
    save = Trainer._save_now_and_then

    def save_and_die(self):
        save(self)
        if self.place.step == step:
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Trainer, "_save_now_and_then", save_and_die)
        run(shards, tmp_path / "run", save_steps=1)
    run(shards, tmp_path / "run", resume=True, save_steps=1)
    assert_same_run(unbroken, tmp_path / "run")


def test_steps_after_the_last_checkpoint_are_done_again(shards, unbroken, tmp_path, monkeypatch):
    update = Trainer.update

    def die_before_the_sixth(self, *args):
        if self.place.step == 5:
            raise Killed
        update(self, *args)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Trainer, "update", die_before_the_sixth)
        run(shards, tmp_path / "run", save_steps=4)
    assert read_checkpoint(tmp_path / "run" / "last.pt")["place"]["step"] == 4
    assert max(entry["step"] for entry in log_without_clock(tmp_path / "run")) == 5
    run(shards, tmp_path / "run", resume=True)
    assert_same_run(unbroken, tmp_path / "run")


def stop_after(step: int, patch: pytest.MonkeyPatch) -> dict:
    """Has the time limit come after a step, with time left for a look. Returns options."""

    def needed(self):
        return float("inf") if self.place.step == step else 0.0

    patch.setattr(Trainer, "_leaving_seconds", needed)
    return {"max_minutes": 60}


def test_time_limit_stops_inside_an_epoch_with_tested_weights_and_resumes_exactly(
    shards, tmp_path, monkeypatch
):
    options = {"ema": 0.0, "statistics": "recalibrate"}
    run(shards, tmp_path / "whole", **options)
    with monkeypatch.context() as patch:
        summary = run(shards, tmp_path / "run", **options, **stop_after(1, patch))
    state = read_checkpoint(tmp_path / "run" / "last.pt")
    assert "minutes are over" in summary["stopped"] and state["place"]["update"] == 1
    assert summary["best_epoch"] == pytest.approx(1 / 3)
    means = [name for name in state["network"] if name.endswith("running_mean")]
    assert any(not torch.equal(state["network"][name], state["trained"][name]) for name in means)
    run(shards, tmp_path / "run", resume=True, **options)
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_the_look_at_the_end_of_a_stopped_run_competes_for_the_best(
    shards, unbroken, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr("model.training.trainer.better", lambda figure, value, than: True)
        run(shards, tmp_path / "run", **stop_after(4, patch))
    assert read_checkpoint(tmp_path / "run" / "best.pt")["place"]["step"] == 4
    run(shards, tmp_path / "run", resume=True)  # compares whole epochs, as if never stopped
    assert_same_run(unbroken, tmp_path / "run")


def test_a_limit_that_ends_in_the_first_look_leaves_a_run_that_goes_on(shards, unbroken, tmp_path):
    summary = run(shards, tmp_path / "run", max_minutes=1e-6)
    assert summary["text"].startswith("Stopped after step 0 (1e-06 minutes are over)")
    run(shards, tmp_path / "run", resume=True)
    assert_same_run(unbroken, tmp_path / "run")


COMMAND = """
import sys
sys.path[:0] = sys.argv[1:3]
import torch
from model.network.config import NetworkConfig
from tiny import tiny_network
torch.set_num_threads(1)
NetworkConfig.preset = classmethod(lambda cls, name: tiny_network())
from cli import main
main(sys.argv[3:])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_ends_with_a_checkpoint_a_sentence_and_its_exit_code(
    shards, tmp_path, number
):
    arguments = ["train", str(shards), str(tmp_path / "run"), "--preset", "small"]
    arguments += ["--perceptual", "none", "--device", "cpu", "--pictures", "0", "--workers", "1"]
    arguments += ["--epochs", "100000", "--log-steps", "1"]
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(ROOT), str(ROOT / "tests"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        for line in child.stderr:
            if "step 3/" in line:
                break
        for _ in range(2):  # as timeout does: the process, then its group
            os.killpg(child.pid, number)
        said = child.stdout.read() + child.stderr.read()
    assert child.returncode == 128 + number, said
    assert f"({number.name} received), go on with --resume" in said and "Traceback" not in said
    place = read_checkpoint(tmp_path / "run" / "last.pt")["place"]
    assert f"Stopped after step {place['step']} " in said and place["step"] >= 3


def test_a_second_request_or_one_before_the_first_step_ends_at_once():
    stop = Stop(0.0, Processes())
    with stop.on_signals(), pytest.raises(Ended, match="SIGTERM"):
        signal.raise_signal(signal.SIGTERM)
    stop = Stop(0.0, Processes())
    stop.gentle = True
    with stop.on_signals():
        signal.raise_signal(signal.SIGINT)
        assert stop.now() and stop.signal == signal.SIGINT
        stop._told_at -= 5
        with pytest.raises(Ended):
            signal.raise_signal(signal.SIGINT)


def test_lines_that_nobody_reads_any_more_end_no_run(shards, tmp_path):
    def gone(text):
        raise BrokenPipeError

    train(
        [shards],
        tmp_path / "run",
        TrainConfig(**OPTIONS | {"epochs": 1}),
        network=tiny_network(),
        device="cpu",
        note=gone,
    )
    assert read_checkpoint(tmp_path / "run" / "last.pt")["place"]["epoch"] == 1


def test_a_real_sigkill_leaves_a_run_that_resumes_exactly(shards, unbroken, tmp_path):
    script = (
        "import sys; sys.path[:0] = sys.argv[1:3]; import torch; torch.set_num_threads(1)\n"
        "from test_resume_training import run; run(sys.argv[3], "
        "__import__('pathlib').Path(sys.argv[4]),"
        " save_steps=1)"
    )
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            script,
            str(ROOT),
            str(ROOT / "tests"),
            str(shards),
            str(tmp_path / "run"),
        ]
    )
    deadline = time.monotonic() + 120
    while (
        not (tmp_path / "run" / "last.pt").exists()
        and child.poll() is None
        and time.monotonic() < deadline
    ):
        time.sleep(0.005)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert (tmp_path / "run" / "last.pt").exists()
    run(shards, tmp_path / "run", resume=True)
    assert_same_run(unbroken, tmp_path / "run")


def test_a_finished_run_resumes_into_more_epochs(shards, tmp_path):
    options = {"schedule": "step", "step_epochs": 1, "ema": 0.0}
    run(shards, tmp_path / "whole", **options)
    run(shards, tmp_path / "run", epochs=1, **options)
    run(shards, tmp_path / "run", resume=True, **options)
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_resume_without_a_checkpoint_is_refused(shards, tmp_path):
    with pytest.raises(DataError, match="last.pt: no checkpoint.*without --resume"):
        run(shards, tmp_path / "nothing", resume=True)


def test_a_used_folder_is_refused_without_resume(shards, unbroken):
    before = (unbroken / "last.pt").read_bytes()
    with pytest.raises(DataError, match="holds a run already.*--resume"):
        run(shards, unbroken)
    assert (unbroken / "last.pt").read_bytes() == before


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"lr": 2e-3}, "lr: 0.001, now 0.002"),
        ({"batch_size": 1}, "batch_size: 2, now 1"),
        ({"ema": 0.0, "seed": 5}, "ema: 0.9, now 0.0; seed: 4, now 5"),
        ({"epochs": 3}, "epochs: 2, now 3"),  # would bend the cosine
        ({"limit": 3}, "limit: None, now 3; data pairs"),
    ],
)
def test_another_configuration_is_refused_with_the_difference(shards, unbroken, changes, told):
    with pytest.raises(DataError, match="another configuration .*" + told):
        run(shards, unbroken, resume=True, **changes)


def test_other_data_and_another_network_are_refused(shards, unbroken, tmp_path):
    other = tiny_shards(tmp_path / "other", people=5, categories=(Category.UPPER_BODY,))
    with pytest.raises(DataError, match="data pairs: .* now"):
        run(other, unbroken, resume=True)
    with pytest.raises(DataError, match="network: another shape"):
        train(
            [shards],
            unbroken,
            TrainConfig(**OPTIONS),
            network=tiny_network(flows=3),
            resume=True,
            device="cpu",
        )


def test_a_full_disc_leaves_the_checkpoint_that_was_there(tmp_path, monkeypatch):
    path = tmp_path / "last.pt"
    write_checkpoint(
        path, {"format": "fittingroom", "version": 1, "place": {}, "value": torch.ones(3)}
    )
    before = path.read_bytes()

    def full(state, part):
        part.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run_state.torch, "save", full)
    with pytest.raises(DataError, match="No space left.*untouched.*--resume"):
        write_checkpoint(path, {})
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.parametrize(
    "content, told", [(b"not a checkpoint", "is no checkpoint"), (None, "no state of a run")]
)
def test_a_file_that_is_no_run_is_refused(tmp_path, content, told):
    path = tmp_path / "last.pt"
    path.write_bytes(content) if content else torch.save({"weight": torch.ones(1)}, path)
    with pytest.raises(DataError, match=told):
        read_checkpoint(path)


def test_a_second_training_into_the_same_folder_is_refused_while_the_first_runs(shards, tmp_path):
    from pipeline.base.storage import only_run_in

    (tmp_path / "run").mkdir()
    with only_run_in(tmp_path / "run"), pytest.raises(DataError, match="another run"):
        run(shards, tmp_path / "run")
