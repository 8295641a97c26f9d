"""TorchScript files that users bring: programs, which can write to the disc when they run
(``aten::save``, ``aten::from_file``), and so run in a process that has no right to
(``torchscript_worker``)."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.tryon.torchscript_worker import landlock_version, part_of, tensors_of
from pipeline.base.errors import DataError

WORKER = Path(__file__).with_name("torchscript_worker.py")
LONGEST_START, LONGEST_CALL = 180, 600
"""Seconds after which the process is taken for one that never ends."""
LONGEST_LINE, MOST_BYTES = 1 << 16, 2 << 30
"""Of an answer, which is as foreign as the file."""
KNOWN = {
    "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4": "inception-2015-12-05.pt"
}
"""SHA-256 of files whose code has been looked at: they run in this process, on any system."""
LARGEST_KNOWN = 100_000_000
NEEDS = "TorchScript is a program; it is run on Linux alone, without rights to the disc (Landlock)"


class TorchScript:
    """A TorchScript network as a function from arrays to arrays.

    A file of ``KNOWN`` runs here, any other in a process of its own that can read libraries and
    nothing else, write nothing and reach no network. Threads may share it, one at a time.

    Args:
        path: the file.
        device: a torch device.

    Raises:
        DataError: no TorchScript file, or no way to keep one from the disc on this system.
    """

    def __init__(self, path: Path | str, device: torch.device | str = "cpu"):
        self.path, self.device, self._lock = Path(path), str(device), threading.Lock()
        self._network = self._known()
        if self._network is None:
            if not landlock_version():
                remedy = "Export the network to ONNX, or use a Linux of 2021 or later (5.13)"
                raise DataError(self.path, f"cannot be run here ({NEEDS})", "", remedy)
            self._process = self._start()

    def __call__(self, *arrays: np.ndarray, part: str = "", **options: bool) -> list[np.ndarray]:
        """float32 arrays of the tensors that the network, or a part of it, returns for ``arrays``.

        Raises:
            RuntimeError: the network fails on them.
            DataError: its process ended, or took longer than ``LONGEST_CALL``.
        """
        with self._lock:
            if self._network is None:
                return self._ask(arrays, part, options)
            with torch.inference_mode():
                inputs = [torch.from_numpy(array).to(self.device) for array in arrays]
                return tensors_of(part_of(self._network, part)(*inputs, **options))

    def _known(self) -> torch.nn.Module | None:
        try:
            if self.path.stat().st_size > LARGEST_KNOWN:
                return None
            data = self.path.read_bytes()
        except OSError as error:
            raise self._refusal(error.strerror or str(error)) from None
        if hashlib.sha256(data).hexdigest() not in KNOWN:
            return None
        return torch.jit.load(io.BytesIO(data), map_location=self.device).eval()

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
        process = subprocess.Popen(
            [sys.executable, "-P", str(WORKER), str(self.path.absolute()), self.device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=environment,
        )
        weakref.finalize(self, _end, process)
        with _at_most(LONGEST_START, process):
            answer = self._answer(process)
        if "error" in answer:
            raise self._refusal(str(answer["error"])[:200])
        return process

    def _ask(
        self, arrays: tuple[np.ndarray, ...], part: str, options: dict[str, Any]
    ) -> list[np.ndarray]:
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        told = [{"dtype": str(array.dtype), "shape": list(array.shape)} for array in arrays]
        head = json.dumps({"arrays": told, "part": part, "options": options})
        with _at_most(LONGEST_CALL, process):
            with contextlib.suppress(OSError):  # it has ended: the answer will tell
                process.stdin.write(head.encode() + b"\n")
                for array in arrays:
                    process.stdin.write(np.ascontiguousarray(array).data)
                process.stdin.flush()
            answer = self._answer(process)
            if "error" in answer:
                raise RuntimeError(str(answer["error"])[:200])
            try:
                return _arrays(answer, process.stdout)
            except (ValueError, KeyError, TypeError):
                raise self._ended(process) from None

    def _answer(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        assert process.stdout is not None
        try:
            answer = json.loads(process.stdout.readline(LONGEST_LINE))
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise self._ended(process)
        return answer

    def _ended(self, process: subprocess.Popen[bytes]) -> DataError:
        process.kill()
        code = process.wait()
        return DataError(
            self.path,
            f"its process ended without an answer (code {code})",
            f"a network that answers within {LONGEST_CALL} s, in the memory there is",
            "Export the network to ONNX, or give a smaller one",
        )

    def _refusal(self, reason: str) -> DataError:
        return DataError(
            self.path, f"is no TorchScript file ({reason})", "a file of torch.jit.save"
        )


_HANDED_ON = (
    "PATH",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "SYSTEMROOT",
)
"""The environment's entries that the process may know; no token is among them."""


def _arrays(answer: dict[str, Any], stream) -> list[np.ndarray]:
    """The arrays that follow an answer. Raises ValueError where it is none of the worker's."""
    arrays = []
    for told in answer["arrays"]:
        shape = [int(side) for side in told["shape"]]
        size = math.prod(shape) * 4
        if min(shape, default=0) < 0 or len(shape) > 8 or size > MOST_BYTES:
            raise ValueError(f"an array of {shape}")
        data = stream.read(size)
        arrays.append(np.frombuffer(data, np.float32).reshape(shape))
    return arrays


@contextlib.contextmanager
def _at_most(seconds: float, process: subprocess.Popen[bytes]):
    limit = threading.Timer(seconds, process.kill)
    limit.daemon = True
    limit.start()
    try:
        yield
    finally:
        limit.cancel()


def _end(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            if stream is not None:
                stream.close()
    process.kill()
    process.wait()
