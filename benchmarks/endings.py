"""Runs that are told to end, and runs that diverge: what is left of them.

    python benchmarks/endings.py [--signals 20] [--breaks 10]

Starts the real command on a few drawn people, with a tiny network and two loader workers. A signal
goes to the whole process group at a random moment, as from ``timeout``, SLURM, systemd or Ctrl-C;
then the run goes on with ``--resume`` and its weights are compared with those of a run that was
left alone. NaN or infinity is put into weights, gradients or statistics at a random step.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

OPTIONS = ["--preset", "small", "--perceptual", "none", "--device", "cpu", "--pictures", "0"]
OPTIONS += ["--epochs", "2", "--log-steps", "5", "--validation-share", "0.2", "--workers", "2"]
BREAKS = """
from model.training.trainer import Trainer
kind, where, step = sys.argv[3], float(sys.argv[4]), int(sys.argv[5])
del sys.argv[3:6]
update, forward = Trainer.update, Trainer._forward_and_backward
def spoil_weights(self, *args):
    if self.place.step == step:
        with torch.no_grad():
            self.network.dafnet.Cross_MFEs[2].layers[0].weight[0, 0] = where
    update(self, *args)
def spoil_statistics(self, *args):
    if self.place.step == step:
        self.network.source_features.encoders[1][0].block[0].running_var[0] = where
    update(self, *args)
def spoil_gradient(self, *args):
    terms = forward(self, *args)
    if self.place.step == step:
        self.network.dafnet.lights_decoder[2].weight.grad[0, 0] = where
    return terms
if kind == "weights":
    Trainer.update = spoil_weights
elif kind == "statistics":
    Trainer.update = spoil_statistics
else:
    Trainer._forward_and_backward = spoil_gradient
"""
START = """
import sys
sys.path[:0] = sys.argv[1:3]
import torch
torch.set_num_threads(1)
from model.network.config import NetworkConfig
from tiny import tiny_network
NetworkConfig.preset = classmethod(lambda cls, name: tiny_network())
"""
GO = """
from cli import main
main(sys.argv[3:])
"""


def command(shards: Path, run: Path, *more: str, spoil: tuple[str, ...] = ()) -> list[str]:
    script = START + (BREAKS if spoil else "") + GO
    arguments = ("train", str(shards), str(run), *OPTIONS, *more)
    return [sys.executable, "-c", script, str(ROOT), str(ROOT / "tests"), *spoil, *arguments]


def same(a: Path, b: Path) -> bool:
    first, second = (torch.load(p / "last.pt", weights_only=True)["network"] for p in (a, b))
    return all(torch.equal(value, second[name]) for name, value in first.items())


def told(process: subprocess.CompletedProcess | subprocess.Popen, text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return f"exit {process.returncode:4d}  {'TRACEBACK ' if 'Traceback' in text else ''}{lines[-1]}"


def logged(run: Path) -> int:
    """Lines in a run's log; -1 before the run has a folder."""
    if not (run / "config.json").exists():
        return -1
    log = run / "log.jsonl"
    return len(log.read_text().splitlines()) if log.exists() else 0


def one_signal(shards: Path, whole: Path, run: Path, number: int, lines: int, after: float) -> str:
    """A run that a signal ends ``after`` seconds behind the log's line ``lines``, and goes on."""
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen(
            command(shards, run), stdout=said, stderr=said, start_new_session=True
        )
        while logged(run) < lines and child.poll() is None:
            time.sleep(0.01)
        time.sleep(after)
        os.killpg(child.pid, number)
        sent = time.monotonic()
        child.wait(120)
        took = time.monotonic() - sent
        said.seek(0)
        line = told(child, said.read())
    if child.returncode != 128 + number:
        return line
    again = subprocess.run(command(shards, run, "--resume"), capture_output=True, text=True)
    equal = again.returncode == 0 and same(whole, run)
    after = "equal to the bit" if equal else told(again, again.stderr)
    return f"{line}  [{took:.1f} s; resumed: {after}]"


def one_break(shards: Path, run: Path, kind: str, value: str, step: int) -> str:
    """A run that is spoilt at a step."""
    spoilt = command(shards, run, "--save-steps", "3", spoil=(kind, value, str(step)))
    child = subprocess.run(spoilt, capture_output=True, text=True)
    whole = [
        name
        for name in ("last.pt", "best.pt")
        if (run / name).exists()
        and all(
            v.isfinite().all()
            for v in torch.load(run / name, weights_only=True)["network"].values()
            if v.is_floating_point()
        )
    ]
    return f"{told(child, child.stdout + child.stderr)}  [finite: {', '.join(whole) or 'none'}]"


@click.command()
@click.option("--signals", default=20, show_default=True)
@click.option("--breaks", default=10, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(signals: int, breaks: int, seed: int) -> None:
    """Prints a line for every run."""
    from tiny import tiny_shards

    torch.set_num_threads(1)
    luck = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        shards = tiny_shards(base / "shards", people=20)
        begun = time.monotonic()
        whole = subprocess.run(command(shards, base / "whole"), capture_output=True, text=True)
        seconds = time.monotonic() - begun
        steps = json.loads((base / "whole" / "log.jsonl").read_text().splitlines()[-1])["step"]
        click.echo(f"left alone: {told(whole, whole.stdout)}  ({seconds:.1f} s, {steps} steps)")
        for i in range(signals):
            number = (signal.SIGINT, signal.SIGTERM)[i % 2]
            lines, after = luck.randint(0, logged(base / "whole") - 3), luck.uniform(0, 0.5)
            line = one_signal(shards, base / "whole", base / f"signal-{i}", number, lines, after)
            click.echo(f"{number.name}, log line {lines} + {after:.2f} s: {line}")
        for i in range(breaks):
            kind = ("weights", "statistics", "gradient")[i % 3]
            value, step = luck.choice(("nan", "inf", "-inf")), luck.randrange(steps - 25)
            line = one_break(shards, base / f"break-{i}", kind, value, step)
            click.echo(f"{value} in {kind} at step {step}: {line}")
        high = subprocess.run(
            command(shards, base / "high", "--lr", "1e3"), capture_output=True, text=True
        )
        click.echo(f"--lr 1e3: {told(high, high.stdout + high.stderr)}")


if __name__ == "__main__":
    main()
