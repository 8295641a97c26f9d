"""``export``: a trained network as files for others."""

from __future__ import annotations

from pathlib import Path

import click

from commands.common import check_writable, note
from commands.options import (
    SIZE_TEXT,
    SizeType,
    WeightsType,
    check_aspect,
    stretch_option,
    weights_option,
)

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(short_help="Write a network for others to use.")
@click.argument("weights", type=WeightsType())
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--official", is_flag=True, help="A bare state_dict with the published checkpoint's names."
)
@click.option(
    "--size",
    "size_hw",
    type=SizeType(32),
    default=SIZE_TEXT,
    show_default=True,
    callback=check_aspect,
    help="For .onnx: height x width of the pictures, fixed in the file.",
)
@stretch_option
@click.option(
    "--evaluation", type=FILE, help="Figures to put into the card: what evaluate --json wrote."
)
@weights_option
@click.option(
    "--half", is_flag=True, help="For .safetensors: weights as float16, in half the space."
)
@click.option(
    "--push",
    "repository",
    metavar="OWNER/NAME",
    help="Also put weights and card into this repository of Hugging Face's hub (private at first).",
)
@click.option("--remark", default="", help="A sentence for the card: how made, on what, limits.")
def command(
    weights: Path,
    out: Path,
    official: bool,
    size_hw,
    evaluation: Path | None,
    choice: str,
    half: bool,
    repository: str | None,
    remark: str,
) -> None:
    """Write the network in WEIGHTS to OUT: .safetensors with a model card beside it (OUT.md), or
    .onnx.

    \b
    Examples:
      fittingroom export runs/first/best.pt tryon.safetensors --evaluation figures.json
      fittingroom export runs/first/best.pt tryon.onnx --size 512x384
      fittingroom export runs/first/best.pt ckpt.pt --official
      fittingroom export runs/first/best.pt tryon.safetensors --push me/tryon
    """
    from model.tryon import export
    from model.tryon.predictor import TryOn
    from pipeline.base.storage import read_json

    if not official and out.suffix not in (".safetensors", ".onnx"):
        raise click.UsageError(
            f"{out}: a name that ends in .safetensors or .onnx, or any with --official."
        )
    if half and (official or out.suffix != ".safetensors"):
        raise click.UsageError("--half is for .safetensors alone.")
    if repository and (official or out.suffix != ".safetensors"):
        raise click.UsageError("--push is for .safetensors alone.")
    check_writable(out)
    predictor = TryOn.load(weights, "cpu", choice)
    if official:
        export.save_official_form(predictor, out)
        return click.echo(str(out))
    if out.suffix == ".onnx":
        difference = export.save_onnx(predictor, out, size_hw)
        note(f"onnxruntime agrees with torch to {difference:.1e}.")
        return click.echo(str(out))
    figures = read_json(evaluation, "Give what evaluate --json wrote") if evaluation else None
    facts = export.facts_of(predictor, figures, remark)
    export.save_weights(predictor, out, facts, half)
    card = out.with_suffix(".md")
    export.write_card(card, export.render_card(out.name, facts))
    click.echo(f"{out}\n{card}")
    if repository:
        from model.network.hub import push

        click.echo(push(out, card, repository))
