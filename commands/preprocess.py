"""``preprocess``: masks and shards of a dataset, and their verification."""

from __future__ import annotations

import json
from pathlib import Path

import click

from commands.common import note, progress
from commands.options import category_option, jobs_option, limit_option, size_option, split_option
from pipeline.base.names import FRAMES, IMAGE_KINDS, SIZE_MULTIPLE, WHOLE
from pipeline.masks.styles import ALL_STYLES
from pipeline.preprocess.config import PreprocessConfig

DEFAULTS = PreprocessConfig()


class PartType(click.ParamType):  # type: ignore[type-arg]
    """``I/N`` -> (I, N), from 1."""

    name = "I/N"

    def convert(self, value, param, ctx):
        number, _, count = str(value).partition("/")
        if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
            self.fail(f"{value!r} is no part; write 1/8 for the first of eight.", param, ctx)
        return int(number), int(count)


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path, file_okay=False), required=False)
@category_option
@split_option(help="Which pair lists to pack.", default=DEFAULTS.split, show_default=True)
@limit_option()
@size_option(help="Height x width of everything in the shards, in pixels.")
@click.option(
    "--images",
    type=click.Choice(IMAGE_KINDS),
    default=DEFAULTS.images,
    show_default=True,
    help="jpeg: quality 95, about 100 KB a person at 512x384; raw: lossless, 1.2 MB, faster to "
    "read.",
)
@click.option(
    "--mask-style",
    "styles",
    type=click.Choice(ALL_STYLES),
    multiple=True,
    default=DEFAULTS.styles,
    help="A style of masks to store; give it once for each.  [default: the first four]",
)
@jobs_option
@click.option(
    "--backend",
    type=click.Choice(["loky", "threading", "dask"]),
    default="loky",
    show_default=True,
    help="Processes, threads, or a Dask cluster; the shards are the same.",
)
@click.option("--scheduler", metavar="ADDRESS", help="Dask scheduler, such as tcp://host:8786.")
@click.option(
    "--max-skips",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="PAIRS",
    help="Bad pairs to leave out; one more ends the run, with the list.",
)
@click.option(
    "--exclude",
    "excludes",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with people to leave out, a line each, such as dresses/020714; repeat for several.",
)
@click.option(
    "--flows",
    is_flag=True,
    help="Also pack the flows that make-sample --flows has written.",
)
@click.option(
    "--frame",
    type=click.Choice(FRAMES),
    default=DEFAULTS.frame,
    show_default=True,
    help="whole: whole photos; region: the part around the garment (docs/training.md), where an "
    "upper body is 1.8 times as large.",
)
@click.option(
    "--masks",
    type=click.Path(path_type=Path),
    help="Masks and label maps that people mended (inspect-mask --export), in place of drawn ones: "
    "a folder of PNGs, or what CVAT (.xml, .zip) or Label Studio (.json) exported.",
)
@click.option(
    "--part",
    type=PartType(),
    help="Make only shards of this part, such as 3/8 for the third job of eight that share OUT; "
    "when all have ended, the same command without it writes the index.",
)
@click.option("--dry-run", is_flag=True, help="Print the plan as JSON and stop.")
@click.option(
    "--verify",
    is_flag=True,
    help="Re-read the shards of OUT against their index, with DATA also whether its files are "
    "still those that they were made of; change nothing.",
)
@click.pass_context
def command(
    ctx: click.Context,
    data: Path,
    out: Path | None,
    categories,
    split: str,
    limit: int | None,
    size_hw,
    images: str,
    styles: tuple[str, ...],
    jobs: int,
    backend: str,
    scheduler: str | None,
    max_skips: int,
    excludes: tuple[Path, ...],
    flows: bool,
    frame: str,
    masks: Path | None,
    part: tuple[int, int] | None,
    dry_run: bool,
    verify: bool,
) -> None:
    """Render agnostic masks and pack DATA, a Dress Code folder, into HDF5 shards in OUT.

    Stopped at any moment, the same command goes on where it was. Run again over a finished folder
    it makes damaged shards anew, and packs people whose files have been mended.

    \b
    Examples:
      fittingroom preprocess DressCode shards --limit 1800
      fittingroom preprocess --verify shards
      fittingroom preprocess DressCode shards --verify
      fittingroom preprocess DressCode shards --part 3/8
    """
    if masks is not None and not masks.is_dir():
        from pipeline.labelling.unpack import unpack

        masks, told = unpack(masks)
        note(told)
    if verify:
        return _verify(ctx, out or data, data if out else None, masks, jobs)
    if out is None:
        raise click.UsageError("Missing argument 'OUT'.")
    from pipeline.dataset.index import read_exclude
    from pipeline.preprocess.plan import make_plan
    from pipeline.preprocess.run import run_plan

    config = PreprocessConfig(
        categories=categories,
        split=split,
        limit=limit,
        size_hw=size_hw,
        images=images,
        styles=tuple(dict.fromkeys(styles)),
        exclude=frozenset().union(*map(read_exclude, excludes)),
        flows=flows,
        frame=frame,
        masks=masks,
    )
    plan = make_plan(data, config)
    if dry_run:
        return click.echo(json.dumps(plan.summary(), indent=1))
    if plan.absent:
        note(
            f"{plan.absent:,} rows of the lists lie outside of this copy of the dataset and are "
            f"passed over."
        )
    if enlarged := _enlarged(plan):
        note(enlarged)
    for sentence in plan.unused:
        note(f"{masks}: {sentence}.")
    if part is not None:
        return _run_part(plan, out, part, jobs, max_skips)
    with progress("Packing", plan.people) as advance:
        summary = run_plan(
            plan,
            out,
            jobs=jobs,
            backend=backend,
            scheduler=scheduler,
            max_skips=max_skips,
            progress=advance,
        )
    for name, files in summary.changed:
        told = f" ({', '.join(files)})" if files else ""
        note(f"{name} was made again: files that it was made of have changed{told}.")
    if not summary.made:
        note("Every shard was there already, and whole.")
    if masks is not None:
        note(f"Mended masks or label maps: {summary.mended:,} people.")
    if summary.guessed:
        note(
            f"Label maps of {summary.guessed:,} people are guessed: what their masks leave visible "
            f"of the garment is not known. setup-annotators brings a parser."
        )
    click.echo(str(summary))


def _enlarged(plan) -> str:
    """A sentence where the first photo is smaller than it is packed; errors come later, by name."""
    from pipeline.base.errors import DataError
    from pipeline.base.files import PICTURES, picture_header, read_bytes

    size_hw = tuple(plan.configuration["size_hw"])
    if plan.configuration.get("frame", WHOLE) != WHOLE or not plan.shards:
        return ""
    photo = next(plan.shards[0].pairs(plan.root)).image
    try:
        height, width = picture_header(photo, read_bytes(photo), PICTURES)[0]
    except DataError:
        return ""
    if height >= size_hw[0]:
        return ""
    as_they_are = f"; --size {height}x{width} packs them as they are"
    remedy = "" if height % SIZE_MULTIPLE or width % SIZE_MULTIPLE else as_they_are
    return f"Photos of {height} x {width} are enlarged to {size_hw[0]} x {size_hw[1]}{remedy}."


def _run_part(plan, out: Path, part: tuple[int, int], jobs: int, max_skips: int) -> None:
    from pipeline.preprocess.run import run_part

    people = sum(len(shard) for shard in plan.shards[part[0] - 1 :: part[1]])
    with progress("Packing", people) as advance:
        done = run_part(plan, out, part, jobs=jobs, max_skips=max_skips, progress=advance)
    click.echo(str(done))
    note("When all parts have ended, the same command without --part writes the index.")


def _verify(
    ctx: click.Context, folder: Path, root: Path | None, masks: Path | None, jobs: int
) -> None:
    from pipeline.preprocess.verify import verify

    with progress("Verifying", None) as advance:
        report = verify(folder, root=root, masks=masks, jobs=jobs, progress=advance)
    for problem in report.problems:
        click.echo(str(problem))
    if report.problems:
        note(
            "Run preprocess again with the options of the first run: it makes damaged shards anew."
        )
        ctx.exit(1)
    click.echo(
        f"{report.people:,} people in {report.shards:,} shards: all as {folder}/index.json says"
    )
