"""Options that several commands have, and the types of what they take: one wording, one default."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.base.names import DEFAULT_HW, FRAMES, SIZE_MULTIPLE, SPLITS
from pipeline.masks.styles import ALL_STYLES, STANDARD

CATEGORY_NAMES = [str(c) for c in Category]
SIZE_TEXT = "{}x{}".format(*DEFAULT_HW)
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

device_option = click.option(
    "--device", type=click.Choice(["cpu", "cuda"]), help="[default: cuda where there is one]"
)
weights_option = click.option(
    "--weights",
    "choice",
    type=click.Choice(["auto", "ema", "raw"]),
    default="auto",
    show_default=True,
    help="Moving average or weights as trained; auto: what the run validated with.",
)
frame_option = click.option(
    "--frame",
    type=click.Choice(FRAMES),
    help="What the network sees: whole photos, or the part around the garment (region).  "
    "[default: as trained]",
)


RUN_WEIGHTS = ("best.pt", "last.pt")
"""In a run's folder."""


class WeightsType(click.Path):
    """A file with a network's weights, the name of some that come with the program, or
    ``hf:owner/name`` of Hugging Face's hub.

    A file of that name wins.
    """

    name = "weights"

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False, path_type=Path)

    def convert(self, value, param, ctx):
        from model.network.hub import fetch, is_hub
        from model.network.own import OWN_WEIGHTS, own_weights

        if is_hub(str(value)) and not Path(value).exists():
            value = fetch(str(value))
        if str(value) in OWN_WEIGHTS and not Path(value).exists():
            value = own_weights(str(value))
        path = Path(value)
        if path.is_dir():
            best = next((f"{path / name}" for name in RUN_WEIGHTS if (path / name).is_file()), "")
            given = f"give {best}" if best else "no weights lie in it"
            self.fail(f"{path} is a folder: {given}.", param, ctx)
        if not path.exists():
            names = " or ".join(OWN_WEIGHTS)
            self.fail(f"{path}: no such file, nor weights of that name ({names}).", param, ctx)
        return super().convert(value, param, ctx)


class SizeType(click.ParamType):  # type: ignore[type-arg]
    """``HxW`` in pixels -> (height, width)."""

    name = "HxW"

    def __init__(self, multiple: int = 1, largest: int = 4096):
        self.multiple, self.largest = multiple, largest

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d+)[xX](\d+)", str(value).strip())
        if not match:
            self.fail(
                f"{value!r} is not a size; write height x width in pixels, such as 512x384.",
                param,
                ctx,
            )
        height, width = int(match[1]), int(match[2])
        if not (0 < height <= self.largest and 0 < width <= self.largest):
            self.fail(
                f"{value}: height and width lie between 1 and {self.largest} pixels.", param, ctx
            )
        if height % self.multiple or width % self.multiple:
            # Well-formed but not to be had: bad input, told and ended (exit code 1) like a bad
            # file.
            error = DataError(
                param.opts[0] if param else "size",
                f"a size of {height}x{width}",
                f"multiples of {self.multiple} (the network halves them five times)",
                f"The nearest of the photos' shape is {nearest_size(height, width)}",
            )
            raise click.ClickException(str(error))
        return height, width


ASPECT = 4 / 3
"""Height over width of the dataset's photos."""
STEP_HW = (128, 96)
"""The smallest size of that shape whose sides the network can halve five times."""


def nearest_size(height: int, width: int) -> str:
    """The size of the photos' shape that has about as many pixels, as ``HxW``."""
    steps = max(1, round((height * width / (STEP_HW[0] * STEP_HW[1])) ** 0.5))
    return f"{steps * STEP_HW[0]}x{steps * STEP_HW[1]}"


def check_aspect(ctx: click.Context, param: click.Parameter, size_hw: tuple[int, int] | None):
    """Click callback: a size of the photos' shape, or any with ``--stretch``.

    Raises:
        click.ClickException: another shape; with the size that may have been meant.
    """
    if size_hw is None or ctx.meta.get(STRETCH):
        return size_hw
    height, width = size_hw
    if abs(height / width / ASPECT - 1) < 0.02:
        return size_hw
    if abs(width / height / ASPECT - 1) < 0.02:
        meant = f"{width}x{height}"
        found = f"{height}x{width}: height comes first, and photos are higher than wide"
    else:
        meant = nearest_size(height, width)
        found = f"a size of {height}x{width}"
    error = DataError(
        param.opts[0],
        found,
        "the shape of the photos, 4 high to 3 wide",
        f"Write {meant}, or pass --stretch to distort them",
    )
    raise click.ClickException(str(error))


def _allow_stretch(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    ctx.meta[STRETCH] = value


STRETCH = "fittingroom.stretch"
stretch_option = click.option(
    "--stretch",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_allow_stretch,
    help="Allow a --size of another shape than the photos': people are distorted.",
)


def available_jobs() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def categories(_ctx, _param, value: tuple[str, ...]) -> tuple[Category, ...]:
    """Click callback: chosen names, or all three, as Category in their usual order."""
    return tuple(c for c in Category if not value or str(c) in value)


category_option = click.option(
    "--category",
    "categories",
    multiple=True,
    type=click.Choice(CATEGORY_NAMES),
    callback=categories,
    help="Garment category; repeat for several.  [default: all three]",
)


def size_option(
    default: str = SIZE_TEXT, multiple: int = SIZE_MULTIPLE, help: str = "Height x width in pixels."
) -> Callable[..., Any]:
    size = click.option(
        "--size",
        "size_hw",
        type=SizeType(multiple),
        default=default,
        show_default=True,
        callback=check_aspect,
        help=help,
    )
    return lambda command: size(stretch_option(command))


jobs_option = click.option(
    "--jobs",
    type=click.IntRange(1),
    default=available_jobs,
    show_default="all cores",
    help="Worker processes.",
)


def mask_style_option(help: str, flag: str = "--mask-style") -> Decorator:
    """One mask style, ``standard`` by default."""
    return click.option(
        flag, type=click.Choice(ALL_STYLES), default=STANDARD, show_default=True, help=help
    )


def split_option(help: str, **more: Any) -> Decorator:
    """A pair list, or with ``multiple`` several, as ``splits``."""
    names = ("--split", "splits") if more.get("multiple") else ("--split",)
    return click.option(*names, type=click.Choice(SPLITS), help=help, **more)


def limit_option(help: str = "At most so many people per category.  [default: all]") -> Decorator:
    """How many people at the most."""
    return click.option("--limit", type=click.IntRange(1), help=help)
