"""Ways to spoil a file: any file, and those that know its format."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
import zlib

import cv2
import numpy as np

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


ODD_VALUES = (
    None,
    True,
    -1,
    0,
    10**30,
    -(2**63),
    1e308,
    float("nan"),
    float("inf"),
    "",
    "../../x",
    "\0",
    "\ud800",
    "1e3",
    [],
    {},
    [[]],
    [0] * 999,
    {"a": {"b": [1]}},
)


def change_json(data: bytes, random: np.random.Generator) -> bytes:
    """One value anywhere in a JSON file replaced, doubled, renamed, moved or left out."""
    content = json.loads(data)
    holder, key = None, None
    value = content
    while isinstance(value, (dict, list)) and value:
        holder = value
        key = random.choice(list(value)) if isinstance(value, dict) else random.integers(len(value))
        key = str(key) if isinstance(value, dict) else int(key)
        value = holder[key]
        if random.random() < 0.25:
            break
    if holder is None:
        return json.dumps(ODD_VALUES[random.integers(len(ODD_VALUES))]).encode()
    change = random.integers(0, 5)
    if change == 0:
        del holder[key]
    elif change == 1 and isinstance(holder, list):
        holder.insert(key, value)
    elif change == 2 and isinstance(holder, dict):
        holder[str(random.choice(["", "a", "x" * 300, *holder]))] = holder.pop(key)
    elif change == 3 and isinstance(value, (int, float)):
        holder[key] = value * float(random.choice([-1, 0, 0.5, 1e3, 1e9, 1e300]))
    else:
        holder[key] = ODD_VALUES[random.integers(len(ODD_VALUES))]
    return json.dumps(content).encode()


def change_words(data: bytes, random: np.random.Generator) -> bytes:
    """One word of a text replaced, doubled, or its line repeated."""
    words = data.split(b" ")
    at = random.integers(len(words))
    odd = (b"", b"-1", b"9" * 40, b"nan", b"[", b"&a *a", b"\xff", b"#", b"\n", b"1e999", b"../x")
    change = random.integers(0, 3)
    if change == 0:
        words[at] = odd[random.integers(len(odd))]
    elif change == 1:
        words[at] = words[at] * int(random.integers(2, 50))
    else:
        return data * int(random.integers(2, 20))
    return b" ".join(words)


def change_attribute(data: bytes, random: np.random.Generator) -> bytes:
    """One quoted value of an XML file replaced."""
    places = [m.span() for m in re.finditer(rb'"[^"]*"', data)]
    start, end = places[random.integers(len(places))]
    odd = (
        b"",
        b"-1",
        b"0",
        b"1e9",
        b"nan",
        b"9" * 30,
        b"0, 99999999",
        b"a" * 5000,
        b"&lt;",
        b"utv-8",
    )
    return data[:start] + b'"' + odd[random.integers(len(odd))] + b'"' + data[end:]


def change_h5(data: bytes, random: np.random.Generator) -> bytes:
    """An attribute or a table of an HDF5 file replaced by another value, type or shape."""
    import h5py

    from pipeline.shards.hdf5 import check_texts

    memory = io.BytesIO(data)
    check_texts(memory)  # a spoilt file would take this process' memory
    with h5py.File(memory, "r+") as file:
        names = list(file)
        if random.random() < 0.5 and len(file.attrs):
            name = str(random.choice(list(file.attrs)))
            odd = (-1, 10**12, "", "x" * 500, np.zeros(3), np.bytes_(b"\xff"), 1e300)
            file.attrs[name] = odd[random.integers(len(odd))]
        else:
            name = str(random.choice(names))
            del file[name]
            odd_tables = (
                np.zeros(0, np.uint8),
                np.zeros((1, 1), np.float64),
                np.array([b"x"], "S700"),
                np.full(9, 2**62, np.uint64),
                np.int32(5),
            )
            if random.random() < 0.8:
                file[name] = odd_tables[random.integers(len(odd_tables))]
    return memory.getvalue()


def change_state(data: bytes, random: np.random.Generator) -> bytes:
    """An entry of a torch file renamed, left out, or of another type, shape or value."""
    import torch

    content = torch.load(io.BytesIO(data), weights_only=True)
    holder = content
    while True:
        key = list(holder)[random.integers(len(holder))]
        inner = holder[key]
        if not isinstance(inner, dict) or not inner or random.random() < 0.1:
            break
        holder = inner
    change = random.integers(0, 4)
    if change == 0:
        del holder[key]
    elif change == 1:
        holder[str(random.choice(["", "module.x", "a" * 500]))] = holder.pop(key)
    elif change == 2 and isinstance(inner, torch.Tensor):
        odd = (inner.half(), inner.flatten(), inner[None], inner.to(torch.int64), inner * torch.nan)
        holder[key] = odd[random.integers(len(odd))]
    else:
        holder[key] = ODD_VALUES[random.integers(len(ODD_VALUES))]
    out = io.BytesIO()
    torch.save(content, out)
    return out.getvalue()


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
    "photo": (oversize, repeat_scans, progressive_bomb),
    "keypoints": (odd_json, odd_json, other_json, other_json),
    "label_map": (oversize, oversize, png_bomb),
    "dense": (oversize, oversize, png_bomb),
    "flow": (oversize, oversize, png_bomb),
    "parse": (oversize, oversize, png_bomb),
    "dense_picture": (oversize, oversize, png_bomb),
    "dense_uv": (odd_array, odd_array, many_members),
    "shard": (change_h5,) * 9,
    "torch": (change_state,) * 9,
    "run": (change_state,) * 9,
    "cvat": (change_attribute,) * 9,
    **{
        name: (change_json,) * 20
        for name in ("index", "description", "pose", "label_studio", "origins")
    },
    **{name: (change_words,) * 9 for name in ("options", "pairs", "exclude", "orders", "upload")},
}
RARE = {progressive_bomb: 0.02, png_bomb: 0.02, many_members: 0.1}
"""Costly ones, taken at this share of their turns."""


def spoil(surface: str, files: list[bytes], random: np.random.Generator) -> tuple[str, bytes]:
    """One file of ``files`` spoilt in a random way: the way's name and the bytes."""
    ways = ANY + OWN.get(surface, ())
    way = ways[random.integers(len(ways))]
    if random.random() > RARE.get(way, 1):
        way = flip_bits
    return way.__name__, way(files[random.integers(len(files))], random)
