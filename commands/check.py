"""``check``: every defect of a dataset as a table, as JSON and as a list of what to leave out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from commands.common import check_writable, note, progress
from commands.options import category_option, jobs_option, split_option

EXAMPLES = 3
COLOURS = {"error": "red", "warning": "yellow", "note": "dim"}


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@category_option
@split_option(help="List to look at; repeat for several.  [default: all]", multiple=True)
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, path_type=Path, allow_dash=True),
    help="Write every finding to this file; - for standard output in place of the table.",
)
@click.option(
    "--exclude",
    "exclude_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the people to leave out to this file, for preprocess --exclude.",
)
@jobs_option
def command(
    data: Path, categories, splits, json_path: Path | None, exclude_path: Path | None, jobs: int
) -> None:
    """Find every defect of the dataset in DATA: files, values, keypoints, maps, lists, duplicates.

    Exit code 0 without errors (warnings and notes may remain), 1 with errors.

    Example:

      fittingroom check DressCode --exclude leave-out.txt
    """
    from pipeline.base.storage import write_whole
    from pipeline.check.dataset import check_dataset

    to_stdout = str(json_path) == "-"
    check_writable(None if to_stdout else json_path, exclude_path)
    with _bar() as report:
        result = check_dataset(data, categories, splits or None, jobs, report)
    if json_path and not to_stdout:
        write_whole(json_path, json.dumps(result.to_json(), indent=1).encode())
    if exclude_path:
        lines = [f"{key}  # {reason}\n" for key, reason in sorted(result.left_out().items())]
        write_whole(
            exclude_path,
            ("# People to leave out: category/person  # why\n" + "".join(lines)).encode(),
        )
        note(f"{len(lines):,} people to leave out: {exclude_path}")
    if to_stdout:
        click.echo(json.dumps(result.to_json(), indent=1))
    else:
        _print_table(result)
    raise SystemExit(1 if result.errors else 0)


class _bar:
    """A progress bar that learns the number of people with the first report."""

    def __enter__(self):
        self.bar, self.advance, self.done = None, None, 0
        return self

    def __call__(self, done: int, total: int) -> None:
        if self.bar is None:
            self.bar = progress("People checked", total)
            self.advance = self.bar.__enter__()
        self.advance(done - self.done)
        self.done = done

    def __exit__(self, *error) -> None:
        if self.bar:
            self.bar.__exit__(*error)


def _print_table(result) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from pipeline.check.defects import KINDS

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("severity", overflow="fold")
    table.add_column("kind", overflow="fold", no_wrap=True)
    table.add_column("count", justify="right", overflow="fold", no_wrap=True)
    table.add_column("what, and where", overflow="fold")
    counts = result.counts()
    for kind in sorted(counts, key=lambda k: KINDS[k].severity.rank):
        found = [d for d in result.defects if d.kind == kind]
        severity = KINDS[kind].severity.value
        lines = [
            f"[italic]{escape(KINDS[kind].what)}[/]",
            *(escape(line) for line in _examples(found)),
        ]
        table.add_row(
            f"[{COLOURS[severity]}]{severity}[/]", kind, f"{len(found):,}", "\n".join(lines)
        )
    click.echo(f"{result.usable:,} of {result.people:,} people are usable")
    console = Console() if Console().is_terminal else Console(width=140)
    if counts:
        console.print(table)
    errors, warnings = (
        sum(d.severity.value == s for d in result.defects) for s in ("error", "warning")
    )
    click.echo(
        f"{result.people:,} people, {result.files:,} files in {result.root}: "
        f"{_counted(errors, 'error')}, {_counted(warnings, 'warning')}"
    )


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _examples(found: list[Any]) -> list[str]:
    """The first findings of one kind, and how many more there are."""
    lines = [
        f"{d.path or d.key or 'all'}: {d.detail}" + (" (known)" if d.known else "")
        for d in found[:EXAMPLES]
    ]
    known = sum(d.known for d in found)
    if len(found) > EXAMPLES:
        published = f"; {known:,} known of the published dataset" if known else ""
        lines.append(f"... {len(found) - EXAMPLES:,} more{published}")
    return lines
