"""``export-data``: photos, masks and annotations in the layout that another trainer reads."""

from __future__ import annotations

from pathlib import Path

import click

from commands.common import note, progress
from commands.options import (
    SizeType,
    category_option,
    check_aspect,
    jobs_option,
    limit_option,
    mask_style_option,
    split_option,
    stretch_option,
)
from pipeline.layouts.tables import FORMS, NAMES


@click.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option("--layout", required=True, type=click.Choice(NAMES), help="Whose reader opens it.")
@click.option(
    "--form",
    type=click.Choice(FORMS),
    help="Of layouts that have both.  [default: viton-hd of idm-vton, dresscode of all others]",
)
@mask_style_option(help="Mask style.", flag="--style")
@category_option
@split_option(
    help="Pair list of a dataset; repeat for several. Shards have their own.  "
    "[default: every list that is there]",
    multiple=True,
)
@limit_option(help="At most so many people per category.")
@stretch_option
@click.option(
    "--size",
    "size_hw",
    type=SizeType(),
    callback=check_aspect,
    help="Height x width in pixels.  [default: what the reader demands, else the source's]",
)
@jobs_option
@click.option(
    "--max-skips",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="PEOPLE",
    help="People that may be left out; all are listed.",
)
def command(source, out, layout, form, style, categories, splits, limit, size_hw, jobs, max_skips):
    """Write SOURCE, a dataset or a folder of shards, into OUT as another trainer reads it.

    Stopped at any moment, the same command goes on where it was. Other splits may be added to the
    same folder by another call.

    \b
    Examples:
      fittingroom export-data DressCode catvton --layout catvton
      fittingroom export-data shards/train hub --layout parquet --style loose
    """
    from pipeline.layouts.job import Settings, export_data
    from pipeline.layouts.people import check_style, output_size, source_people
    from pipeline.layouts.tables import find_layout

    try:
        key, row = find_layout(layout, form)
    except KeyError as error:
        raise click.UsageError(f"--layout {layout} has no form {form}.") from error
    check_style(style)
    people = source_people(source, categories, splits, limit, size_hw or row.size_hw)
    size = output_size(people, row, size_hw)
    first = next(iter(people.values()))
    if first.size_hw[0] < size[0]:
        have = "x".join(map(str, first.size_hw))
        note(
            f"Shards of {have} are enlarged to {size[0]}x{size[1]}: export from the dataset to "
            "keep its detail."
        )
    with progress("Exporting", sum(len(p.names) for p in people.values())) as advance:
        settings = Settings(key, style, size)
        summary = export_data(people, out, settings, source.name, jobs, max_skips, advance)
    if not summary.made:
        note("Everything was there already, and whole.")
    click.echo(str(summary))
