"""What this machine has of what the program needs: each thing tried, not only looked up.

torch is imported where it is tried, so that a machine without it is told so too.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline import __version__
from pipeline.annotate.keypoints import SETUP, find_python
from pipeline.base.errors import DataError
from pipeline.base.storage import only_run_in, whole

OLDEST_PYTHON = (3, 11)
LEAST_SPACE, LEAST_SHARED, LEAST_CARD = 20 << 30, 1 << 30, 8 << 30
"""Bytes: of a disc for shards and checkpoints, of /dev/shm for loader workers, of a card for
training at 512 x 384 (docs/training.md)."""
WORKS, NOTE, FAILS = "works", "note", "fails"


@dataclass(frozen=True)
class Finding:
    """One thing that was tried.

    Attributes:
        name: what.
        state: "works"; "note", the program goes on without or more slowly; "fails", something
            that it needs.
        found: what was seen.
        remedy: what to do about it; empty where nothing is to be done.
    """

    name: str
    state: str
    found: str
    remedy: str = ""


def examine(folder: Path) -> Iterator[Finding]:
    """All findings, one after the other as they are made.

    Args:
        folder: where data and runs will lie; its file system is tried with small files that are
            removed again.
    """
    for check in (_software, _packages, _machine, _torch, _card, _compiler, _fused_warp):
        yield from _safely(check)
    yield from _safely(lambda: _file_system(folder))
    for check in (_shared_memory, _weights, _mediapipe, _parser, _extras):
        yield from _safely(check)


def _safely(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """A check whose own failure is a finding, too."""
    try:
        yield from check()
    except ModuleNotFoundError as error:
        if error.name != "torch":  # which has its own finding
            yield Finding("packages", FAILS, f"{error.name} is missing", "Run make setup")
    except Exception as error:  # whatever is wrong with a machine, the others are still told
        name = getattr(check, "__name__", "check").strip("_<>").replace("_", " ")
        yield Finding(name, FAILS, f"could not be tried ({type(error).__name__}: {error})"[:300])


def _software() -> Iterator[Finding]:
    yield Finding("fittingroom", WORKS, __version__)
    found = f"{platform.python_version()} ({sys.executable})"
    fits = sys.version_info >= OLDEST_PYTHON
    remedy = "" if fits else "Install Python {}.{} or newer".format(*OLDEST_PYTHON)
    yield Finding("Python", WORKS if fits else FAILS, found, remedy)
    yield Finding(
        "system", WORKS, f"{platform.system()} {platform.release()}, {platform.machine()}"
    )


def required(name: str = "fittingroom") -> list[str]:
    """Names of the packages that the program can't do without; [] where it isn't installed."""
    try:
        lines = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [re.split(r"[\s<>=!~;\[]", line)[0] for line in lines if "extra ==" not in line]


def _packages() -> Iterator[Finding]:
    found, missing = [], []
    for name in required() or ["numpy", "opencv-python", "h5py", "torch"]:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        yield Finding("packages", FAILS, "missing: " + ", ".join(missing), "Run make setup")
    yield Finding("packages", WORKS, ", ".join(found))


def _machine() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield Finding("processor", WORKS, f"{_processor()}, {cores} cores, {_size(memory)} of memory")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except ImportError as error:
        remedy = "Run make setup, or pip install torch. Masks and shards work without it"
        yield Finding("torch", FAILS, f"can't be imported ({error})", remedy)
        return
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "built for the CPU alone"
    yield Finding("torch", WORKS, f"{torch.__version__}, {build}")


def _card() -> Iterator[Finding]:
    driver = _driver()
    try:
        import torch
    except ImportError:
        return
    if not torch.cuda.is_available():
        if driver and not torch.version.cuda:
            remedy = "pip install a torch with CUDA (pytorch.org), or run make setup again"
            yield Finding("GPU", FAILS, f"{driver}, but this torch is for the CPU alone", remedy)
        elif driver:
            remedy = f"This torch wants a driver for CUDA {torch.version.cuda}: update the driver"
            yield Finding("GPU", FAILS, f"{driver}, but torch can't use it", remedy)
        else:
            remedy = "Training at full size wants an NVIDIA GPU; everything else works without"
            yield Finding("GPU", NOTE, "none", remedy)
        return
    for index in range(torch.cuda.device_count()):
        yield _one_card(index, driver)


def _one_card(index: int, driver: str) -> Finding:
    import torch

    from model.network.devices import half_type

    device = torch.device("cuda", index)
    card = torch.cuda.get_device_properties(index)
    with torch.cuda.device(device):
        free = torch.cuda.mem_get_info()[0]
    half = str(half_type(device)).removeprefix("torch.").replace("None", "float32 alone")
    found = (
        f"{index}: {card.name}, sm_{card.major}{card.minor}, {_size(card.total_memory)} of memory, "
        f"{_size(free)} free, trains in {half}; {driver}"
    )
    x = torch.randn(1, 8, 32, 32)
    conv = torch.nn.Conv2d(8, 8, 3, padding=1)
    expected = conv(x)
    if not torch.allclose(conv.to(device)(x.to(device)).cpu(), expected, atol=1e-2):
        return Finding("GPU", FAILS, found + "; a small convolution came out wrong")
    if card.total_memory < LEAST_CARD:
        remedy = "Train at 256x192, or with --preset small"
        return Finding("GPU", NOTE, found + "; little for 512x384", remedy)
    return Finding("GPU", WORKS, found)


def _driver() -> str:
    """The driver's own words, or ""."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return ""
    words = [tool, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return "nvidia-smi that does not answer"
    first = (done.stdout.strip().splitlines() or [""])[0]
    return f"driver: {first}" if done.returncode == 0 and first else ""


def _compiler() -> Iterator[Finding]:
    named = os.environ.get("CC")
    found = shutil.which(named) if named else None
    found = found or next(filter(None, map(shutil.which, ("gcc", "clang", "cc"))), None)
    if found:
        yield Finding("C compiler", WORKS, found)
    else:
        remedy = "apt-get install gcc: Triton compiles with it on a GPU. Not needed on a CPU"
        yield Finding("C compiler", NOTE, "none", remedy)


def _fused_warp() -> Iterator[Finding]:
    import warnings

    import torch

    from model.network.warp import kernel_trouble

    if not torch.cuda.is_available():
        try:
            found = f"Triton {importlib.metadata.version('triton')}, not tried: there is no GPU"
        except importlib.metadata.PackageNotFoundError:
            found = "Triton is not installed; it is for GPUs alone"
        yield Finding("fused warp", NOTE, found)
        return
    began = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trouble = kernel_trouble(torch.device("cuda", torch.cuda.current_device()))
    if trouble:
        remedy = "Training goes on without, more slowly and with more memory"
        yield Finding("fused warp", NOTE, trouble, remedy)
    else:
        took = time.monotonic() - began
        yield Finding("fused warp", WORKS, f"compiled, launched and right ({took:.1f} s)")


def _file_system(folder: Path) -> Iterator[Finding]:
    if not folder.is_dir():
        yield Finding("folder", FAILS, f"{folder} is no folder", "Name one that is there: --folder")
        return
    free = shutil.disk_usage(folder).free
    little = free < LEAST_SPACE
    remedy = (
        "Shards of all of Dress Code at 512 x 384 take 20 GB (docs/shards.md)" if little else ""
    )
    yield Finding("disc", NOTE if little else WORKS, f"{_size(free)} free at {folder}", remedy)
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=folder) as scratch:
            place = Path(scratch)
            with only_run_in(place), whole(place / "file") as part:
                part.write_bytes(b"whole")
            locked = _lock_holds(place)
    except (OSError, DataError) as error:
        yield Finding("file system", FAILS, f"{error}"[:300], "Choose a folder of yours")
        return
    if locked:
        yield Finding("file system", WORKS, "locks hold, files appear whole")
    else:
        remedy = "Lock files take their place; start only one run in a folder at a time"
        yield Finding("file system", NOTE, "has no locks", remedy)


def _lock_holds(folder: Path) -> bool:
    import fcntl

    with open(folder / "lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def _shared_memory() -> Iterator[Finding]:
    place = Path("/dev/shm")
    if not place.is_dir():
        return
    free = shutil.disk_usage(place).free
    if free < LEAST_SHARED:
        remedy = "Loader workers pass batches through it: docker run --shm-size=4g, or --workers 0"
        yield Finding("shared memory", NOTE, f"{_size(free)} free", remedy)
    else:
        yield Finding("shared memory", WORKS, f"{_size(free)} free")


def _weights() -> Iterator[Finding]:
    from model.loss.weights_cache import SOURCES, cache_folder
    from model.network.own import OWN_WEIGHTS, own_weights

    there = [name for name, source in SOURCES.items() if source.cached.is_file()]
    absent = [name for name in SOURCES if name not in there]
    found = f"in {cache_folder()}: " + (", ".join(there) or "none")
    if absent:
        options = ", ".join(dict.fromkeys(SOURCES[name].option for name in absent))
        remedy = f"{', '.join(absent)}: fetched where they are needed first, or give {options}"
        yield Finding("perceptual weights", NOTE, found, remedy)
    else:
        yield Finding("perceptual weights", WORKS, found)
    own = [name for name in OWN_WEIGHTS if own_weights(name).is_file()]
    state = WORKS if len(own) == len(OWN_WEIGHTS) else FAILS
    remedy = "" if state == WORKS else "Install the program again: its files are not complete"
    yield Finding("own weights", state, ", ".join(own) or "none", remedy)


def _parser() -> Iterator[Finding]:
    from pipeline.annotate.known_models import models_folder, put_up_description

    there = [kind for kind in ("label_map", "dense") if put_up_description(kind)]
    if "label_map" in there:
        yield Finding("parser", WORKS, f"{', '.join(there)} in {models_folder()}")
    else:
        remedy = "fittingroom setup-annotators fetches one (267 MB)"
        yield Finding("parser", NOTE, "none: label maps of own photos are guessed", remedy)


def _mediapipe() -> Iterator[Finding]:
    python = find_python()
    if python is None:
        yield Finding("MediaPipe", NOTE, "none: photos from elsewhere need it", SETUP)
        return
    words = [python, "-c", "import mediapipe; print(mediapipe.__version__)"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1][:200]
        yield Finding("MediaPipe", NOTE, f"{python}: {last}", SETUP)
    else:
        yield Finding("MediaPipe", WORKS, f"{done.stdout.strip()} ({python})")


EXTRAS = {
    "simplejpeg": "faster reading of shards ([fast])",
    "fastapi": "the page ([demo])",
    "dask": "clusters ([cluster])",
    "tensorboard": "curves ([curves])",
    "wandb": "Weights & Biases ([wandb])",
    "onnxruntime": "ONNX ([onnx])",
    "pyarrow": "Parquet ([parquet])",
}


def _extras() -> Iterator[Finding]:
    there, absent = [], []
    for name, use in EXTRAS.items():
        try:
            there.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            absent.append(f"{name}: {use}")
    yield Finding("extras", WORKS, ", ".join(there) or "none")
    if absent:
        remedy = "pip install 'fittingroom[NAME]' where wanted"
        yield Finding("extras", NOTE, "not installed: " + "; ".join(absent), remedy)


def _size(count: int) -> str:
    return f"{count / (1 << 30):.1f} GB"
