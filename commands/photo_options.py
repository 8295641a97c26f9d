"""What ``annotate`` and ``serve`` share: who finds joints, labels and parts in photos from
elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_PUT_UP = "  [default: what setup-annotators has put up]"


def photo_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --parser, --dense-model, --guess and --mediapipe-python."""
    for option in reversed(
        (
            click.option(
                "--parser",
                type=FILE,
                help="Description (JSON) of a parsing model, ONNX or TorchScript." + _PUT_UP,
            ),
            click.option(
                "--dense-model",
                type=FILE,
                help="Description (JSON) of a DensePose model, ONNX or TorchScript." + _PUT_UP,
            ),
            click.option(
                "--guess",
                is_flag=True,
                help="Leave alone what setup-annotators has put up: maps are guessed from joints.",
            ),
            click.option(
                "--mediapipe-python",
                type=FILE,
                help="Python that has MediaPipe.  [default: this one, or .venv-photo]",
            ),
        )
    ):
        command = option(command)
    return command


def pose_finder(python: Path | None, required: bool = False):
    """MediaPipe, to be closed; None where there is none and none is required."""
    from pipeline.annotate.keypoints import MediaPipe, find_python

    return MediaPipe(python) if required or python or find_python() else None


def map_finder(description: Path | None, kind: str, guess: bool):
    """The model of a description, or the one that was put up; None where maps are to be guessed."""
    from pipeline.annotate.known_models import put_up_description

    description = description or (None if guess else put_up_description(kind))
    if description is None:
        return None
    from model.tryon.annotator import open_finder

    return open_finder(description, kind)
