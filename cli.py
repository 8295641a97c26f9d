"""``python cli.py COMMAND``, or ``fittingroom COMMAND`` once installed."""

from __future__ import annotations

import click

from commands.common import LazyGroup
from pipeline import __version__


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
    },
)
@click.version_option(__version__)
def main() -> None:
    """Dress Code to masks, shards, a fine-tuned DAFlow and dressed people: upper body, lower body
    and dresses."""


if __name__ == "__main__":
    main()
