"""One public file fetched over HTTP: bounded, checked, and gone on with where it was interrupted.

pooch would fetch and check, but begins again after an interruption: at 575 MB that is the common
case.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

from pipeline.base.errors import DataError
from pipeline.base.storage import sync_folder

TIMEOUT_S = 30
BLOCK = 1 << 20
SLACK = 1 << 20
"""Bytes that a file may be larger than stated: sizes are for the bar, checksums decide."""
RANGE_NOT_SATISFIABLE = 416

Bar = Callable[[int, int], AbstractContextManager[Callable[[int], None]]]
"""(bytes that are there, bytes in all) -> a context that gives a function to tell more of them."""


def cache_folder() -> Path:
    """Where downloads are kept: $FITTINGROOM_CACHE, or fittingroom in the user's cache folder."""
    own = os.environ.get("FITTINGROOM_CACHE")
    return (
        Path(own)
        if own
        else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "fittingroom"
    )


def fetch(url: str, path: Path, sha256: str, size: int, bar: Bar) -> None:
    """Puts the file of ``url`` at ``path``, whole and checked, or raises.

    What arrived before an interruption lies beside it as ``.NAME.part``; the next call asks the
    server for the rest, and begins again where the server gives none.

    Args:
        sha256: hexadecimal; of the whole file, or the beginning of it.
        size: bytes, about; a megabyte more is refused.

    Raises:
        DataError: other bytes than expected, more of them, fewer of them, or another process is
            fetching the same file.
        OSError: no way to the server (``URLError``), or the file can't be written.
    """
    part = path.with_name(f".{path.name}.part")
    with open(part, "a+b") as file:
        _hold(file, path)
        if part.stat().st_size > size + SLACK:
            file.truncate(0)
        try:
            digest = _received(url, file, size, bar)
        except _OtherBytes as error:
            part.unlink()
            raise DataError(url, str(error), f"about {size:,} bytes", "Try again later") from None
        finally:
            file.flush()
            if part.exists() and part.stat().st_size == 0:
                part.unlink()
        if not digest.startswith(sha256):
            part.unlink()
            raise DataError(
                url,
                f"arrived with SHA-256 {digest[:16]}...",
                f"{sha256[:16]}...",
                "Try again; if it stays so, fetch the file another way and name it with its option",
            )
        file.flush()
        os.fsync(file.fileno())
        part.replace(path)
    sync_folder(path.parent)


class _OtherBytes(Exception):
    """The server sends what can't be the file."""


def _hold(file: IO[bytes], path: Path) -> None:
    """Locks the part, so that two processes do not write one file; where the file system has no
    locks the checksum alone decides."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DataError(
            path, "another process is downloading it", remedy="Wait until it has ended"
        ) from None
    except OSError:
        return


def _received(url: str, file: IO[bytes], size: int, bar: Bar) -> str:
    """As ``_receive``; begins again where the server has nothing after what is there."""
    try:
        return _receive(url, file, size, bar)
    except urllib.error.HTTPError as error:
        if error.code != RANGE_NOT_SATISFIABLE:
            raise
        file.truncate(0)
        return _receive(url, file, size, bar)


def _receive(url: str, file: IO[bytes], size: int, bar: Bar) -> str:
    """Appends what lacks, or writes anew where the server sends all; the SHA-256 of the whole."""
    there = os.fstat(file.fileno()).st_size
    request = urllib.request.Request(url)
    if there:
        request.add_header("Range", f"bytes={there}-")
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        goes_on = answer.status == 206 and _begins_at(answer.headers, there)
        if there and not goes_on:
            file.truncate(0)
            there = 0
        digest = _digest_of(file)
        announced = answer.headers.get("Content-Length")
        total = there + int(announced) if announced else size
        if total > size + SLACK:
            raise _OtherBytes(f"announces {total:,} bytes")
        with bar(there, total) as advance:
            while block := answer.read(BLOCK):
                there += len(block)
                if there > size + SLACK:
                    raise _OtherBytes(f"sends more than {size + SLACK:,} bytes")
                file.write(block)
                digest.update(block)
                advance(len(block))
    if announced and there < total:
        told = f"it ended after {there:,} of {total:,} bytes; the same command goes on there"
        raise urllib.error.URLError(told)
    return digest.hexdigest()


def _begins_at(headers, there: int) -> bool:
    return str(headers.get("Content-Range", "")).startswith(f"bytes {there}-")


def _digest_of(file: IO[bytes]):
    """SHA-256 of what is there already. A file opened to append is written at its end from any
    place."""
    digest = hashlib.sha256()
    file.flush()
    file.seek(0)
    while block := file.read(BLOCK):
        digest.update(block)
    return digest


class ProgressBar:
    """A progress bar in bytes on stderr; without a terminal, one line at the start."""

    def __init__(self, name: str, there: int, total: int):
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        console = Console(stderr=True)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        if not console.is_terminal:
            rest = f", {there / 1e6:.1f} MB are there" if there else ""
            console.print(f"Downloading {name}, {total / 1e6:.1f} MB{rest}", highlight=False)
        self.task = self.progress.add_task(name, total=total, completed=there)

    def __enter__(self) -> Callable[[int], None]:
        self.progress.start()
        return lambda count: self.progress.advance(self.task, count)

    def __exit__(self, *_error) -> None:
        self.progress.stop()
