"""``setup-annotators``: a human parser and DensePose for photos from elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

from commands.common import note

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(short_help="Fetch a parser for own photos.")
@click.option(
    "--from", "source", type=FOLDER, help="Take ONNX files from this folder; nothing is fetched."
)
@click.option(
    "--mirror", metavar="URL", help="Fetch from this address, which has files of the same names."
)
@click.option(
    "--parse-classes",
    type=click.Choice(["lip", "cihp"]),
    help="What a file of 20 classes numbers.",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to put them.  [default: annotators/ in the cache, where annotate and serve look]",
)
@click.option("--list", "only_list", is_flag=True, help="Show what would be fetched, and stop.")
def command(
    source: Path | None,
    mirror: str | None,
    parse_classes: str | None,
    folder: Path | None,
    only_list: bool,
) -> None:
    """Put up a human parser, and DensePose where you have it as ONNX, for photos from elsewhere.

    annotate and serve then take label maps from it in place of guessing them. The parser is fetched
    by its checksum; DensePose is published without an ONNX file, so give yours with --from.

    \b
    Examples:
      fittingroom setup-annotators
      fittingroom setup-annotators --from Downloads
      fittingroom setup-annotators --mirror https://models.example.org/onnx
    """
    from pipeline.annotate.known_models import (
        KNOWN,
        OPTIONS,
        fetch_known,
        models_folder,
        take_from,
        tried,
    )
    from pipeline.base.errors import DataError

    if only_list:
        for known in KNOWN:
            click.echo(f"{known.name}: {known.size / 1e6:,.0f} MB, {known.licence}\n  {known.url}")
        return
    if source and mirror:
        raise click.UsageError("Give --from or --mirror, not both.")
    folder = folder or models_folder()
    found = take_from(source, folder, parse_classes) if source else fetch_known(folder, mirror)
    left_out = 0
    for outcome in found:
        if isinstance(outcome, DataError):
            note(f"left out: {outcome}")
            left_out += 1
            continue
        model = tried(outcome)
        note(f"{model.name}: {model.size / 1e6:,.1f} MB, licence {model.licence}")
        if model.told:
            note(f"{model.name}: {model.told}; see docs/photos.md")
        note(
            f"{model.name}: finds {model.body:.0%} of a drawn person's body and leaves "
            f"{model.ground:.0%} of the ground"
        )
        if model.doubtful:
            note(f"{model.name}: that is little; look at its label maps, or mend its description")
        if folder == models_folder():
            note("annotate and serve take it from now on; --guess goes without.")
        else:
            note(f"Give it to annotate or serve: {OPTIONS[model.kind]} {model.description}")
        click.echo(model.description)
    if left_out:
        raise SystemExit(1)
