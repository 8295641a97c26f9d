"""``evaluate``: figures of a network on shards."""

from __future__ import annotations

from pathlib import Path

import click

from commands.common import available_jobs, category_option, check_writable, note, progress
from pipeline.masks.styles import ALL_STYLES, STANDARD

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
OUTPUT = click.Path(dir_okay=False, path_type=Path)


@click.command(short_help="Measure a network on shards.")
@click.argument("weights", type=FILE)
@click.argument("shards", nargs=-1, required=True, type=click.Path(path_type=Path))
@category_option
@click.option(
    "--mask-style",
    type=click.Choice(ALL_STYLES),
    default=STANDARD,
    show_default=True,
    help="Masks to hide the garment with.",
)
@click.option(
    "--weights",
    "choice",
    type=click.Choice(["auto", "ema", "raw"]),
    default="auto",
    show_default=True,
    help="Moving average or weights as trained; auto: what the run validated with.",
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    help="At most so many people per category and split.  [default: all]",
)
@click.option(
    "--batch-size", type=click.IntRange(1), default=4, show_default=True, help="People at once."
)
@click.option("--composite", is_flag=True, help="Measure with the photo's visible pixels put back.")
@click.option(
    "--inception",
    type=FILE,
    help="TorchScript Inception (inception-2015-12-05.pt) for FID and KID.",
)
@click.option("--vgg16", type=FILE, help="VGG16 weights (torchvision's) for LPIPS.")
@click.option(
    "--lpips",
    "linear",
    type=FILE,
    help="Linear layers of LPIPS 0.1 for VGG16; with --vgg16, LPIPS is measured.",
)
@click.option(
    "--download", is_flag=True, help="Measure LPIPS with weights downloaded once to the cache."
)
@click.option(
    "--device", type=click.Choice(["cpu", "cuda"]), help="[default: cuda where there is one]"
)
@click.option(
    "--workers",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Processes that read shards.",
)
@click.option(
    "--json", "json_file", type=OUTPUT, help="Write all figures and settings to this file."
)
@click.option(
    "--html", "html_file", type=OUTPUT, help="Write a page with the best, median and worst people."
)
def command(
    weights,
    shards,
    categories,
    mask_style,
    choice,
    limit,
    batch_size,
    composite,
    inception,
    vgg16,
    linear,
    download,
    device,
    workers,
    json_file,
    html_file,
):
    """Measure the network in WEIGHTS on SHARDS (folders that preprocess wrote), against the shards'
    own photos.

    Paired rows get SSIM, PSNR, L1 and LPIPS, whole and inside the mask; with --inception, paired
    and unpaired rows get FID and KID. Give the folders of test_paired and test_unpaired together
    for both.

    Example:

        fittingroom evaluate runs/first/best.pt shards/test_paired shards/test_unpaired --html
        report.html
    """
    from model.evaluation.evaluate import evaluate
    from model.evaluation.fid import Inception
    from model.evaluation.page import figure_table, render_page
    from model.loss.perceptual import load_lpips
    from model.tryon.predictor import TryOn
    from pipeline.base.storage import write_json, write_whole

    check_writable(json_file, html_file)
    predictor = TryOn.load(weights, device, choice)
    measure = (
        load_lpips(vgg16, linear).to(predictor.device) if vgg16 or linear or download else None
    )
    network = Inception(inception, predictor.device) if inception else None
    if not measure:
        note("LPIPS is left out: give --vgg16 and --lpips, or --download.")
    bar = {}

    def begin(total: int) -> None:
        bar["context"] = progress("Dressing", total)
        bar["advance"] = bar["context"].__enter__()

    try:
        found = evaluate(
            predictor,
            shards,
            mask_style=mask_style,
            batch_size=batch_size,
            limit=limit,
            categories=categories,
            inception=network,
            lpips=measure,
            composited=composite,
            workers=workers,
            threads=available_jobs(),
            begin=begin,
            progress=lambda count: bar["advance"](count),
        )
    finally:
        if bar:
            bar["context"].__exit__(None, None, None)
    if not found.rows and not network:
        note(
            "Unpaired people have no truth to measure against: give --inception for FID and KID, "
            "or paired shards."
        )
    if json_file:
        write_json(json_file, found.result)
    if html_file:
        write_whole(html_file, render_page(found).encode())
    _print_table(*figure_table(found.result["metrics"]))
    for path in filter(None, (json_file, html_file)):
        note(f"Written: {path}")


def _print_table(heads: list[str], rows: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(heads, *rows)]
    for row in (heads, *rows):
        click.echo(
            "  ".join(
                cell.ljust(w) if i == 0 else cell.rjust(w)
                for i, (cell, w) in enumerate(zip(row, widths))
            ).rstrip()
        )
