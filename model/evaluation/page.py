"""An evaluation as one self-contained HTML page, to be sent to a colleague: the table, groups as
bars, the best, median and worst people of each figure, and how all was measured."""

from __future__ import annotations

import base64
import html
import json
import math
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Subset

from model.data.dataset import to_image
from model.evaluation.evaluate import BY_POSE, Evaluation, people_of, pictures_of
from model.evaluation.figures import COMPOSITE
from model.evaluation.methods import Network
from model.evaluation.tables import methods_table
from model.network.explain import layers_of
from model.tryon.explain import can_explain
from model.tryon.figures import PAIRED, UNPAIRED
from pipeline.base.labels import Category

SHOWN_ROWS = 320
RANKED = {
    "ssim_inside": ("SSIM inside the mask", 1),
    "l1_inside": ("L1 inside the mask", -1),
    "gradient_correlation": ("gradients alike", 1),
}
"""Figure -> its name, and 1 where more is better."""
BARS = {
    "l1_inside": ("L1 inside the mask, lower is better", "{:.3f}"),
    "ssim_inside": ("SSIM inside the mask, higher is better", "{:.3f}"),
    "ssim_neckline": ("SSIM of the neckline, higher is better", "{:.3f}"),
}
STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --bar: #4a7ebb }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: .2rem; overflow-wrap: anywhere }
h2 { font-size: 1.2rem; margin-top: 2.2rem } h3 { font-size: 1rem; margin: 1.2rem 0 .4rem }
.scroll { overflow-x: auto; background:
  linear-gradient(to left, Canvas 40%, transparent) right / 2.4rem 100% no-repeat local,
  linear-gradient(to left, #8886, transparent) right / 1.2rem 100% no-repeat scroll }
.hint { font-size: .85rem; opacity: .75; margin: .2rem 0 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .35rem .7rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap }
th:nth-child(-n+3), td:nth-child(-n+3) { text-align: left }
thead th { background: var(--soft); font-weight: 600 }
th:first-child, td:first-child { position: sticky; left: 0; background: Canvas }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 1.5rem }
.bar { display: grid; grid-template-columns: 8.5rem 1fr 3.5rem; gap: .5rem; align-items: center;
  font-size: .85rem; margin: .15rem 0 }
.bar i { display: block; height: .8rem; background: var(--bar); border-radius: .2rem }
.bar b { font-weight: 400; font-variant-numeric: tabular-nums }
figure { margin: 1rem 0 1.6rem } figcaption { margin-bottom: .4rem }
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(6.5rem, 1fr)); gap: .5rem }
.row img { width: 100%; display: block; border-radius: .2rem }
.row span { font-size: .85rem; opacity: .75 }
pre { background: var(--soft); padding: 1rem; overflow-x: auto; font-size: .8rem }
@media (max-width: 36rem) { body { margin: 1rem auto } th, td { padding: .3rem .5rem } }
"""


def render_page(evaluation: Evaluation) -> str:
    """The page's HTML, pictures included; dresses the shown people once more."""
    result = evaluation.result
    others = len(result["methods"]) - 1
    name = result["methods"][0]["name"] + (f" and {others} more" if others else "")
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<title>Evaluation of {_safe(name)}</title><style>{STYLE}</style>",
        f"<h1>Evaluation of {_safe(name)}</h1>",
        f"<p>{_safe(_summary(result))}</p>",
        *_figures(result),
        *_explained(result),
        *_charts(result),
        *_extra(result),
        *_people(evaluation),
    ]
    settings = {k: v for k, v in result.items() if k not in ("metrics", "methods")}
    told = json.dumps(settings, indent=1, ensure_ascii=False)
    parts.append(f"<h2>How it was measured</h2><pre>{_safe(told)}</pre>")
    return "\n".join(parts)


def _summary(result: dict[str, Any]) -> str:
    card = result["protocol"]
    return (
        f"{card['people']:,} people at {card['size']}, {card['complete']}; masks of style "
        f"{card['mask_style']}, version {card['mask_version']}; {result['software']}."
    )


def _figures(result: dict[str, Any]) -> list[str]:
    """A table for each kind of people."""
    parts = []
    for kind in (PAIRED, UNPAIRED):
        heads, rows = methods_table(result, (kind,))
        if rows:
            hint = f"{len(heads)} columns; where they do not fit, scroll to the right."
            parts += [f"<h2>{kind.title()}</h2><p class=hint>{hint}</p>", _table(heads, rows)]
    return parts


def _explained(result: dict[str, Any]) -> list[str]:
    text = (
        "Composite: with the photo's visible pixels put back; own: as the method made it. L1 lies "
        "in [0, 1]. Inside: over the pixels that the mask hides. Higher is better for SSIM, PSNR, "
        "likeness and gradients alike, detail is best at 1, lower is better for all others."
    )
    notes = [text]
    unpaired = [m["pictures"][COMPOSITE][UNPAIRED] for m in result["methods"]]
    if any(unpaired) and "fid, kid" not in result["protocol"]:
        notes.append(
            "Unpaired people have no truth to be compared with. FID and KID compare the sets of "
            "pictures; they are missing because no Inception file was given (--inception)."
        )
    for method in result["methods"]:
        if method["absent"] and not method.get("baseline"):
            notes.append(
                f"{method['name']} has no picture of {method['absent']:,} people, who are left "
                "out of its rows."
            )
    return [f"<p>{_safe(note)}</p>" for note in notes]


def _charts(result: dict[str, Any]) -> list[str]:
    """Bars by category and by pose, a chart for each figure, of the first method's composites."""
    charts, first = [], result["methods"][0]
    for figure, (title, form) in BARS.items():
        bars = [
            (group.replace("_", " "), value)
            for kind in (PAIRED, BY_POSE)
            for group, figures in first["pictures"][COMPOSITE][kind].items()
            if (value := figures.get(figure)) is not None
        ]
        if bars:
            charts.append(f"<div><h3>{_safe(title)}</h3>{_bars(bars, form)}</div>")
    if not charts:
        return []
    heading = f"By category and by pose: {_safe(first['name'])}"
    return [f"<h2>{heading}</h2><div class=charts>", *charts, "</div>"]


def _bars(bars: list[tuple[str, float]], form: str) -> str:
    most = max(max(value for _, value in bars), 1e-9)
    lines = []
    for name, value in bars:
        width = f"{max(0.0, value) / most * 100:.1f}%"
        figure = form.format(value)
        lines.append(
            f"<div class=bar><span>{_safe(name)}</span><i style='width:{width}'></i>"
            f"<b>{figure}</b></div>"
        )
    return "".join(lines)


def _extra(result: dict[str, Any]) -> list[str]:
    """Sensitivity to the mask, and disturbed people, where they were measured."""
    parts = []
    if found := result.get("sensitivity"):
        heads = ["", "people", *found["all"]["styles"], "spread of L1", "spread of SSIM"]
        rows = [
            [group.replace("_", " "), f"{told['count']:,}"]
            + [f"{style['l1']:.4f}" for style in told["styles"].values()]
            + [f"{told['l1_spread']:.1%}", f"{told['ssim_spread']:.1%}"]
            for group, told in found.items()
        ]
        parts.append("<h2>How much the mask's shape matters</h2>")
        parts.append("<p>L1 on the region that every style hides; spread over the styles.</p>")
        parts.append(_table(heads, rows))
    if found := result.get("disturbed"):
        heads = ["", "people", "L1 inside", "SSIM inside", "gradients alike"]
        rows = [
            [f"{name}, {group.replace('_', ' ')}", f"{told['count']:,}"]
            + [f"{told[n]:.4f}" for n in ("l1_inside", "ssim_inside", "gradient_correlation")]
            for name, groups in found.items()
            for group, told in groups.items()
        ]
        parts += ["<h2>The same people, photographed otherwise</h2>", _table(heads, rows)]
    return parts


def _table(heads: list[str], rows: list[list[str]]) -> str:
    body = "".join(_row(row, "td") for row in rows)
    return (
        f"<div class=scroll><table><thead>{_row(heads, 'th')}</thead><tbody>{body}"
        "</tbody></table></div>"
    )


def _row(cells: list[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{_safe(cell)}</{tag}>" for cell in cells) + "</tr>"


def pick(
    evaluation: Evaluation, figure: str = "ssim_inside"
) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """Category -> [("best", row), ("median", row), ("worst", row)] by a figure of ``RANKED``;
    fewer where there are fewer."""
    sign, found = RANKED[figure][1], {}
    for category in Category:
        rows = sorted(
            (
                row
                for row in evaluation.rows
                if row["category"] == category and not math.isnan(row[figure])
            ),
            key=lambda row: -sign * row[figure],
        )
        places = {0: "best", len(rows) - 1: "worst", len(rows) // 2: "median"} if rows else {}
        found[str(category)] = [(places[at], rows[at]) for at in sorted(places)]
    return {name: rows for name, rows in found.items() if rows}


def _people(evaluation: Evaluation) -> list[str]:
    """Best, median and worst of each figure; somebody shown for one is not shown again."""
    parts, shown = [], set()
    for figure, (title, _) in RANKED.items():
        for category, people in pick(evaluation, figure).items():
            cells = []
            for place, row in people:
                if row["row"] in shown:
                    continue
                shown.add(row["row"])
                words = f"{place}: {row['person']}, " + ", ".join(
                    f"{name.split(' ')[0]} {row[n]:.3f}" for n, (name, _) in RANKED.items()
                )
                cells.append(_figure(words, columns_of(evaluation, row)))
            if cells:
                heading = f"{category.replace('_', ' ')}, by {title}"
                parts += [f"<h2>{_safe(heading)}</h2>", *cells]
    return parts


def columns_of(evaluation: Evaluation, row: dict[str, Any]) -> dict[str, np.ndarray]:
    """Heading -> (H, W, 3) uint8 RGB of one row, dressed again: garment, masked, the warped garment
    where the method is a network that tells it, own picture, composite and truth."""
    batch = next(iter(DataLoader(Subset(evaluation.dataset, [row["row"]]))))
    method, people = evaluation.methods[0], people_of(evaluation.dataset, batch)
    drawn = {name: found[0] for name, found in pictures_of(method, batch, people).items()}
    columns = {"garment": people[0].garment, "masked": to_image(batch["agnostic"][0])}
    if isinstance(method, Network) and can_explain(method.predictor):
        columns["warped garment"] = _warped(method, method.inputs(batch, people))
    return columns | drawn | {"truth": people[0].photo}


def _warped(method: Network, inputs: list[torch.Tensor]) -> np.ndarray:
    predictor = method.predictor
    inputs = [values.to(predictor.device) for values in inputs]
    with torch.inference_mode():
        _, flows = predictor.network(*inputs, return_flows=True)
    crisp = predictor.network.config.crisp
    return to_image(layers_of(flows[-1], inputs[1], crisp).warped[0].cpu())


def _figure(words: str, columns: dict[str, np.ndarray]) -> str:
    cells = "".join(
        f"<div><img alt='{_safe(title)}' src='{_inline(picture)}'><span>{_safe(title)}</span></div>"
        for title, picture in columns.items()
    )
    return f"<figure><figcaption>{_safe(words)}</figcaption><div class=row>{cells}</div></figure>"


def _inline(picture: np.ndarray) -> str:
    height, width = picture.shape[:2]
    if height > SHOWN_ROWS:
        size = (round(width * SHOWN_ROWS / height), SHOWN_ROWS)
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])[1]
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def _safe(text: object) -> str:
    return html.escape(str(text), quote=True)
