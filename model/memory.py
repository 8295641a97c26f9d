"""How this process asks the system for memory."""

from __future__ import annotations

import ctypes
import platform

LARGE = 16 << 20
M_MMAP_THRESHOLD = -3


def return_large_maps() -> bool:
    """Has freed blocks of 16 MiB and more go back to the system at once; says whether it took effect (glibc only).

    By itself glibc raises that limit to 32 MiB with time and keeps what lies below it, in pieces that larger maps do
    not fit into: a train step at 512 x 384 on a CPU then needs an eighth more memory. Source: mallopt(3).
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    return bool(ctypes.CDLL(None).mallopt(ctypes.c_int(M_MMAP_THRESHOLD), ctypes.c_int(LARGE)))
