"""Draws poses that have the statistics of real people, for ``make-sample``: ``python
scripts/fit_sample_poses.py`` writes ``pipeline/sample/poses.npz``.

Poses are drawn about the clusters of ``statistics.json``, many more than needed. Weights are then
found with which every quantile, every share of what arms do and every cluster's share is the real
one (raking), and poses are taken by their weights. No real person's pose is in it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeline.base.labels import Category  # noqa: E402
from pipeline.sample.poses import POSES_FILE  # noqa: E402
from pipeline.sample.statistics import (  # noqa: E402
    LEVELS,
    arm_values,
    body_values,
    real_statistics,
)

SHARES = np.diff([0, *LEVELS, 1])
# joint whose displacement each of the 13 joints takes along: neck, right arm, left arm, legs
PARENTS = (-1, 0, 1, 2, 0, 4, 5, -1, 7, 8, -1, 10, 11)
ROUNDS, HEAVIEST = 300, 1.0


def spread(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 2) noise of spread 1 with some far-off values, as joints of real people have."""
    wide = np.where(rng.random(count) < 0.2, 1.8, 0.72)
    return rng.normal(size=(count, 2)) * wide[:, None]


def candidates(category: Category, count: int, rng: np.random.Generator):
    """(count, 13, 2) joints about the clusters' means in the body's frame; (count,) clusters."""
    rows = real_statistics()[str(category)]["pose_clusters"]
    shares = np.array([row["share"] for row in rows])
    mixed = 0.8 * shares / shares.sum() + 0.2 / len(rows)  # the rare ones shall have enough
    cluster = rng.choice(len(rows), count, p=mixed)
    means = np.array([list(row["mean"].values()) for row in rows])[cluster]
    sds = np.array([row["sd"] for row in rows])[cluster]
    taller = rng.normal(size=count)  # both legs are as long, the more so when seen from afar
    moved = np.zeros((count, 13, 2))
    for joint, parent in enumerate(PARENTS):
        sd = sds[:, joint]
        above = sds[:, parent] if parent >= 0 else 0 * sd
        own = np.sqrt(np.maximum(sd**2 - above**2, (0.35 * sd) ** 2))
        moved[:, joint] = spread(rng, count) * own[:, None]
        if parent in (8, 11, 7, 10):
            moved[:, joint, 1] = 0.5 * moved[:, joint, 1] + 0.85 * own * taller
        moved[:, joint] += moved[:, parent] if parent >= 0 else 0
    hips = moved[:, [7, 10]]
    moved[:, [7, 10]] = (hips - hips[:, ::-1]) / 2  # the origin lies between them
    for first in (7, 10):
        moved[:, [first + 1, first + 2]] += (moved[:, first] - hips[:, (first - 7) // 3])[:, None]
    return means + moved, cluster


def in_frame(joints: np.ndarray, category: Category, rng: np.random.Generator) -> np.ndarray:
    """(N, 18, 2) in pixels of 384 x 512: people fill the photo's height as real ones do."""
    table = real_statistics()[str(category)]["quantiles"]

    def draw(name):
        levels, values = [0, *LEVELS, 1], table[name]
        low, high = values[0] - (values[1] - values[0]), values[-1] + (values[-1] - values[-2])
        return np.interp(rng.random(len(joints)), levels, [low, *values, high])

    whole = np.full((len(joints), 18, 2), np.nan)
    whole[:, 1:14] = joints
    unit = np.maximum(
        np.hypot(*(whole[:, 2] - whole[:, 5]).T), 0.55 * np.hypot(*whole[:, 1].T)
    )  # the hips are the origin
    whole /= unit[:, None, None]
    top, bottom = draw("neck_y_px_of_512"), draw("ankles_y_px_of_512")
    fitting = (bottom - top) / (whole[:, [10, 13], 1].mean(1) - whole[:, 1, 1])
    part = rng.random(len(joints)) * 0.6 + 0.4
    u = fitting * part + draw("u_px_of_512") * (1 - part)
    whole *= u[:, None, None]
    whole[..., 0] += draw("hips_x_px_of_384")[:, None]
    whole[..., 1] += (top - whole[:, 1, 1])[:, None]
    return np.round(whole)


def bins_of(values: np.ndarray, edges: list[float]) -> np.ndarray:
    """Which of the 8 parts between quantiles each value lies in. Where quantiles coincide, values
    at them are spread over the parts between."""
    jitter = np.random.default_rng(5).uniform(-1, 1, values.shape) * 1e-6
    steps = np.asarray(edges) + np.arange(len(edges)) * 2e-7
    return np.searchsorted(steps, values + jitter)


def constraints(joints, cluster, category: Category) -> list[tuple[np.ndarray, np.ndarray]]:
    """(members (N, S) of a part each, wanted share of each part)."""
    real, found = real_statistics()[str(category)], []
    for name, values in body_values(joints).items():
        edges, values = real["quantiles"][name], values.reshape(len(joints), -1)
        kept = [k for k, e in enumerate(edges) if edges.index(e) == k]  # equal ones count once
        levels = [LEVELS[k] for k in kept]
        if len(kept) < len(edges):  # all above the last one is at it: nothing is beyond
            levels = levels[:-1]
            kept = kept[:-1]
        shares = np.diff([0, *levels, 1])
        found.append((np.searchsorted([edges[k] for k in kept], values), shares))
    for name, does in arm_values(joints).items():
        share = real["arms"][name]
        found.append((does.astype(int)[:, None], np.array([1 - share, share])))
    shares = np.array([row["share"] for row in real["pose_clusters"]])
    return [*found, (cluster[:, None], shares / shares.sum())]


def rake(wanted: list[tuple[np.ndarray, np.ndarray]], heaviest: float) -> np.ndarray:
    """(N,) weights of sum 1 that fulfil all constraints as far as possible, none above
    ``heaviest``."""
    weights = np.full(len(wanted[0][0]), 1 / len(wanted[0][0]))
    for _ in range(ROUNDS):
        for members, shares in wanted:
            now = np.zeros(len(shares))
            for side in members.T:
                now += np.bincount(side, weights, len(shares)) / members.shape[1]
            factors = np.clip(shares / np.maximum(now, 1e-9), 0.2, 5)
            weights = weights * np.exp(np.log(factors)[members].mean(1))
            weights = np.minimum(weights / weights.sum(), heaviest)
        weights /= weights.sum()
    return weights


def take(weights: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count,) rows, each in proportion to its weight, at even steps."""
    order = rng.permutation(len(weights))
    ends = np.cumsum(weights[order])
    at = (np.arange(count) + 0.5) / count * ends[-1]
    return order[np.searchsorted(ends, at)]


@click.command()
@click.option("--poses", default=1000, show_default=True, help="Poses per category.")
@click.option("--candidates", "many", default=60000, show_default=True)
@click.option("--seed", default=0, show_default=True)
def command(poses: int, many: int, seed: int) -> None:
    """Fits and writes the poses, and prints how far their quantiles are from the real ones."""
    arrays = {}
    for category in Category:
        rng = np.random.default_rng([seed, category.index])
        joints, cluster = candidates(category, many, rng)
        joints = in_frame(joints, category, rng)
        wanted = constraints(joints, cluster, category)
        weights = rake(wanted, HEAVIEST / poses)
        rows = take(weights, poses, rng)
        chosen = joints[rows]
        click.echo(
            f"{category}: {1 / (weights**2).sum():.0f} effective, {len(set(rows))} different"
        )
        report(chosen, category)
        arrays[str(category)] = chosen[:, 1:14].astype(np.int16)
    np.savez_compressed(POSES_FILE, **arrays)
    click.echo(f"{POSES_FILE}: {POSES_FILE.stat().st_size:,} bytes")


def report(joints: np.ndarray, category: Category) -> None:
    real = real_statistics()[str(category)]
    for name, values in body_values(joints).items():
        mine = np.quantile(values, LEVELS)
        click.echo(f"  {name:28s} {np.round(mine, 2).tolist()} {real['quantiles'][name]}")
    for name, does in arm_values(joints).items():
        click.echo(f"  {name:28s} {does.mean():.4f} {real['arms'][name]}")


if __name__ == "__main__":
    command()
