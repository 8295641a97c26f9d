"""Flips single bits of the program's own and the dataset's files, reads each, and counts what is
told, what changes nothing, and what is used in silence.

    python benchmarks/flips.py --flips 10000

The files are the seeds of tests/corpus. A photo and keypoints of the dataset bear no checksum: a
digit that became another can't be seen in the file itself, so they are counted by themselves. After
a run it is seen: ``preprocess DATA SHARDS --verify`` compares the dataset's files with the hash
that the index holds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.fuzz import corpus_of  # noqa: E402
from benchmarks.surfaces import SURFACES, Surface  # noqa: E402
from pipeline.base.errors import DataError  # noqa: E402

CHECKED = (
    "shard",
    "index",
    "torch",
    "safetensors",
    "run",
    "label_map",
    "dense",
    "flow",
    "dense_uv",
)
"""Files in which a flip can be seen."""
UNCHECKED = ("keypoints", "image")
"""Files of the dataset in which it can't always: JSON, JPEG."""


def same(a: Any, b: Any) -> bool:
    """Whether two answers hold the same, down to the last bit."""
    import torch

    if isinstance(a, torch.nn.Module):
        return same(dict(a.state_dict()), dict(b.state_dict()))
    if isinstance(a, torch.Tensor):
        return same(a.numpy(), b.numpy())
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if is_dataclass(a):
        return type(a) is type(b) and all(
            same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a)
        )
    if isinstance(a, Mapping):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, Sequence) and not isinstance(a, (str, bytes)):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def flip(surface: Surface, flips: int, seed: int, folder: Path) -> Counter:
    """What became of so many flips of the surface's seed: told, same or SILENT."""
    data = corpus_of(surface.name, "seed*")[0]
    path = folder / surface.file
    path.write_bytes(data)
    truth, outcomes = surface.read(path), Counter[str]()
    random = np.random.default_rng(seed)
    for at in random.integers(0, 8 * len(data), flips).tolist():
        spoilt = bytearray(data)
        spoilt[at // 8] ^= 1 << at % 8
        path.write_bytes(spoilt)
        try:
            outcomes["same" if same(truth, surface.read(path)) else "SILENT"] += 1
        except DataError:
            outcomes["told"] += 1
        except Exception as error:
            outcomes[f"TRACEBACK {type(error).__name__}"] += 1
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--flips", type=int, default=10_000, help="in all [10,000]")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    each = -(-options.flips // len(CHECKED + UNCHECKED))
    wrong = 0
    with tempfile.TemporaryDirectory() as place:
        for name in CHECKED + UNCHECKED:
            outcomes = flip(SURFACES[name], each, options.seed, Path(place))
            told = ", ".join(f"{kind} {count}" for kind, count in sorted(outcomes.items()))
            print(f"{name:12} {each} flips: {told}", flush=True)
            wrong += sum(n for kind, n in outcomes.items() if kind.startswith("TRACEBACK"))
            wrong += outcomes["SILENT"] if name in CHECKED else 0
    print(f"{wrong} flips used in silence or without a sentence, where a file can tell")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
