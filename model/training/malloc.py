"""How this process asks the system for memory."""

from __future__ import annotations

import ctypes
import platform

LARGE = 16 << 20
KEPT = 64 << 20
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def return_large_maps() -> bool:
    """Has freed blocks of 16 MiB and more go back to the system at once; says whether it took
    effect (glibc only).

    By itself glibc raises that limit to 32 MiB with time and keeps what lies below it, in pieces
    that larger maps do
    not fit into: a train step at 512 x 384 on a CPU then needs an eighth more memory. With a limit
        of one's own, the
    end of the heap would go back after each freed block, so that takes 64 MiB, as by itself.
    Source: mallopt(3).
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    change = ctypes.CDLL(None).mallopt
    return bool(
        change(ctypes.c_int(M_MMAP_THRESHOLD), ctypes.c_int(LARGE))
        and change(ctypes.c_int(M_TRIM_THRESHOLD), ctypes.c_int(KEPT))
    )
