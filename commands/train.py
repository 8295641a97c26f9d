"""``train``: fine-tunes or trains DAFlow on shards."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import signal
import time
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn, get_type_hints

import click

from commands.common import live_progress, note
from commands.options import WeightsType, device_option
from model.training.config import TrainConfig
from pipeline.base.errors import DataError
from pipeline.base.storage import read_json

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
IN_FILES = ("preset", "init", "vgg19", "vgg16", "lpips", "device")
"""What a file of options may hold beside the fields of TrainConfig."""
DEEPEST_YAML = 10
LARGEST_YAML = 1 << 16
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _type(hint, metadata: dict[str, Any]) -> click.ParamType | None:  # type: ignore[type-arg]
    if metadata["choices"]:
        return click.Choice(metadata["choices"])
    if hint is bool:
        return None
    if hint in (str, str | None):
        return click.STRING
    return (click.FloatRange if hint in (float, float | None) else click.IntRange)(
        metadata["low"], metadata["high"]
    )


def training_options(function):
    """Adds an option for every field of TrainConfig, with its default, bounds and help."""
    hints = get_type_hints(TrainConfig)
    for item in reversed(fields(TrainConfig)):
        flag = "--" + item.name.replace("_", "-")
        if hints[item.name] is bool:
            flag += "/--no-" + flag[2:]
        function = click.option(
            flag,
            item.name,
            type=_type(hints[item.name], item.metadata),
            default=item.default,
            show_default=item.default is not None,
            help=item.metadata["help"],
        )(function)
    return function


def _read_yaml(ctx: click.Context, _param, path: Path | None) -> Path | None:
    """Makes the entries of a YAML file the defaults of the options that the command line leaves
    out."""
    if path is None:
        return None
    import yaml

    if not path.is_file():  # a pipe would block for ever
        raise DataError(path, "not a regular file", "some lines of options")
    if path.stat().st_size > LARGEST_YAML:
        raise DataError(path, f"{path.stat().st_size:,} bytes", "some lines of options")
    try:
        text = path.read_text(encoding="utf-8")
        depth = 0
        for event in yaml.parse(text, yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                expected = "lines such as 'epochs: 10'"
                raise DataError(path, "references", expected, "Write values out")
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST_YAML:  # the time that brackets take grows with their square
                raise ValueError("nested too deeply")
        values = yaml.safe_load(text) or {}
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        told = str(error).replace("\n", " ")[:300]
        raise DataError(path, "not YAML", "lines such as 'epochs: 10'", told) from error
    if not isinstance(values, dict):
        raise DataError(path, f"a {type(values).__name__}", "lines such as 'epochs: 10'")
    for name, value in values.items():
        if not isinstance(value, (str, int, float, type(None))):
            told = f"{str(name)[:40]}: a {type(value).__name__}"
            raise DataError(path, told, "one value, such as 'epochs: 10'")
    values = {str(name).replace("-", "_"): value for name, value in values.items()}
    known = {item.name for item in fields(TrainConfig)} | set(IN_FILES)
    for name in sorted(set(values) - known):
        near = difflib.get_close_matches(name, known, 1)
        expected = f"perhaps {near[0]}" if near else "one of " + ", ".join(sorted(known))
        raise DataError(path, f"unknown option {name!r}", expected)
    ctx.default_map = values
    return path


@click.command(short_help="Train on shards.")
@click.argument("shards", nargs=-1, type=FOLDER, metavar="SHARDS...")
@click.argument("run", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--config",
    "config_file",
    type=FILE,
    is_eager=True,
    callback=_read_yaml,
    expose_value=False,
    help="YAML file with options, each on a line such as 'epochs: 10': all that have one value and "
    "shape the run, and init, preset, device and the weights of the loss; the command line wins.",
)
@click.option(
    "--init",
    type=WeightsType(),
    help="Weights to start from: the published checkpoint, one of an own run, drawn-upper or "
    "drawn, which come with the program, or hf:owner/name.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with the run in RUN, exactly where it stopped, with as many processes or others.",
)
@click.option(
    "--preset",
    type=click.Choice(["full", "small"]),
    help="Shape of the network: the published one, or a small one for CPUs.  [default: that of "
    "--init, "
    "or full]",
)
@click.option(
    "--unpaired",
    multiple=True,
    type=FOLDER,
    help="Shards of an unpaired list: drawn after each epoch too.",
)
@click.option("--vgg19", type=FILE, help="VGG19 weights (torchvision's) for style and content.")
@click.option("--vgg16", type=FILE, help="VGG16 weights (torchvision's) for LPIPS.")
@click.option("--lpips", type=FILE, help="Linear layers of LPIPS 0.1 for VGG16.")
@device_option
@click.option("--dry-run", is_flag=True, help="Print the plan as JSON and stop.")
@click.option(
    "--fit",
    is_flag=True,
    help="Try real steps of 1, 2, 4, ... pairs on the device, print time and memory of each, and "
    "stop.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@training_options
@click.pass_context
def command(
    ctx,
    shards,
    run,
    init,
    resume,
    preset,
    unpaired,
    vgg19,
    vgg16,
    lpips,
    device,
    dry_run,
    fit,
    as_json,
    **values,
):
    """Train DAFlow on SHARDS (one or more folders) and put checkpoints, log, pictures and curves
    into RUN.

    The defaults fine-tune at the shards' size: give the published checkpoint as --init. Start it
    with torchrun for several GPUs.

    Ctrl-C, SIGTERM and --max-minutes end it after the step that is being done, with a checkpoint
    that --resume goes on from; the exit code is then 130 or 143, after --max-minutes 0.

    Example:

        fittingroom train shards/train runs/first --init ckpt_viton.pt --epochs 5
    """
    begun = time.monotonic()
    from model.network.config import NetworkConfig
    from model.training.train import train
    from model.training.watch import Ended

    if not shards:
        raise click.UsageError(
            f"Two places are needed: SHARDS to learn from, and RUN, a new folder for what comes of "
            f"it. There is only {run}."
        )
    if resume and ctx.get_parameter_source("init") is click.core.ParameterSource.DEFAULT_MAP:
        init = None  # it stands in the file that the run was begun with
    if resume and init:
        raise click.UsageError("--resume goes on from the run's own weights: leave --init out.")
    config = TrainConfig(**(_of_run(ctx, run, values) if resume else values))

    def perceptual():
        if config.perceptual == "none":
            return None
        from model.loss.perceptual import load_perceptual

        return load_perceptual(vgg19, vgg16, lpips)

    try:
        with live_progress() as (say, bar):
            summary = train(
                shards,
                run,
                config,
                network=NetworkConfig.preset(preset) if preset else None,
                init=init,
                resume=resume,
                unpaired=unpaired,
                perceptual=perceptual,
                device=device,
                dry_run=dry_run,
                fit=fit,
                note=say,
                bar=bar,
                begun=begun,
            )
    except Ended as end:
        with contextlib.suppress(OSError):
            note(end.text)
        _exit(end.signal)
    try:
        if os.environ.get("RANK", "0") == "0":  # of several processes the first one speaks
            told = summary["text"] if fit else f"{summary.get('text')} {run}"
            click.echo(json.dumps(summary, indent=1) if as_json or dry_run else told)
    except BrokenPipeError:  # whoever read may have been told to end too
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if not summary.get("signal"):
            raise
    if summary.get("signal"):
        _exit(signal.Signals[summary["signal"]])


def _exit(number: signal.Signals) -> NoReturn:
    """Ends the command with the exit code that shells give to what a signal has ended."""
    raise SystemExit(128 + number)


def _of_run(ctx: click.Context, run: Path, values: dict[str, Any]) -> dict[str, Any]:
    """Options of the run that goes on: its own, unless the command line or a YAML file says
    something else."""
    path = run / "config.json"
    if not path.exists():
        raise DataError(
            path,
            "no such file",
            "the folder of a run that was stopped",
            "Start it without --resume.",
        )
    own = read_json(path, "Start the run again, without --resume").get("train")
    if not isinstance(own, dict):
        raise DataError(
            path, "no options of a run", 'an entry "train"', "Start the run again, without --resume"
        )
    default = click.core.ParameterSource.DEFAULT
    return {
        name: own.get(name, value) if ctx.get_parameter_source(name) == default else value
        for name, value in values.items()
    }
