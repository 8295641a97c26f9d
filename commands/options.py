"""Options that several commands have: one wording, one default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from pipeline.base.names import SPLITS
from pipeline.masks.styles import ALL_STYLES, STANDARD

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
