"""What several commands share: the group, progress, and how errors reach a person."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from pipeline.base.errors import DataError, Notice
from pipeline.base.storage import unwritable

GOING_ON = {
    "make-sample": "The same command begins again.",
    "check": "Nothing was changed; the same command begins again.",
    "preprocess": "Finished shards are kept: the same command goes on with the rest.",
    "inspect-mask": "Nothing was changed; the same command begins again.",
    "train": "The same command with --resume goes on where there is a checkpoint.",
    "evaluate": "Nothing was written; the same command begins again.",
    "try-on": "Pictures that were written are whole; the same command makes all of them again.",
    "export": "Nothing was written; the same command begins again.",
    "export-data": "Finished people are kept: the same command goes on with the rest.",
    "setup-annotators": "What was fetched is kept: the same command goes on with the rest.",
    "annotate": "The dataset appears when it is whole; the same command begins again.",
}
"""What a person may do after a command was stopped."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, made to end a command as Ctrl-C does."""


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Inside, SIGTERM raises ``Terminated``, so that what is unfinished is cleaned up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class LazyGroup(click.Group):
    """Commands by name, each imported when it is wanted, so that ``--help`` of one does not load
    torch for all.

    Args:
        modules: command name -> module that holds a click command called ``command``.
    """

    def __init__(self, *args, modules: dict[str, str] | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.modules = modules or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.modules)  # in the order of use, not of the alphabet

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return import_module(self.modules[name]).command if name in self.modules else None

    def resolve_command(self, ctx: click.Context, args: list[str]):
        """As click's, with the command that may have been meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = get_close_matches(args[0], self.modules, 1)
            if not near or near[0] in error.message:
                raise
            told = f"{error.message.rstrip('.')}. Did you mean {near[0]!r}?"
            raise click.UsageError(told, ctx) from None

    def invoke(self, ctx: click.Context):
        """Runs the command; a DataError or a full disc ends with a message and exit code 1, not a
        traceback."""
        warnings.showwarning = partial(_show_warning, warnings.showwarning)
        try:
            with _ended_by_sigterm():
                return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            number = signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT
            with contextlib.suppress(OSError):
                note(f"Stopped by {number.name}. {GOING_ON.get(ctx.invoked_subcommand or '', '')}")
            raise SystemExit(128 + number) from None
        except DataError as error:
            raise click.ClickException(str(error)) from error
        except click.BadParameter as error:
            missing = isinstance(error, click.MissingParameter)
            if missing or not isinstance(getattr(error.param, "type", None), click.Path):
                raise
            # A path that is not there is bad input (exit code 1), as it is where a command finds
            # out by itself.
            told = f"{error.format_message()} Check the path, or make what it names first."
            raise click.ClickException(told) from error
        except BrokenPipeError:
            os.dup2(
                os.open(os.devnull, os.O_WRONLY), 1
            )  # the reader of a pipe has gone: nothing to say
            raise SystemExit(1) from None
        except OSError as error:
            if error.filename is None and error.errno is None:
                raise
            place = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(
                f"{place}{error.strerror or error}. Check that this place exists and can be "
                "read and written, or name another."
            ) from error


def _show_warning(usual: Callable[..., Any], message, category, *where, **more) -> None:
    """A Notice as a line of its own; other warnings as usual."""
    if issubclass(category, Notice):
        return note(str(message))
    usual(message, category, *where, **more)


def check_writable(*paths: Path | None) -> None:
    """Places of results tried before the work, not after it; None is passed over.

    Raises:
        DataError: the folder of one is not there, or nothing can be written into it.
    """
    for path in filter(None, paths):
        folder = path.absolute().parent
        if folder.exists() and not folder.is_dir():
            raise DataError(path, f"{folder} is a file", "a folder", "Choose another name")
        if not folder.is_dir():
            raise DataError(path, "no such folder to write it into", remedy=f"Create {folder}")
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise unwritable(path, error) from error


def tell_own(path: Path) -> None:
    """Says what the weights are, where they are those that come with the program."""
    from model.network.own import OWN_WEIGHTS, is_own

    if is_own(path):
        note(
            f"Weights: {path.stem}, which come with the program ({OWN_WEIGHTS[path.stem]}): a "
            "small network, trained on drawn people alone. On photos it is a first look, no "
            "measure of the method; weights of your own do better."
        )


def note(text: str) -> None:
    """One line for the person at the terminal (stderr); results go to stdout with click.echo."""
    click.echo(text, err=True)


@contextlib.contextmanager
def live_progress() -> Iterator[
    tuple[Callable[[str], None], Callable[[int, int, str], None] | None]
]:
    """How a long run speaks: ``say(line)``, and ``bar(done, total, text)`` that changes in place.

    The bar is None where stderr is no terminal, or one that can't move its cursor: a file gets
    plain lines. NO_COLOR is heeded.
    """
    if not sys.stderr.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        yield note, None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (BarColumn(20), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task("", total=None)

        def say(text: str) -> None:
            console.print(text, markup=False, highlight=False, soft_wrap=True)

        def bar(done: int, total: int, text: str) -> None:
            shown.update(task, completed=done, total=total, description=text)

        yield say, bar


@contextlib.contextmanager
def progress(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr; yields ``advance(n)``. Without a terminal: a line every tenth, so that a log
    shows life."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if console.is_terminal:
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
        ) as bar:
            task = bar.add_task(description, total=total)
            yield partial(bar.advance, task)
        return
    done, shown = 0, -1

    def advance(n: int = 1) -> None:
        nonlocal done, shown
        done += n
        tenth = done * 10 // total if total else 0
        if total and tenth > shown:
            shown = tenth
            click.echo(f"{description}: {done}/{total}", err=True)

    yield advance
