"""What several tests ask of a folder of shards."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from pipeline.preprocess.sources import SEEN_NAME


def contents(folder: Path) -> dict[str, str]:
    """Every file below ``folder``, hidden ones too: relative name -> SHA-256. Equal means equal
    byte for byte. Left out is what a machine's file system said of the sources."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != SEEN_NAME
    }


def in_process(work: Callable[..., object], *args, **kwargs) -> int:
    """Calls ``work`` in a process of its own and returns its id; the process ends 0 if nothing was
    raised."""
    sys.stdout.flush(), sys.stderr.flush()
    if child := os.fork():
        return child
    code = 1
    try:
        work(*args, **kwargs)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def ended(child: int) -> int:
    """Waits for a process; its exit code, negative for the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die() -> None:
    """Ends this process at once, as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)
