"""Which figures prefer a sharp picture that is a little off to a foggy one?

    python benchmarks/fog.py [--people 8]

A network that does not know to a few pixels where a print lies can show it in one place (off), or
the mean of all places (fog): less wrong at every pixel, and useless. On drawn people of every
category, worn garments inside the ``standard`` mask are replaced by the same garments
  off     bent smoothly by some pixels (root mean square),
  fog     as the mean of seven such bends,
  blur    blurred by a Gaussian of some pixels,
  colour  with every channel shifted by some levels,
  noise   with noise of some levels,
  mean    as one colour,
  other   as what another person has there.
Prints, for each figure, the part of the people for whom the first of two is the better one. Lengths
are at 512 rows and shrink with the picture.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from model.evaluation.metrics import LARGER_IS_BETTER, pair_metrics  # noqa: E402
from pipeline.people.open import open_people  # noqa: E402
from pipeline.preprocess.run import preprocess  # noqa: E402
from pipeline.sample import make_sample  # noqa: E402

FIGURES = ("l1_inside", "ssim_inside", "gradient_correlation", "detail", "likeness_inside")
PIXELS = (1, 2, 4, 8)
BENDS = 7
SIZES = ((512, 384), (256, 192), (128, 96))
SHARP = [(f"off {d}", f"fog {d}") for d in PIXELS] + [("off 2", "blur 2"), ("off 4", "blur 4")]
PLAINLY = [
    ("same", "off 1"),
    ("off 1", "off 2"),
    ("off 2", "off 4"),
    ("off 4", "off 8"),
    ("blur 1", "blur 2"),
    ("blur 2", "blur 4"),
    ("blur 4", "blur 8"),
    ("same", "noise 8"),
    ("noise 8", "noise 24"),
    ("same", "colour 8"),
    ("colour 8", "colour 16"),
    ("colour 16", "colour 32"),
    ("off 4", "noise 24"),
    ("off 4", "colour 32"),
    ("off 8", "other"),
    ("fog 4", "mean"),
    ("fog 8", "other"),
]


def bend(amount: float, size_hw: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """(2, H, W) float32: a smooth shift in pixels whose root mean square is ``amount``."""
    height, width = size_hw
    coarse = rng.standard_normal((2, 16, 12)).astype(np.float32)
    shift = np.stack(
        [cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC) for part in coarse]
    )
    return shift * (amount / np.sqrt(np.square(shift).sum(0).mean()))


def bent(picture: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The picture, each pixel fetched from as far away as ``shift`` says."""
    y, x = np.mgrid[: shift.shape[1], : shift.shape[2]].astype(np.float32)
    moved = cv2.remap(
        picture,
        x + shift[0],
        y + shift[1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return moved.astype(np.float32)


def spoilt(photo: np.ndarray, other: np.ndarray, mask: np.ndarray, rng) -> dict[str, np.ndarray]:
    """Every kind of wrong result, by name; (H, W, 3) uint8 each, as the photo outside the mask."""
    scale, found = len(photo) / 512, {"same": photo.astype(np.float32)}
    for pixels in PIXELS:
        bends = [bent(photo, bend(pixels * scale, mask.shape, rng)) for _ in range(BENDS)]
        found[f"off {pixels}"] = bends[0]
        found[f"fog {pixels}"] = np.mean(bends, 0)
        found[f"blur {pixels}"] = cv2.GaussianBlur(found["same"], (0, 0), pixels * scale)
    for levels in (8, 16, 32):
        found[f"colour {levels}"] = found["same"] + rng.choice([-levels, levels], 3)
    for levels in (8, 24):
        found[f"noise {levels}"] = found["same"] + rng.normal(0, levels, photo.shape)
    found["mean"] = np.broadcast_to(photo[mask].mean(0), photo.shape)
    found["other"] = other.astype(np.float32)
    return {name: _pasted(photo, picture, mask) for name, picture in found.items()}


def _pasted(photo: np.ndarray, picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    result = photo.copy()
    result[mask] = picture[mask].round().clip(0, 255).astype(np.uint8)
    return result


def goodness(figures: dict[str, float], name: str) -> float:
    """A figure so that larger is better; detail by how near it is to 1."""
    value = figures[name]
    if name == "detail":
        return min(value, 1 / max(value, 1e-9))
    return value if name.startswith(LARGER_IS_BETTER) else -value


def measure(data: Path, work: Path, size_hw: tuple[int, int]) -> Callable[[str, str, str], float]:
    """``preferred(first, second, figure)``: the part of the people for whom the first is better."""
    shards = work / "{}x{}".format(*size_hw)
    preprocess(data, shards, size_hw=size_hw, styles=("standard",))
    people, rows = list(open_people(shards)), []
    for number, person in enumerate(people):
        rng, mask = np.random.default_rng(number), person.masks["standard"]
        other = people[(number + 1) % len(people)].photo
        wrong = spoilt(person.photo, other, mask, rng)
        rows.append({name: pair_metrics(x, person.photo, mask) for name, x in wrong.items()})

    def preferred(first: str, second: str, figure: str) -> float:
        won = [goodness(row[first], figure) > goodness(row[second], figure) for row in rows]
        return float(np.mean(won))

    return preferred


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=8, help="of each category")
    people = parser.parse_args().people
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        make_sample(work / "data", people, SIZES[0], jobs=2)
        for size_hw in SIZES:
            preferred = measure(work / "data", work, size_hw)
            print("\n{} x {}, {} people".format(*size_hw, 3 * people))
            for title, pairs in (("sharp to fog", SHARP), ("what is plainly better", PLAINLY)):
                print(f"{title:24}" + "".join(f"{name:>22}" for name in FIGURES))
                for first, second in pairs:
                    parts = [preferred(first, second, name) for name in FIGURES]
                    named = f"{first} to {second}"
                    print(f"{named:24}" + "".join(f"{part:22.2f}" for part in parts))


if __name__ == "__main__":
    main()
