"""Files that appear whole or not at all, their checksums, and the lock that keeps two runs out of
one folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import socket
import stat
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.base.errors import DataError, Notice

_BLOCK = 1 << 20
MAX_JSON_BYTES, MAX_JSON_VALUES = 32 << 20, 2_000_000
"""Of a file that is read whole: an index of ten million people has 25 MB and 700,000 values. Each
value may take a hundred bytes of memory."""
_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What file systems without locks answer: NFS, Lustre, SMB."""


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
        sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder outlive a power cut; where the system can't, they may be the old
    ones afterwards."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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


def read_json(path: Path, remedy: str = "Delete it and run preprocess again") -> dict[str, Any]:
    """The JSON object in a file.

    Args:
        remedy: what to do where it is none.

    Raises:
        DataError: missing, unreadable, or no JSON object.
    """
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):  # a pipe would block for ever
            raise DataError(path, "is no file", remedy=remedy)
        if facts.st_size > MAX_JSON_BYTES:
            found, most = f"has {facts.st_size:,} bytes", f"at most {MAX_JSON_BYTES:,}"
            raise DataError(path, found, most, remedy)
        data = path.read_bytes()
        if sum(map(data.count, (b",", b"[", b"{"))) > MAX_JSON_VALUES:
            raise DataError(path, "holds absurdly many values", remedy=remedy)
        content = json.loads(data)
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
    deleting would let two runs lock two different files of that name. Where the file system knows
    no locks, a file ``.running`` stands for one while the block runs; one that a killed run of this
    machine left is taken over. A warning tells of it.

    Raises:
        DataError: another run holds the lock, or the folder can't be written.
    """
    path = folder / ".lock"
    try:
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115  (closed below, and by the system if killed)
    except OSError as error:
        raise unwritable(path, error, resumable=True) from error
    with file, contextlib.ExitStack() as held:
        try:
            if not _locked(file.fileno()):
                file.seek(0)
                raise _held(folder, file.read(200), "Wait until it ends, or choose another folder")
        except OSError as error:
            if error.errno not in _WITHOUT_LOCKS:
                raise unwritable(path, error, resumable=True) from error
            held.enter_context(_file_for_a_lock(folder))
        with contextlib.suppress(OSError):  # a full disc shall not hide behind the lock
            file.truncate(0)
            file.write(_holder())
            file.flush()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                file.truncate(0)


def _holder() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _held(folder: Path, holder: str, remedy: str) -> DataError:
    name = holder.strip() or "holder unknown"
    return DataError(folder, f"another run is writing here ({name})", remedy=remedy)


@contextlib.contextmanager
def _file_for_a_lock(folder: Path) -> Iterator[None]:
    """A file that only one run can make, and that is gone when the block ends."""
    path = folder / ".running"
    for attempt in (1, 2):
        try:
            with open(path, "x", encoding="utf-8") as file:
                file.write(_holder())
            break
        except FileExistsError:
            holder = _first_words(path)
            if attempt == 2 or not _has_ended(holder):
                remedy = (
                    f"Wait until it ends, or choose another folder; if it was killed, delete {path}"
                )
                raise _held(folder, holder, remedy) from None
            _take_away(path, holder)
        except OSError as error:
            raise unwritable(path, error, resumable=True) from error
    warnings.warn(
        f"{folder}: this file system has no locks; the file {path.name} keeps other runs out",
        Notice,
        stacklevel=2,
    )
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _has_ended(holder: str) -> bool:
    """Whether a process of this machine, as ``_holder`` names it, is no longer there."""
    words = holder.split()
    if len(words) != 4 or words[3] != socket.gethostname() or not words[1].isdigit():
        return False
    try:
        os.kill(int(words[1]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _take_away(path: Path, holder: str) -> None:
    """Removes the file of a run that has ended; another run's, made meanwhile, goes back."""
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    with contextlib.suppress(OSError):
        os.rename(path, aside)
        if _first_words(aside) != holder:
            os.link(aside, path)
        aside.unlink()


def _first_words(path: Path) -> str:
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        return file.read(200).strip()
    return ""


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
