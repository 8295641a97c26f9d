"""WebP, AVIF and HEIC: what a file is and how large, told from its bytes before it is opened."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, features

from pipeline.base.files import ReadError

HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
AVIF_BRANDS = (b"avif", b"avis")
ENDINGS = (".webp", ".avif", ".heic", ".heif")


def kind_of(data: bytes) -> str | None:
    """``WEBP``, ``AVIF`` or ``HEIF``, whatever the file is called; None for anything else."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        brands = data[8 : min(len(data), int.from_bytes(data[:4], "big"))]
        if any(brand in brands for brand in AVIF_BRANDS):
            return "AVIF"
        if any(brand in brands for brand in HEIC_BRANDS):
            return "HEIF"
    return None


def announced_size(data: bytes, kind: str) -> tuple[int, int]:
    """(height, width) in pixels that the file announces; (0, 0) where it tells none.

    Source: the WebP container specification (VP8X, VP8 and VP8L chunks); ISO/IEC 23008-12, the
    ``ispe`` property, of which the largest counts.
    """
    if kind == "WEBP":
        return _webp_size(data)
    largest, at = (0, 0), data.find(b"ispe")
    while at >= 0:
        width = int.from_bytes(data[at + 8 : at + 12], "big")
        height = int.from_bytes(data[at + 12 : at + 16], "big")
        largest = max(largest, (height, width), key=lambda hw: hw[0] * hw[1])
        at = data.find(b"ispe", at + 4)
    return largest


def _webp_size(data: bytes) -> tuple[int, int]:
    chunk, body = data[12:16], data[20:30]
    if chunk == b"VP8X" and len(body) == 10:
        width, height = body[4:7], body[7:10]
        return int.from_bytes(height, "little") + 1, int.from_bytes(width, "little") + 1
    if chunk == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        width, height = body[6:8], body[8:10]
        low_bits = 0x3FFF
        return int.from_bytes(height, "little") & low_bits, int.from_bytes(
            width, "little"
        ) & low_bits
    if chunk == b"VP8L" and body[:1] == b"\x2f":
        bits = int.from_bytes(body[1:5], "little")
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    return 0, 0


def check_can_open(path: Path, kind: str) -> None:
    """ReadError that says what the file is where nothing here reads it."""
    if kind == "HEIF":
        try:
            import pillow_heif
        except ImportError:
            pass
        else:
            pillow_heif.register_heif_opener()
    there = {
        "WEBP": lambda: features.check("webp"),
        "AVIF": lambda: features.check("avif"),
        "HEIF": lambda: "HEIF" in Image.OPEN,
    }
    if not there[kind]():
        extra = "pip install pillow-heif, or convert" if kind == "HEIF" else "Convert"
        raise ReadError(
            "unreadable",
            path,
            f"this is {'HEIC' if kind == 'HEIF' else kind}, which is not read here",
            "JPEG or PNG",
            f"{extra} it to JPEG",
        )
