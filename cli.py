"""``python cli.py COMMAND``, or ``fittingroom COMMAND`` once installed."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

try:
    import click
except ModuleNotFoundError:
    sys.exit(
        "Error: this Python lacks the program's packages (click is the first). make setup puts "
        "them into .venv: then . .venv/bin/activate, or .venv/bin/python cli.py."
    )

HERE = Path(__file__).resolve().parent
PACKAGES = ("pipeline", "model", "commands")


def hidden_packages(home: Path = HERE) -> list[str]:
    """A sentence for each of our packages in whose place Python would import somebody else's."""
    told = []
    for name in PACKAGES:
        spec = find_spec(name)
        place = Path(spec.origin).resolve().parents[1] if spec and spec.origin else None
        if place != home:
            found = f"{place / name}" if place else "nothing"
            told.append(f"{name} is {found}, not {home / name}")
    return told


if hidden := hidden_packages():
    sys.exit(
        f"Error: a package of another program hides ours: {'; '.join(hidden)}. Start from another "
        "folder, or take that folder out of PYTHONPATH."
    )

from commands.common import LazyGroup  # noqa: E402
from pipeline import __version__  # noqa: E402


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    modules={
        "make-sample": "commands.make_sample",
        "check": "commands.check",
        "preprocess": "commands.preprocess",
        "inspect-mask": "commands.inspect_mask",
        "train": "commands.train",
        "evaluate": "commands.evaluate",
        "try-on": "commands.try_on",
        "export": "commands.export",
        "export-data": "commands.export_data",
        "annotate": "commands.annotate",
        "serve": "commands.serve",
        "setup-annotators": "commands.setup_annotators",
        "doctor": "commands.doctor",
    },
)
@click.version_option(__version__)
def main() -> None:
    """Dress Code to masks, shards, a fine-tuned DAFlow and dressed people: upper body, lower body
    and dresses."""


if __name__ == "__main__":
    main()
