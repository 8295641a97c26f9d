"""The same person twice: identical keypoints, and photos that differ by little more than their
compression."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator

import cv2
import numpy as np

THUMB_HW = (32, 24)
"""Size of the grey thumbnail that confirms what hashes suggest."""
BAND_BITS = 16
MAX_BITS = 3
"""Hashes that differ in at most so many bits share one of four bands of 16."""
_ONES = np.array([bin(i).count("1") for i in range(256)], np.uint8)
MEAN_LEVELS, MOST_LEVELS = 2.5, 30
"""Grey levels by which thumbnails of one photo, compressed or resized differently, differ at
most."""


def photo_hash(grey: np.ndarray) -> tuple[int, np.ndarray]:
    """64-bit perceptual hash of a grey photo and its thumbnail, (32, 24) uint8.

    The hash holds the signs of the 64 lowest cosine frequencies against their median. Unlike
    differences of neighbours it does not depend on noise in plain backgrounds, of which these
    photos have a lot.
    """
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    waves = cv2.dct(small)[:8, :8].ravel()[1:]  # without the mean brightness
    bits = np.packbits(np.append(waves > np.median(waves), False))
    return int.from_bytes(bits.tobytes(), "big"), cv2.resize(
        grey, THUMB_HW[::-1], interpolation=cv2.INTER_AREA
    )


def keypoints_digest(keypoints: np.ndarray) -> str:
    """Equal for identical joints; empty where too few were found to tell people apart."""
    if np.count_nonzero(keypoints[:, 2]) < 6:
        return ""
    return hashlib.sha256(np.nan_to_num(keypoints[:, :2], nan=-1).tobytes()).hexdigest()[:24]


def same_keypoints(digests: list[str]) -> list[list[int]]:
    """Groups of at least two positions with the same digest."""
    groups = defaultdict(list)
    for i, digest in enumerate(digests):
        if digest:
            groups[digest].append(i)
    return [group for group in groups.values() if len(group) > 1]


def similar_photos(hashes: np.ndarray, thumbs: np.ndarray) -> list[list[int]]:
    """Groups of at least two positions whose photos are nearly the same.

    Candidates share a 16-bit band of the hash and differ in at most three bits; thumbnails decide.
    Looking into bands instead of at every pair keeps 50,000 photos to seconds and the work nearly
    linear for photos that differ.

    Args:
        hashes: (N,) uint64.
        thumbs: (N, 32, 24) uint8.
    """
    parent = list(range(len(hashes)))

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for bucket in _buckets(hashes):
        while len(bucket) > 1:
            one, rest = bucket[0], bucket[1:]
            same = _bits(hashes[rest] ^ hashes[one]) <= MAX_BITS
            same[same] = _near(thumbs[one], thumbs[rest[same]])
            for other in rest[same]:
                parent[find(int(other))] = find(int(one))
            bucket = rest[
                ~same
            ]  # found ones stand behind their first: a thousand copies cost one round
    groups = defaultdict(list)
    for i in range(len(hashes)):
        groups[find(i)].append(i)
    return [group for group in groups.values() if len(group) > 1]


def _buckets(hashes: np.ndarray) -> Iterator[np.ndarray]:
    """Positions, in ascending order, of hashes that share one of the four bands."""
    for shift in range(0, 64, BAND_BITS):
        band = (hashes >> np.uint64(shift)) & np.uint64((1 << BAND_BITS) - 1)
        order = np.argsort(band, kind="stable")
        starts = np.flatnonzero(np.diff(band[order])) + 1
        yield from np.split(order, starts)


def _bits(words: np.ndarray) -> np.ndarray:
    """Number of set bits of each uint64; NumPy before 2.0 has no function for it."""
    return _ONES[words.view(np.uint8).reshape(-1, 8)].sum(axis=1)


def _near(thumb: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N,) bool: which thumbnails show the same photo."""
    difference = np.abs(others.astype(np.int16) - thumb)
    return (difference.mean(axis=(1, 2)) <= MEAN_LEVELS) & (
        difference.max(axis=(1, 2)) <= MOST_LEVELS
    )
