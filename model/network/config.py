"""The shape of the network as plain data: what a checkpoint stores beside its weights."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from pipeline.base.errors import DataError

LEVELS = 5
"""Pyramid levels, from 1/32 to 1/2 of the image; the training loss weighs one result of each."""

SWITCHES = ("exact_grids", "places", "crisp")


@dataclass(frozen=True)
class NetworkConfig:
    """Widths and counts of DAFlow; the defaults are the published network.

    Attributes:
        channels: width of each encoder stage, fine (1/2) to coarse (1/32).
        fpn: width of the feature pyramids, and of the features that are warped.
        flows: K, the number of flows that each image is sampled with.
        head: widths of the three inner convolutions of a flow block.
        self_kernel: kernel of the last three convolutions of the self block, odd.
        light: widths inside the light encoder: after its 3x3 and after its 1x1 convolution. The
            decoder mirrors it.
        places: the flow blocks also see where each pixel lies and where it looks so far. The
            published network has to guess both from the borders' zeros.
        work_rows: larger pictures are shrunk to this many rows before flows are estimated, and
            painted at their own size; 0 for their own. What was learnt at one size then holds at
            any.
        crisp: weights are enlarged as logarithms, so that seams stay sharp at any size.
        exact_grids: zero flow is the identity. The published weights need False, where it is a zoom
            that compounds from level to level: by 1.3 to 1.4 at 512 x 384, but by 2.9 to 4.4 at 128
                x 96 (see `model.warp`).
    """

    channels: tuple[int, ...] = (64, 128, 256, 256, 256)
    fpn: int = 256
    flows: int = 6
    head: tuple[int, ...] = (128, 64, 32)
    self_kernel: int = 7
    light: tuple[int, ...] = (32, 64)
    exact_grids: bool = False
    places: bool = False
    work_rows: int = 0
    crisp: bool = False

    def __post_init__(self) -> None:
        for name, length in (("channels", LEVELS), ("head", 3), ("light", 2)):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # a list after JSON
            if len(getattr(self, name)) != length:
                raise _bad(name, f"{len(getattr(self, name))} numbers", f"{length}")
        for name in SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise _bad(name, repr(getattr(self, name)), "true or false")
        rows = self.work_rows
        if isinstance(rows, bool) or not isinstance(rows, int) or rows < 0 or rows % 2**LEVELS:
            raise _bad("work_rows", repr(rows), f"0 or a multiple of {2**LEVELS}")
        for name, value in dataclasses.asdict(self).items():
            if name in (*SWITCHES, "work_rows"):
                continue
            numbers = value if isinstance(value, tuple) else (value,)
            if not all(
                isinstance(n, int) and not isinstance(n, bool) and 1 <= n <= 4096 for n in numbers
            ):
                raise _bad(name, repr(value), "whole numbers from 1 to 4096")
        if self.self_kernel % 2 == 0:
            raise _bad("self_kernel", str(self.self_kernel), "an odd number")

    @property
    def size_multiple(self) -> int:
        """Height and width of every image must be multiples of this many pixels."""
        return 2 ** len(self.channels)

    def work_hw(self, height: int, width: int) -> tuple[int, int]:
        """Height and width at which flows of a picture of this size are estimated."""
        rows, multiple = self.work_rows, self.size_multiple
        if not rows or height <= rows:
            return height, width
        return rows, max(multiple, round(width * rows / height / multiple) * multiple)

    @classmethod
    def preset(cls, name: str) -> NetworkConfig:
        """The named shape: "full" is the published network, "small" trains on a CPU.

        Raises:
            DataError: there is no preset of that name.
        """
        if name not in PRESETS:
            raise DataError("preset", repr(name), "one of " + ", ".join(PRESETS))
        return PRESETS[name]

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, as a checkpoint or JSON holds them."""
        return {
            k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> NetworkConfig:
        """The config that `to_dict` wrote; absent entries take their defaults.

        Raises:
            DataError: an entry is unknown or its value makes no network.
        """
        if not isinstance(values, dict):
            raise _bad("config", type(values).__name__, "a table of names and numbers")
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(map(str, set(values) - set(known)))
        if unknown:
            raise _bad(
                "config",
                "unknown entries " + ", ".join(unknown),
                "entries among " + ", ".join(known),
            )
        try:
            return cls(**values)
        except TypeError as error:
            raise _bad(
                "config", str(error), "a list where widths are asked for, a number elsewhere"
            ) from None

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=1)

    @classmethod
    def from_json(cls, text: str) -> NetworkConfig:
        """The config in a JSON text; see `from_dict`."""
        try:
            return cls.from_dict(json.loads(text))
        except json.JSONDecodeError as error:
            raise _bad("config", f"no JSON ({error})", "a JSON object") from None


def _bad(name: str, found: str, expected: str) -> DataError:
    return DataError(
        f"network {name}", found, expected, "The published network is NetworkConfig()."
    )


PRESETS = {
    "full": NetworkConfig(),
    "small": NetworkConfig(
        channels=(16, 32, 64, 64, 64),
        fpn=32,
        flows=2,
        head=(32, 24, 16),
        self_kernel=3,
        light=(16, 24),
        exact_grids=True,
        places=True,
        work_rows=128,
        crisp=True,
    ),
}
