"""A trained network as files for others: safetensors with its story in the header, a card, ONNX,
the official form."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from model.data.styles import final_style
from model.network.checkpoint import save_official
from model.network.config import NetworkConfig
from model.network.weight_files import write_safetensors
from model.tryon.figures import figure_table
from model.tryon.predictor import TryOn
from pipeline import __version__
from pipeline.base.errors import DataError
from pipeline.base.names import REGION
from pipeline.base.storage import whole, write_whole

OPSET = 17
LARGEST_ONNX_ERROR = 1e-2
"""Of a result in [-1, 1]; sampling positions amplify rounding, so that float32 runs differ from
each other."""
INPUTS = ("reference", "garment", "agnostic")


def facts_of(
    predictor: TryOn, evaluation: dict[str, Any] | None = None, remark: str = ""
) -> dict[str, Any]:
    """What a model card tells, as plain values: configuration, data, mask style, metrics, and a
    remark of its maker's."""
    config = predictor.facts.get("config") or {}
    train, own = config.get("train") or {}, evaluation or {}
    if own and own.get("weights", {}).get("sha256") != predictor.facts["sha256"]:
        measured = own.get("weights", {}).get("file", "something else")
        raise DataError(
            "--evaluation",
            f"measures {measured}, with another checksum",
            f"an evaluation of {predictor.facts['file']}",
            "Evaluate these weights first",
        )
    return {
        "software": f"fittingroom {__version__}",
        "network": predictor.network.config.to_dict(),
        "parameters": sum(p.numel() for p in predictor.network.parameters()),
        "weights": {key: predictor.facts[key] for key in ("file", "sha256", "choice")},
        "data": config.get("data") or {},
        "training": train,
        "remark": remark,
        "mask_style": final_style(train["mask_style"]) if train.get("mask_style") else None,
        "evaluation": {key: own[key] for key in ("protocol", "metrics") if key in own},
    }


def save_weights(predictor: TryOn, path: Path, facts: dict[str, Any], half: bool = False) -> None:
    """Writes safetensors; the header holds ``config`` (the network can be built from it) and
    ``card``.

    Args:
        half: learned weights as float16; batch statistics, whose range is wider, stay float32.

    Raises:
        DataError: the place can't be written.
    """
    learned = {name for name, _ in predictor.network.named_parameters()} if half else set()
    weights = {
        name: (value.detach().half() if name in learned else value.detach()).cpu().contiguous()
        for name, value in predictor.network.state_dict().items()
    }
    config = {"network": facts["network"], "data": facts["data"], "train": facts["training"]}
    header = {"format": "pt", "config": json.dumps(config), "card": json.dumps(facts)}
    _write(path, lambda part: write_safetensors(weights, part, header))


def save_onnx(predictor: TryOn, path: Path, size_hw: tuple[int, int]) -> float:
    """Writes ONNX for one person at one size and checks it with onnxruntime.

    Inputs are those of the network, float32 (1, 6, H, W), (1, 3, H, W), (1, 3, H, W); the output is
    ``result``.

    Returns:
        The largest difference between onnxruntime and torch on random pictures in [-1, 1].

    Raises:
        DataError: the extra is not installed, a size that ONNX cannot have, or the two do not
            agree; then nothing is written.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError as error:
        raise DataError(
            "ONNX", f"needs the package {error.name}", "", "pip install 'fittingroom[onnx]'"
        ) from None
    network = predictor.network.cpu().float()
    height, width = size_hw
    _check_whole_steps(network.config, height, width)
    generator = torch.Generator().manual_seed(0)
    inputs = tuple(
        torch.rand(1, count, height, width, generator=generator) * 2 - 1 for count in (6, 3, 3)
    )
    cascade = network.dafnet
    before = cascade.lean, cascade.warp_method
    cascade.lean, cascade.warp_method = (
        False,
        "plain",
    )  # the formulas that exporters understand; equal values
    try:

        def write(part: Path) -> None:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # sizes become constants: that is wanted
                torch.onnx.export(
                    network,
                    inputs,
                    str(part),
                    dynamo=False,
                    opset_version=OPSET,
                    input_names=INPUTS,
                    output_names=["result"],
                )
            check(part)

        def check(part: Path) -> None:
            session = onnxruntime.InferenceSession(str(part), providers=["CPUExecutionProvider"])
            found = session.run(None, {name: value.numpy() for name, value in zip(INPUTS, inputs)})[
                0
            ]
            with torch.no_grad():
                differences.append(float((torch.from_numpy(found) - network(*inputs)).abs().max()))
            if not differences[-1] <= LARGEST_ONNX_ERROR:
                raise DataError(
                    path,
                    f"onnxruntime's result is off by {differences[-1]:.2g}",
                    f"at most {LARGEST_ONNX_ERROR}",
                    "Use the safetensors file",
                )

        differences: list[float] = []
        _write(path, write)
        return differences[-1]
    finally:
        cascade.lean, cascade.warp_method = before
        predictor.network.to(predictor.device)


def _check_whole_steps(config: NetworkConfig, height: int, width: int) -> None:
    """ONNX makes pictures smaller by whole numbers alone."""
    rows, columns = config.work_hw(height, width)
    if height % rows or width % columns:
        fitting = " or ".join(f"{rows * n}x{rows * n * 3 // 4}" for n in (1, 2, 4))
        raise DataError(
            "--size",
            f"{height}x{width}",
            f"for ONNX a whole multiple of the {rows} rows that this network estimates flows on",
            f"Choose {fitting}, or export safetensors",
        )


def save_official_form(predictor: TryOn, path: Path) -> None:
    """Writes a bare state_dict with the published checkpoint's names, for other programs."""
    if path.suffix == ".safetensors":
        raise DataError(
            path,
            "a safetensors name",
            "a name that ends in .pt for the official form",
            "Leave --official out for safetensors",
        )
    save_official(predictor.network, path)


def _write(path: Path, write) -> None:
    """Lets ``write`` fill an unfinished file that gets its name when it is whole."""
    try:
        with whole(path) as part:
            write(part)
    except (OSError, SafetensorError) as error:
        raise DataError(
            path,
            f"could not be written ({getattr(error, 'strerror', None) or error})",
            "",
            "Choose another folder",
        ) from None


CARD = """# {name}

A virtual try-on network (DAFlow): a person, masked, and a garment picture in; the person in
that garment out.
Made with {software}.{remark}

| | |
|---|---|
| parameters | {parameters:,} |
| weights | {choice}, from {file} |
| SHA-256 of that file | `{sha256}` |
| trained on | {data} |
| masks | {masks} |

## Use

    fittingroom try-on {name} --data DressCode --person 048392 --garment 048400 --out dressed.png

Inputs are float32 in [-1, 1]: `reference` (B, 6, H, W), the pose picture and the agnostic
picture; `garment` and `agnostic` (B, 3, H, W). H and W are multiples of 32. The agnostic picture is
the photo, hidden region black (-1).

## Figures

{figures}

## Limits

Results depend on the mask's shape; arms crossed before the body and fine necklines are the
hardest. Dress Code is licensed for research alone: weights that were trained on it may be used
for nothing else.

## Configuration

```json
{configuration}
```
"""


def render_card(name: str, facts: dict[str, Any]) -> str:
    """The model card as Markdown."""
    data = facts["data"]
    trained = (
        f"{data.get('pairs', '?')} pairs at {data.get('size', '?')}"
        if data
        else "not recorded in the file"
    )
    if data.get("frame") == REGION:
        trained += " of the part around the garment"
    configuration = {key: facts[key] for key in ("network", "training", "data")}
    return CARD.format(
        name=name,
        software=facts["software"],
        parameters=facts["parameters"],
        data=trained,
        masks=facts["mask_style"] or "not recorded",
        remark=f"\n\n{facts['remark']}" if facts.get("remark") else "",
        figures=_figures(facts["evaluation"]),
        configuration=json.dumps(configuration, indent=1),
        **facts["weights"],
    )


def _figures(evaluation: dict[str, Any]) -> str:
    if not evaluation:
        return (
            "Not measured. `fittingroom evaluate WEIGHTS SHARDS --json FILE` measures, "
            "`--evaluation FILE` adds it."
        )
    heads, rows = figure_table(evaluation["metrics"])
    settings = evaluation["protocol"]
    lines = [
        f"{settings['size']}, masks of style {settings['mask_style']}; {settings['picture']}.",
        "",
        "| " + " | ".join(heads) + " |",
        "|---" * len(heads) + "|",
    ]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def write_card(path: Path, text: str) -> None:
    """Writes the card. Raises DataError."""
    write_whole(path, text.encode())
