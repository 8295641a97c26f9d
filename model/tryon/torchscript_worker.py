"""A TorchScript file of unknown maker, run in a process that cannot reach files, network or other
processes.

This file stands alone: it is started as a script with the file's path and the device, and needs
torch and numpy. Linux's Landlock takes the rights away before the file's code is loaded; without it
nothing is loaded. Each message is a line of JSON, followed by the bytes of the arrays it names.

Out: {"ready": true}, or {"error": text}, once.
In:  {"arrays": [{"dtype": ..., "shape": [...]}], "part": name or "", "options": {...}}: what the
     network, or a part of it, is called with.
Out: {"arrays": [...]} of the tensors it returns, as float32; or {"error": text}.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import resource
import signal
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""Landlock's system calls: the same numbers on every processor (linux/landlock.h)."""
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, IOCTL = 1, 2, 4, 8, 1 << 15
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Version of Landlock -> how many rights over files it knows; later ones know as many as 5."""
KEEP_NO_NEW_PRIVILEGES, DIE_WITH_PARENT = 38, 1
LIBRARIES = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache", "/sys/devices")
"""What torch may still load or ask for when it runs: programs' libraries, the processor's kind."""


def landlock_version() -> int:
    """0 where the system has none."""
    if not sys.platform.startswith("linux"):
        return 0
    system = ctypes.CDLL(None, use_errno=True)
    return max(0, system.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), 1))


def give_up_rights(device: str) -> None:
    """Keeps this process, and whatever it starts, from every file but the libraries, which it may
    read; from connections; from signals to others. Raises OSError where the system cannot."""
    version = landlock_version()
    if version == 0:
        raise OSError("this system has no Landlock")
    system = ctypes.CDLL(None, use_errno=True)

    def checked(answer: int) -> int:
        if answer < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return answer

    files, every_port, every_scope = (1 << FILE_RIGHTS.get(version, 16)) - 1, 3, 3
    words = 1 if version < 4 else 2 if version < 6 else 3  # what the system's version knows of
    rules = struct.pack("QQQ", files, every_port, every_scope)[: 8 * words]
    ruleset = checked(system.syscall(CREATE_RULESET, rules, ctypes.c_size_t(len(rules)), 0))
    for path, rights in _allowed(device):
        with contextlib.suppress(OSError):  # not there on this system
            place = os.open(path, os.O_PATH)
            rights &= files if os.path.isdir(path) else files & ~READ_DIR
            checked(system.syscall(ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, place), 0))
            os.close(place)
    checked(system.prctl(KEEP_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    checked(system.syscall(RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _allowed(device: str) -> Iterator[tuple[str, int]]:
    packages = Path(torch.__file__).parent.parent  # torch, and CUDA's libraries beside it
    for path in (str(packages), *LIBRARIES):
        yield path, EXECUTE | READ_FILE | READ_DIR
    if device.startswith("cuda"):
        for place in Path("/dev").glob("nvidia*"):
            yield str(place), WRITE_FILE | READ_FILE | READ_DIR | IOCTL


def warm_up(device: str) -> None:
    """What torch does on the first call of any network is done while it has its rights."""
    module = torch.jit.script(torch.nn.Conv2d(3, 1, 3)).to(device)
    kept = io.BytesIO()
    torch.jit.save(module, kept)
    kept.seek(0)
    with torch.inference_mode():
        torch.jit.load(kept, map_location=device)(torch.zeros(1, 3, 8, 8, device=device))


def part_of(network, name: str):
    """The network, or its part of that name. Raises RuntimeError where it has none."""
    if not name:
        return network
    try:
        return getattr(network, name)
    except AttributeError:
        raise RuntimeError(f"no part {name!r}") from None


def tensors_of(outputs) -> list[np.ndarray]:
    """The tensors among a network's outputs, as float32 on the CPU."""
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    outputs = outputs if isinstance(outputs, (tuple, list)) else [outputs]
    return [
        np.ascontiguousarray(output.float().cpu().numpy())
        for output in outputs
        if isinstance(output, torch.Tensor)
    ]


def brief(error: BaseException) -> str:
    """The last line of an error, which names the reason in torch's."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1][:200]


def serve(network, device: str, source, sink) -> None:
    """Answers messages until the input ends."""
    for line in iter(source.readline, b""):
        head = json.loads(line)
        inputs = []
        for told in head["arrays"]:
            kind = np.dtype(told["dtype"])
            data = source.read(int(np.prod(told["shape"])) * kind.itemsize)
            array = np.frombuffer(bytearray(data), kind).reshape(told["shape"])
            inputs.append(torch.from_numpy(array).to(device))
        try:
            with torch.inference_mode():
                found = tensors_of(part_of(network, head["part"])(*inputs, **head["options"]))
            answer: dict[str, Any] = {
                "arrays": [{"dtype": "float32", "shape": list(a.shape)} for a in found]
            }
        except Exception as error:  # told to the caller, who is another process
            found, answer = [], {"error": brief(error)}
        send(sink, answer, found)


def send(sink, head: dict[str, Any], arrays: list[np.ndarray] | None = None) -> None:
    """One message."""
    sink.write(json.dumps(head).encode() + b"\n")
    for array in arrays or []:
        sink.write(array.tobytes())
    sink.flush()


def main(path: str, device: str, source, sink) -> None:
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    try:
        warm_up(device)
        data = io.BytesIO(Path(path).read_bytes())
        give_up_rights(device)
        network = torch.jit.load(data, map_location=device).eval()
    except Exception as error:  # torch.jit.load fails on foreign bytes in several ways
        return send(sink, {"error": brief(error)})
    send(sink, {"ready": True})
    serve(network, device, source, sink)


if __name__ == "__main__":
    own = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a network prints must not get between the messages
    main(sys.argv[1], sys.argv[2], sys.stdin.buffer, own)
