"""``make-sample``: a synthetic dataset to try everything on."""

from __future__ import annotations

from pathlib import Path

import click

from commands.common import note, progress
from commands.options import SizeType, category_option, jobs_option


class PhotoSize(SizeType):
    """``HxW`` of the dataset's shape."""

    def convert(self, value, param, ctx):
        from pipeline.sample import fits_layout

        height, width = super().convert(value, param, ctx)
        if not fits_layout((height, width)):
            self.fail(
                f"{height}x{width}: 4 rows to 3 columns, 64 to 4096 pixels, such as 1024x768, "
                f"512x384 or "
                "256x192.",
                param,
                ctx,
            )
        return height, width


@click.command()
@click.argument("out", type=click.Path(path_type=Path, file_okay=False), required=False)
@click.option(
    "--pairs",
    type=click.IntRange(1),
    default=24,
    show_default=True,
    help="People per category in the training split.",
)
@click.option(
    "--test-pairs",
    type=click.IntRange(1),
    help="People per category in the test split.  [default: a quarter of --pairs, at least 2]",
)
@category_option
@click.option(
    "--size",
    "size_hw",
    type=PhotoSize(),
    default="1024x768",
    show_default=True,
    help="Height x width of photos and maps, in pixels; 4 to 3.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Another seed gives other people.",
)
@click.option(
    "--flows",
    is_flag=True,
    help="Also write where on the garment picture each pixel of a worn garment comes from, into "
    "flows/, a folder that Dress Code does not have.",
)
@click.option(
    "--statistics",
    is_flag=True,
    help="Print how the training people of these options stand, are built and are dressed, beside "
    "the real dataset's people, and stop; 300 --pairs or more tell something.",
)
@jobs_option
def command(
    out: Path | None,
    pairs: int,
    test_pairs: int | None,
    categories,
    size_hw,
    seed: int,
    flows: bool,
    statistics: bool,
    jobs: int,
) -> None:
    """Draw synthetic people and their garments into OUT, in exactly Dress Code's layout and
    formats.

    They stand, are built and are dressed as real people are, by the real dataset's statistics, and
    carry the faults of the real annotations: missing joints, wrong labels, wrong DensePose parts.

    \b
    Examples:
      fittingroom make-sample sample
      fittingroom make-sample sample --pairs 200 --size 512x384 --seed 7
      fittingroom make-sample --statistics --pairs 300
    """
    if statistics:
        return _tell_statistics(pairs, categories, seed)
    if out is None:
        raise click.UsageError("Missing argument 'OUT'.")
    from pipeline.sample import make_sample

    tests = max(2, pairs // 4) if test_pairs is None else test_pairs
    with progress("Drawing people", (pairs + tests) * len(categories)) as advance:
        summary = make_sample(
            out,
            pairs,
            size_hw,
            seed,
            jobs,
            test_pairs=tests,
            categories=categories,
            flows=flows,
            progress=advance,
        )
    note(f"{summary.total:,} people in {summary.out}")
    click.echo(str(summary.out))


def _tell_statistics(pairs: int, categories, seed: int) -> None:
    from pipeline.sample import sample_ids
    from pipeline.sample.census import compared, measure_bodies, measure_garments

    with progress("Measuring people", pairs * len(categories)) as advance:
        for category in categories:
            ids = sample_ids(category, "train", pairs)
            bodies = measure_bodies(category, ids, seed)
            garments = measure_garments(category, ids, seed, advance)
            click.echo(compared(category, bodies, garments))
