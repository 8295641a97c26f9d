"""Feeds the readers thousands of spoilt files: each has to give a valid array or a DataError, soon,
in little memory.

    python benchmarks/fuzz_readers.py DATA --files 5000

DATA is a dataset, such as one of make-sample. Its files are cut, flipped, joined, given other
headers, or replaced by bombs, and read in processes of their own, so that a crash or a hang is
seen. Prints what came of them for each reader.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import signal
import struct
import sys
import tempfile
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from pipeline.base.errors import DataError
from pipeline.dataset.readers import (
    read_dense,
    read_dense_uv,
    read_image,
    read_keypoints,
    read_label_map,
)

SECONDS, MEGABYTES = 20, 1000
"""What one file may take at most: time, and memory of the process that reads it."""
SUSPECT = "being_read"
Outcome = tuple[Counter, list[str], float, float]


def _is_image(a: np.ndarray) -> bool:
    return a.dtype == np.uint8 and a.ndim == 3 and a.shape[2] == 3 and a.size > 0


def _is_map(highest: int) -> Callable[[np.ndarray], bool]:
    return lambda a: a.dtype == np.uint8 and a.ndim == 2 and a.size > 0 and a.max() <= highest


def _is_keypoints(a: np.ndarray) -> bool:
    missing = np.isnan(a[:, 0])
    return (
        a.shape == (18, 3)
        and a.dtype == np.float32
        and np.isfinite(a[~missing]).all()
        and np.isnan(a[missing, :2]).all()
        and (a[missing, 2] == 0).all()
    )


def _is_uv(a: np.ndarray) -> bool:
    return (
        a.dtype == np.float32
        and a.ndim == 3
        and a.shape[0] == 2
        and a.size > 0
        and np.isfinite(a).all()
    )


READERS: dict[str, tuple[Callable, str, Callable[[np.ndarray], bool]]] = {
    "image": (read_image, "images/*_0.jpg", _is_image),
    "keypoints": (lambda path: read_keypoints(path, (512, 384)), "keypoints/*.json", _is_keypoints),
    "label_map": (read_label_map, "label_maps/*.png", _is_map(17)),
    "dense": (read_dense, "dense/*.png", _is_map(24)),
    "dense_uv": (read_dense_uv, "dense/*.npz", _is_uv),
}
"""Modality -> reader, its files in a category's folder, whether an array is one that the reader
promises."""

SIZES = (0, 1, 255, 4096, 20_000, 65_535, 2**31 - 1, 2**32 - 1)


# Ways to spoil any file


def cut(data: bytes, random: np.random.Generator) -> bytes:
    return data[: random.integers(0, len(data))]


def flip_bits(data: bytes, random: np.random.Generator) -> bytes:
    spoilt = np.frombuffer(data, np.uint8).copy()
    where = random.integers(0, len(spoilt), 2 ** random.integers(0, 8))
    spoilt[where] ^= (1 << random.integers(0, 8, len(where))).astype(np.uint8)
    return spoilt.tobytes()


def flip_header(data: bytes, random: np.random.Generator) -> bytes:
    return flip_bits(data[:700], random) + data[700:]


def overwrite(data: bytes, random: np.random.Generator) -> bytes:
    start, length = random.integers(0, len(data)), random.integers(1, 4096)
    noise = bytes(length) if random.random() < 0.5 else random.bytes(length)
    return data[:start] + noise + data[start + length :]


def move_piece(data: bytes, random: np.random.Generator) -> bytes:
    a, b, c = sorted(random.integers(0, len(data), 3))
    return data[:a] + data[b:c] + data[a:b] * int(random.integers(0, 4)) + data[c:]


def noise(data: bytes, random: np.random.Generator) -> bytes:
    return data[: random.integers(0, 32)] + random.bytes(int(random.integers(0, 5000)))


# Ways that know the format


def oversize(data: bytes, random: np.random.Generator) -> bytes:
    """Another width and height in the header of a JPEG or a PNG, with a valid checksum."""
    width, height = (int(random.choice(SIZES)) for _ in range(2))
    if data.startswith(b"\x89PNG"):
        head = struct.pack(">II", width, height) + data[24:29]
        return data[:16] + head + struct.pack(">I", zlib.crc32(b"IHDR" + head)) + data[33:]
    at = data.find(b"\xff\xc0") + 5
    return (
        data[:at] + struct.pack(">HH", height & 0xFFFF, width & 0xFFFF) + data[at + 4 :]
        if at > 4
        else data
    )


def repeat_scans(data: bytes, random: np.random.Generator) -> bytes:
    at = data.find(b"\xff\xda")
    return data[:at] + data[at : at + 14] * int(random.integers(1, 5000)) + data[at:]


def progressive_bomb(data: bytes, random: np.random.Generator) -> bytes:
    """A large progressive JPEG of one colour: small on disc, costly in memory."""
    side = int(random.integers(3000, 9000))
    image = np.full((side, side, 3), 200, np.uint8)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()


def png_bomb(data: bytes, random: np.random.Generator) -> bytes:
    """A PNG whose few kilobytes unpack to 12,000 x 9,000 pixels, or a text chunk that unpacks to
    100 MB."""
    if random.random() < 0.5:
        text = b"zTXtnote\0\0" + zlib.compress(bytes(100_000_000), 9)
        return (
            data[:33]
            + struct.pack(">I", len(text) - 4)
            + text
            + struct.pack(">I", zlib.crc32(text))
            + data[33:]
        )
    return cv2.imencode(".png", np.zeros((12_000, 9_000), np.uint8))[1].tobytes()


def odd_json(data: bytes, random: np.random.Generator) -> bytes:
    values = [
        "NaN",
        "Infinity",
        "-1e999",
        "1" * 400,
        "null",
        '"x"',
        "[]",
        "{}",
        "true",
        "1e300",
        "-0.0",
        "[" * 90_000,
    ]
    text = data.decode()
    number = text.split(",")[random.integers(1, 60)].strip(" []{}")
    return text.replace(number, str(random.choice(values)), 1).encode()


def other_json(data: bytes, random: np.random.Generator) -> bytes:
    content = json.loads(data)
    rows = content["keypoints"]
    change = random.integers(0, 6)
    if change == 0:
        rows = rows[: random.integers(0, 18)]
    elif change == 1:
        rows = rows * int(random.integers(2, 400))
    elif change == 2:
        rows[random.integers(0, 18)] = rows
    elif change == 3:
        rows[random.integers(0, 18)] = [
            float(x) for x in random.normal(0, 10.0 ** random.integers(0, 12), 4)
        ]
    elif change == 4:
        rows = {str(i): row for i, row in enumerate(rows)}
    else:
        return b"[" * int(random.integers(1, 900_000)) + b"]" * 5
    try:
        return json.dumps({"keypoints": rows}).encode()
    except ValueError:  # a list within itself
        return b'{"keypoints": ' * 5000


def odd_array(data: bytes, random: np.random.Generator) -> bytes:
    """An .npz of another type or shape, of a false header, or one that unpacks to 2 GB."""
    out = io.BytesIO()
    choice = random.integers(0, 4)
    if choice == 0:
        types = ["f2", "f8", "i4", "u1", "c8", "?", "S3", "U2", "M8[s]", "O"]
        np.savez_compressed(out, uv=np.zeros((2, 8, 6)).astype(str(random.choice(types))))
    elif choice == 1:
        np.savez_compressed(
            out, uv=np.zeros(tuple(random.integers(0, 5, random.integers(0, 6))), np.float32)
        )
    else:
        member = io.BytesIO()
        shape = tuple(int(n) for n in random.choice([0, 1, 2, 3, 1024, 40_000, 2**40, -1], 3))
        np.lib.format.write_array_header_1_0(
            member,
            {
                "descr": "<f4",
                "fortran_order": False,
                "shape": (2, *shape[1:]) if choice == 2 else shape,
            },
        )
        with (
            zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open("uv.npy", "w") as file,
        ):
            file.write(member.getvalue())
            for _ in range(2000 if random.random() < 0.02 else 2):
                file.write(bytes(1 << 20))
    return out.getvalue()


def many_members(data: bytes, random: np.random.Generator) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for i in range(int(random.integers(1, 3000))):
            archive.writestr(f"{i}.npy", b"")
    return out.getvalue()


ANY = (
    cut,
    cut,
    flip_bits,
    flip_bits,
    flip_bits,
    flip_header,
    flip_header,
    overwrite,
    overwrite,
    move_piece,
    noise,
)
OWN = {
    "image": (oversize, repeat_scans, progressive_bomb),
    "keypoints": (odd_json, odd_json, other_json, other_json),
    "label_map": (oversize, oversize, png_bomb),
    "dense": (oversize, oversize, png_bomb),
    "dense_uv": (odd_array, odd_array, many_members),
}
RARE = {progressive_bomb: 0.02, png_bomb: 0.02, many_members: 0.1}
"""Costly ones, taken at this share of their turns."""


def spoil(modality: str, files: list[bytes], random: np.random.Generator) -> tuple[str, bytes]:
    """One file of ``files`` spoilt in a random way: the way's name and the bytes."""
    ways = ANY + OWN[modality]
    way = ways[random.integers(len(ways))]
    if random.random() > RARE.get(way, 1):
        way = flip_bits
    return way.__name__, way(files[random.integers(len(files))], random)


def try_file(modality: str, path: Path) -> str:
    """``array``, the kind of the DataError, or ``BAD ...`` for anything that must not happen."""
    read, _, is_valid = READERS[modality]
    try:
        array = read(path)
    except DataError as error:
        return (
            getattr(error, "kind", "error")
            if str(path) in str(error)
            else f"BAD message without the file: {error}"
        )
    except BaseException as error:  # whatever comes here is what this script looks for
        return f"BAD {type(error).__name__}: {error}"[:200]
    return "array" if is_valid(array) else f"BAD array {array.shape} {array.dtype}"


def load_files(root: Path, modality: str, most: int = 6) -> list[bytes]:
    """Contents of some real files of a modality."""
    return [path.read_bytes() for path in sorted(root.glob(f"*/{READERS[modality][1]}"))[:most]]


def read_spoilt(root: Path, modality: str, count: int, seed: int, folder: Path) -> Outcome:
    """Outcomes of ``count`` spoilt files, what must not happen, the slowest in seconds, the peak
    memory in MB."""
    random, files = np.random.default_rng(seed), load_files(root, modality)
    outcomes, bad, slowest = Counter(), [], 0.0
    path = folder / f"{SUSPECT}_{modality}"
    signal.signal(
        signal.SIGALRM, signal.SIG_DFL
    )  # a hang ends the process, whatever C code it is in
    for number in range(count):
        way, data = spoil(modality, files, random)
        path.write_bytes(data)
        signal.alarm(SECONDS)
        start = time.perf_counter()
        outcome = try_file(modality, path)
        slowest = max(slowest, time.perf_counter() - start)
        signal.alarm(0)
        outcomes[outcome.split()[0]] += 1
        if outcome.startswith("BAD"):
            bad.append(f"{modality}, seed {seed}, file {number}, {way}: {outcome}")
            (folder / f"bad_{modality}_{seed}_{number}").write_bytes(data)
    return outcomes, bad, slowest, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fuzz(root: Path, modality: str, files: int, seed: int, folder: Path) -> Outcome:
    """``read_spoilt`` in a process of its own, whose death is a finding."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(read_spoilt, root, modality, files, seed, folder).result()
        except BrokenProcessPool:
            kept = folder / f"crash_{modality}_{seed}"
            (folder / f"{SUSPECT}_{modality}").rename(kept)
            return (
                Counter(BAD=1),
                [f"{modality}: the process died or took longer than {SECONDS} s on {kept}"],
                0,
                0,
            )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="dataset to take files from")
    parser.add_argument("--files", type=int, default=5000, help="spoilt files in all [5000]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for files that a reader failed on")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="fuzz_"))
    folder.mkdir(parents=True, exist_ok=True)
    failed = False
    for modality in READERS:
        count = options.files // len(READERS)
        outcomes, bad, slowest, peak = fuzz(options.data, modality, count, options.seed, folder)
        failed |= bool(bad) or peak > MEGABYTES
        counts = ", ".join(f"{name} {n}" for name, n in sorted(outcomes.items()))
        print(
            f"{modality:10} {sum(outcomes.values()):6} files: {counts}; slowest {slowest:.2f} s, "
            f"peak {peak:.0f} MB"
        )
        print("".join(f"  {line}\n" for line in bad[:10]), end="", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
