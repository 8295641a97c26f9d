"""An evaluation as one self-contained HTML page: the table, the settings, the best, median and
worst people."""

from __future__ import annotations

import base64
import html
import json

import cv2
import numpy as np

from model.evaluation.evaluate import RANK_BY, Evaluation, pick, pictures_of
from model.tryon.figures import figure_table

SHOWN_ROWS = 384
STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881 }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: .2rem } h2 { font-size: 1.2rem; margin-top: 2.2rem }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .35rem .7rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap }
th:first-child, td:first-child { text-align: left }
thead th { background: var(--soft); font-weight: 600 }
figure { margin: 1rem 0 1.6rem } figcaption { margin-bottom: .4rem }
.row { display: grid; grid-template-columns: repeat(4, 1fr); gap: .5rem }
.row img { width: 100%; display: block }
.row span { font-size: .85rem; opacity: .75 }
pre { background: var(--soft); padding: 1rem; overflow-x: auto }
"""


def render_page(evaluation: Evaluation) -> str:
    """The page's HTML, pictures included; dresses the shown people once more."""
    result = evaluation.result
    heads, rows = figure_table(result["metrics"])
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport "
        f"content='width=device-width'>"
        f"<title>Evaluation of {_safe(result['weights']['file'])}</title><style>{STYLE}</style>",
        f"<h1>Evaluation of {_safe(result['weights']['file'])}</h1>",
        f"<p>{_safe(_summary(result))}</p>",
        f"<div class=scroll><table><thead>{_row(heads, 'th')}</thead><tbody>",
        *(_row(row, "td") for row in rows),
        "</tbody></table></div>",
        "<p>L1 lies in [0, 1]. Inside: over the pixels that the mask hides; an SSIM window of 11 "
        "pixels looks "
        "across the border. Higher is better for SSIM and PSNR, lower for all others.</p>",
    ]
    for category, people in pick(evaluation).items():
        parts.append(f"<h2>{_safe(category.replace('_', ' '))}, by SSIM inside the mask</h2>")
        parts += [_figure(name, row, pictures_of(evaluation, row)) for name, row in people]
    settings = {key: value for key, value in result.items() if key != "metrics"}
    parts.append(
        f"<h2>How it was "
        f"measured</h2><pre>{_safe(json.dumps(settings, indent=1, ensure_ascii=False))}</pre>"
    )
    return "\n".join(parts)


def _summary(result: dict) -> str:
    settings = result["settings"]
    return (
        f"{settings['size']}, masks of style {settings['mask_style']}, {settings['picture']}; "
        f"{result['software']}."
    )


def _row(cells: list[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{_safe(cell)}</{tag}>" for cell in cells) + "</tr>"


def _figure(name: str, row: dict, pictures: list[np.ndarray]) -> str:
    words = f"SSIM inside {row[RANK_BY]:.3f}, L1 inside {row['l1_inside']:.3f}"
    cells = "".join(
        f"<div><img alt='{title} of {_safe(row['person'])}' "
        f"src='{_inline(picture)}'><span>{title}</span>"
        "</div>"
        for title, picture in zip(("person", "garment", "masked", "result"), pictures)
    )
    return (
        f"<figure><figcaption><b>{name}</b>: {_safe(row['person'])}, {words}</figcaption>"
        f"<div class=row>{cells}</div></figure>"
    )


def _inline(picture: np.ndarray) -> str:
    height, width = picture.shape[:2]
    if height > SHOWN_ROWS:
        picture = cv2.resize(
            picture, (round(width * SHOWN_ROWS / height), SHOWN_ROWS), interpolation=cv2.INTER_AREA
        )
    data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])[1]
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def _safe(text: object) -> str:
    return html.escape(str(text), quote=True)
