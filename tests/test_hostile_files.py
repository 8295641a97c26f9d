"""Whatever a file holds, its reader gives a valid array or a DataError, soon and in little
memory."""

import io
import json
import resource
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny_dresscode import write_dataset

from benchmarks.flips import CHECKED, flip
from benchmarks.spoiling import ANY, OWN, RARE
from benchmarks.surfaces import SURFACES, try_bytes
from pipeline.annotate.parses import read_parse
from pipeline.dataset.readers import read_label_map

READERS = {
    "image": "images/*_0.jpg",
    "keypoints": "keypoints/*.json",
    "label_map": "label_maps/*.png",
    "dense": "dense/*.png",
    "dense_uv": "dense/*.npz",
}
"""Files of the dataset: surface, and where they lie in a category's folder."""
COMMON = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = write_dataset(tmp_path_factory.mktemp("dresscode"), train=1, test=0)
    return {
        modality: [path.read_bytes() for path in sorted(root.glob(f"*/{pattern}"))]
        for modality, pattern in READERS.items()
    }


def outcome(tmp_path, modality, data):
    return try_bytes(SURFACES[modality], data, tmp_path)


CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("surface", SURFACES)
def test_every_file_of_the_corpus_gives_an_answer_or_a_clear_error_at_once(tmp_path, surface):
    """The corpus holds a whole file, and what benchmarks/fuzz.py found, for every surface."""
    files = sorted((CORPUS / surface).iterdir())
    assert [path.stem for path in files].count("seed") == 1
    for path in files:
        began = time.monotonic()
        found = try_bytes(SURFACES[surface], path.read_bytes(), tmp_path)
        assert not found.startswith("BAD"), f"{path.name}: {found}"
        assert (found == "answer") or path.stem != "seed", f"{path.name}: {found}"
        assert time.monotonic() - began < 15  # the first one imports what it needs


@pytest.mark.parametrize("surface", CHECKED)
def test_a_flipped_bit_is_told_or_changes_nothing(tmp_path, surface):
    outcomes = flip(SURFACES[surface], 60, 2, tmp_path)
    assert set(outcomes) <= {"told", "same"} and outcomes["told"] > 10


@pytest.mark.parametrize("modality", READERS)
def test_files_as_they_are_give_arrays(files, tmp_path, modality):
    assert [outcome(tmp_path, modality, data) for data in files[modality]] == ["answer"] * 3


@pytest.mark.parametrize(
    "modality, way",
    [(m, way) for m in READERS for way in dict.fromkeys(ANY + OWN[m]) if way not in RARE],
    ids=lambda p: getattr(p, "__name__", p),
)
def test_spoilt_files_give_arrays_or_errors(files, tmp_path, modality, way):
    random = np.random.default_rng(zlib.crc32(f"{modality}{way.__name__}".encode()))
    for i in range(20):
        data = way(files[modality][i % 3], random)
        found = outcome(tmp_path, modality, data)
        assert not found.startswith("BAD"), found
        if way.__name__ in ("cut", "noise"):  # a flipped bit may go unnoticed, a lost piece may not
            lost = len(files[modality][i % 3]) - len(data)
            end_mark_alone = (
                modality in ("label_map", "dense") and 0 < lost <= 20
            )  # a PNG's last words
            assert found != "answer" or end_mark_alone


@pytest.mark.parametrize("modality", READERS)
def test_files_of_another_modality_are_refused_or_mean_the_same(files, tmp_path, modality):
    for other, contents in files.items():
        allowed = (
            {"answer"} if other == modality else {"unreadable", "mode", "values", "shape", "size"}
        )
        if (modality, other) in (
            ("image", "label_map"),
            ("image", "dense"),
            ("label_map", "dense"),
        ):
            allowed.add(
                "answer"
            )  # pictures in their own right; part numbers up to 17 could be classes
        assert outcome(tmp_path, modality, contents[0]) in allowed, other


@COMMON
@given(st.binary(max_size=400), st.sampled_from(list(READERS)))
def test_arbitrary_bytes_are_refused(tmp_path, data, modality):
    assert outcome(tmp_path, modality, data) in ("unreadable", "shape")


NUMBERS = st.one_of(st.floats(), st.integers(), st.booleans(), st.none(), st.text(max_size=3))
JSON = st.recursive(
    NUMBERS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=20,
)


@COMMON
@given(JSON)
def test_arbitrary_json_is_refused(tmp_path, content):
    assert outcome(tmp_path, "keypoints", json.dumps(content).encode()) == "shape"
    assert outcome(tmp_path, "keypoints", json.dumps({"keypoints": content}).encode()) == "shape"


@COMMON
@given(
    st.lists(
        st.lists(st.floats() | st.integers(-10, 600), min_size=4, max_size=4),
        min_size=18,
        max_size=18,
    )
)
def test_eighteen_rows_of_any_numbers_give_keypoints_or_an_error(tmp_path, rows):
    assert outcome(tmp_path, "keypoints", json.dumps({"keypoints": rows}).encode()) in (
        "answer",
        "values",
        "frame",
    )


@COMMON
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 255),
    st.integers(0, 7),
    st.sampled_from(["label_map", "dense", "image"]),
)
def test_png_of_any_header_is_refused(tmp_path, width, height, depth, kind, modality):
    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    data = b"\x89PNG\r\n\x1a\n" + chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    )
    data += chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    assert outcome(tmp_path, modality, data) in ("unreadable", "size", "mode")


@COMMON
@given(
    st.lists(st.integers(-2, 2**50), max_size=5),
    st.integers(0, 300),
    st.sampled_from(["<f4", ">f4", "<f2", "<i8", "|O", "|b1", "<U9"]),
)
def test_array_of_any_header_is_refused_or_valid(tmp_path, shape, length, kind):
    member, out = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(
        member, {"descr": kind, "fortran_order": False, "shape": tuple(shape)}
    )
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("uv.npy", member.getvalue() + bytes(length))
    assert outcome(tmp_path, "dense_uv", out.getvalue()) in (
        "answer",
        "shape",
        "size",
        "unreadable",
    )


@pytest.mark.parametrize("modality", ["label_map", "dense", "image"])
def test_no_flipped_bit_of_a_png_is_read(files, tmp_path, modality):
    picture = files["label_map" if modality == "image" else modality][0]
    data, random = bytearray(picture), np.random.default_rng(1)
    for at in random.integers(0, 8 * len(data), 300).tolist():
        data[at // 8] ^= 1 << at % 8
        assert outcome(tmp_path, modality, bytes(data)) in ("unreadable", "mode"), at
        data[at // 8] ^= 1 << at % 8


@pytest.mark.parametrize("depth, highest", [(2, 3), (4, 15), (8, 17)])
@pytest.mark.parametrize("reader", [read_label_map, lambda path: read_parse(path, (4, 3))])
def test_grey_maps_of_fewer_bits_hold_the_numbers_themselves(tmp_path, reader, depth, highest):
    numbers = np.array([[0, 1, 2], [3, 1, highest], [1, 0, 2], [2, 2, 3]], np.uint8)
    bits = np.unpackbits(numbers[..., None], axis=2)[..., -depth:].reshape(4, -1)
    rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in bits)
    header = struct.pack(">IIBBBBB", 3, 4, depth, 0, 0, 0, 0)
    path = tmp_path / "map.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )
    assert np.array_equal(reader(path), numbers)


def png_chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def write_bombs(folder):
    """Small files that unpack to 400 MB and more, each named after the reader that is to refuse
    it."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (2, 1024, 768)}
    )
    for name, head in (("lying", header.getvalue()), ("headless", b"")):
        with (
            zipfile.ZipFile(
                folder / f"dense_uv-{name}.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1
            ) as archive,
            archive.open("uv.npy", "w", force_zip64=True) as file,
        ):
            file.write(head)
            for _ in range(24):
                file.write(bytes(1 << 24))
    with (
        zipfile.ZipFile(folder / "dense_uv-header.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("uv.npy", "w", force_zip64=True) as file,
    ):
        file.write(b"\x93NUMPY\x02\x00" + struct.pack("<I", 400 << 20))
        for _ in range(400):
            file.write(b" " * (1 << 20))
    with zipfile.ZipFile(folder / "dense_uv-members.npz", "w") as archive:
        for i in range(20_000):
            archive.writestr(str(i), b"")
    picture = io.BytesIO()
    Image.new("L", (48, 64)).save(picture, "PNG")
    data, text = picture.getvalue(), b"zTXtnote\0\0" + zlib.compress(bytes(400_000_000), 1)
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    for modality in ("label_map", "dense", "image"):
        head = data[:16] + struct.pack(">II", 32_000, 32_000) + data[24:29]
        (folder / f"{modality}-size.png").write_bytes(
            head + struct.pack(">I", zlib.crc32(head[12:])) + data[33:]
        )
        (folder / f"{modality}-text.png").write_bytes(data[:33] + chunk + data[33:])
    (folder / "keypoints-deep.json").write_bytes(b'{"keypoints": ' + b"[" * 1_000_000)
    (folder / "keypoints-long.json").write_bytes(b'{"keypoints": [' + b"[]," * 300_000 + b"[]]}")


READ_ALL = """
import resource, sys
from pathlib import Path
from benchmarks.surfaces import SURFACES, try_bytes
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sorted(Path(sys.argv[1]).iterdir()):
    print(path.name, try_bytes(SURFACES[path.name.split("-")[0]], path.read_bytes()))
print("grown", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_bombs_are_refused_in_little_memory(tmp_path):
    write_bombs(tmp_path)
    ran = subprocess.run(
        [sys.executable, "-c", READ_ALL, tmp_path],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parent.parent,
    )
    assert ran.returncode == 0, ran.stderr
    *lines, grown = ran.stdout.splitlines()
    assert len(lines) == 12
    for line in lines:
        name, found = line.split(" ", 1)
        assert found in ("unreadable", "size", "shape"), line
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(grown.split()[1]) * unit < 250e6, grown


def test_the_limit_of_memory_would_be_noticed():
    """The measure used above sees an array that is really allocated."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            "import resource; a = b'x' * 300_000_000; "
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)",
        ],
        capture_output=True,
        text=True,
    )
    assert before > 0 and int(ran.stdout) * (1 if sys.platform == "darwin" else 1024) > 300e6
