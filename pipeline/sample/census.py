"""The sample's own statistics, beside those of the real dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pipeline.base.labels import Category, Joint
from pipeline.sample.annotate import keypoint_rows, spoil_labels
from pipeline.sample.body import build_body
from pipeline.sample.scene import render_person
from pipeline.sample.statistics import (
    GARMENT_LEVELS,
    LEVELS,
    arm_values,
    body_values,
    garment_values,
    quantiles,
    real_statistics,
)
from pipeline.sample.wearer import describe_wearer

SIZE = (256, 192)  # of the label maps that garments are measured in


def stored_joints(category: Category, person_id: str, seed: int) -> np.ndarray:
    """(18, 2) x, y as the person's keypoint file has them, in the frame of 384 x 512; NaN where a
    joint is missing."""
    person = describe_wearer(category, person_id, seed)
    rng = np.random.default_rng([*person.seed, 3])
    rows = np.array(keypoint_rows(person, build_body(person), rng))
    return np.where(rows[:, 2:3] > 0, rows[:, :2], np.nan)


def measure_bodies(
    category: Category, ids: Sequence[str], seed: int = 0
) -> dict[str, dict[str, Any]]:
    """``quantiles``, ``arms`` and ``missing_share`` of some people, as in ``statistics.json``. No
    picture is drawn."""
    joints = np.stack([stored_joints(category, person_id, seed) for person_id in ids])
    missing = np.isnan(joints[..., 0]).mean(0)
    return {
        "quantiles": quantiles(body_values(joints)),
        "arms": {name: float(does.mean()) for name, does in arm_values(joints).items()},
        "missing_share": {joint.name.lower(): float(missing[joint]) for joint in Joint},
    }


def measure_garments(
    category: Category,
    ids: Sequence[str],
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> dict[str, list[float]]:
    """Name -> quantiles of what the people's garments measure in their label maps."""
    found: dict[str, list[float]] = {}
    for person_id in ids:
        person = describe_wearer(category, person_id, seed)
        picture, body, _ = render_person(person, SIZE)
        rng = np.random.default_rng([*person.seed, 3])
        rows = np.array(keypoint_rows(person, body, rng))
        spoil_labels(person, picture, rng)
        joints = np.where(rows[:, 2:3] > 0, rows[:, :2], np.nan) * (SIZE[0] / 512)
        for name, value in garment_values(category, picture.labels, picture.dense, joints).items():
            found.setdefault(name, []).append(value)
        if progress:
            progress(1)
    return quantiles({name: np.array(values) for name, values in found.items()}, GARMENT_LEVELS)


def compared(
    category: Category, bodies: dict[str, dict[str, Any]], garments: dict[str, list[float]]
) -> str:
    """A table: each line a quantity, the sample's quantiles, then the real dataset's."""
    real = real_statistics()[str(category)]
    lines = [f"{category}: sample | {real['people']:,} real people"]
    lines += ["", "  quantiles of " + _row([100 * level for level in LEVELS], "{:.0f} %")]
    for name, values in bodies["quantiles"].items():
        lines.append(f"  {name:26} {_row(values)} | {_row(real['quantiles'][name])}")
    lines += ["", "  quantiles of " + _row([100 * level for level in GARMENT_LEVELS], "{:.0f} %")]
    for name, told in real["garments"].items():
        people = f"({told['people']} people)"
        lines.append(f"  {name:26} {_row(garments[name])} | {_row(told['quantiles'])} {people}")
    for what in ("arms", "missing_share"):
        lines += ["", f"  {what.replace('_', ' ')}, %"]
        for name, share in bodies[what].items():
            lines.append(f"  {name:26} {100 * share:8.2f} | {100 * real[what][name]:8.2f}")
    return "\n".join(lines) + "\n"


def _row(values: Sequence[float], form: str = "{:.2f}") -> str:
    return " ".join(f"{form.format(value):>8}" for value in values)
