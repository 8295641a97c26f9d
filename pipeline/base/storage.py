"""Files that appear whole or not at all, their checksums, and the lock that keeps two runs out of
one folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

from pipeline.base.errors import DataError

_BLOCK = 1 << 20


def write_whole(path: Path, data: bytes | memoryview, scratch: Path | None = None) -> None:
    """Puts ``data`` under ``path`` in one step: a reader sees the old file or the whole new one,
    never a part.

    Args:
        path: final name; its folder exists.
        data: the file's content.
        scratch: folder on the same file system for the unfinished file; by default the one of
            ``path``.

    Raises:
        DataError: the disc is full, or the place can't be written. Nothing stays behind.
    """
    try:
        with whole(path, scratch) as unfinished:
            unfinished.write_bytes(data)
    except OSError as error:
        raise unwritable(path, error, resumable=scratch is not None) from error


@contextlib.contextmanager
def whole(path: Path, scratch: Path | None = None, durable: bool = True) -> Iterator[Path]:
    """A place for an unfinished file, which takes its name ``path`` when the block ends well, and
    vanishes otherwise.

    Args:
        path, scratch: as ``write_whole``, for what other libraries write themselves.
        durable: wait until the disc has it; not needed for what is easily made again.

    Raises:
        OSError: as the system gives it.
    """
    unfinished = (scratch or path.parent) / f".{path.name}.{uuid.uuid4().hex}.tmp"
    try:
        unfinished.touch()  # a place that can't be written is told before the work
        unfinished.unlink()  # whoever fills it may want to make it, by a link for one
        yield unfinished
        if durable:
            with open(unfinished, "rb") as file:
                os.fsync(file.fileno())  # else a power cut can leave the name on an empty file
        os.replace(unfinished, path)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError, *, resumable: bool = False) -> DataError:
    """The DataError for a place that could not be written, with what a person can do about it.

    Args:
        resumable: the run goes on where it stopped.
    """
    return DataError(
        path,
        f"could not be written ({error.strerror or error})",
        remedy="Free some space or choose a folder that can be written, then run the same command "
        "again" + ": finished shards are kept" * resumable,
    )


def write_json(path: Path, content: object, scratch: Path | None = None) -> None:
    """Writes JSON whole, with sorted keys, so that equal content gives equal bytes. Raises
    DataError."""
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(path, text.encode(), scratch)


def read_json(path: Path, remedy: str = "Delete it and run preprocess again") -> dict:
    """The JSON object in a file.

    Args:
        remedy: what to do where it is none.

    Raises:
        DataError: missing, unreadable, or no JSON object.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(path, f"can't be read ({error.strerror})", remedy=remedy) from error
    except (ValueError, RecursionError) as error:
        raise DataError(path, "is not JSON", remedy=remedy) from error
    if not isinstance(content, dict):
        raise DataError(path, "holds no JSON object", remedy=remedy)
    return content


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content as 64 hexadecimal digits, read in blocks. Raises OSError."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """Holds the folder's lock while the block runs; the system frees it when the process ends,
    however it ends.

    The file ``.lock`` names its holder meanwhile and is empty afterwards. It is never deleted:
    deleting would let two runs lock two different files of that name.

    Raises:
        DataError: another run holds the lock, or the folder can't be written.
    """
    path = folder / ".lock"
    try:
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115  (closed below, and by the system if killed)
    except OSError as error:
        raise unwritable(path, error, resumable=True) from error
    with file:
        if not _locked(file.fileno()):
            file.seek(0)
            raise DataError(
                folder,
                f"another run is writing here ({file.read(200).strip() or 'holder unknown'})",
                remedy="Wait until it ends, or choose another folder",
            )
        with contextlib.suppress(OSError):  # a full disc shall not hide behind the lock
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                file.truncate(0)


def _locked(descriptor: int) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows: no flock; two runs at once are the user's own care there
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
