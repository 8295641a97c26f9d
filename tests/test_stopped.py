"""Commands that are stopped from outside: one sentence on how to go on, and the code that shells
give to the signal."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from commands.common import GOING_ON

ROOT = Path(__file__).parent.parent
PROGRAM = """
import time
import click
from cli import main

@click.command()
def slow():
    try:
        click.echo("at work")
        time.sleep(60)
    finally:
        click.echo("cleaned up")

main.get_command = lambda ctx, name: slow
main()
"""


def heed_interrupts() -> None:
    """Shells let what they start in the background ignore Ctrl-C, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["preprocess", "check"])
def test_a_stopped_command_cleans_up_and_says_how_to_go_on(command, number):
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", PROGRAM, command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )
    assert process.stdout.readline() == "at work\n"
    process.send_signal(number)
    done, told = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert done == "cleaned up\n"
    assert told == f"Stopped by {number.name}. {GOING_ON[command]}\n"


def test_every_command_that_may_take_long_says_how_to_go_on():
    from cli import main

    assert set(main.modules) - set(GOING_ON) == {"serve", "doctor"}
