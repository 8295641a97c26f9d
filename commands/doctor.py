"""``doctor``: what works on this machine, what does not, and what to do about it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click


@click.command(short_help="Try what this machine has.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Where data and runs will lie.  [default: this folder]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(folder: Path, as_json: bool) -> None:
    """Try everything that the program needs of this machine: Python and packages, torch, GPU, C
    compiler and Triton (a real launch), disc, locks, weights, MediaPipe.

    Ends with exit code 1 where something is missing that it can't do without. Put the output into
    a report of a fault.

    Example:

        fittingroom doctor --folder runs
    """
    from model.training.doctor import FAILS, examine

    found = []
    for finding in examine(folder):
        found.append(finding)
        if not as_json:
            click.echo(f"{finding.state:<6} {finding.name}: {finding.found}")
            if finding.remedy:
                click.echo(f"       -> {finding.remedy}.")
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in found], indent=1))
    broken = [finding.name for finding in found if finding.state == FAILS]
    if not as_json:
        told = f"{len(broken)} of these must be mended" if broken else "All that is needed works"
        click.echo(f"{told}.")
    if broken:
        raise SystemExit(1)
