"""What a run came to: its best epoch, and where over-fitting began."""

from __future__ import annotations

from model.training.config import TrainConfig, better

MARGIN = 0.01  # a figure counts as worse from 1 % on: below that it is noise


def overfitting_epoch(entries: list[dict], figure: str) -> int | None:
    """The epoch after the best one, if from there on the held-out figure was worse while the
    training loss fell.

    Args:
        entries: log entries with the event "epoch", in order; epoch 0 (before training) is left
            out.
        figure: a validation figure, see ``train_config.FIGURES``.

    Returns:
        None where the best epoch is the last, later ones are within 1 % of it, or training did not
        improve either.
    """
    known = [
        e for e in entries if e["epoch"] > 0 and not e.get("passing") and e.get(figure) is not None
    ]
    if len(known) < 2:
        return None
    best = known[0]
    for entry in known[1:]:
        if better(figure, entry[figure], best[figure]):
            best = entry
    later = [e for e in known if e["epoch"] > best["epoch"]]
    if not later:
        return None
    last = later[-1]
    worse = abs(last[figure] - best[figure]) > MARGIN * abs(best[figure])
    learnt = last.get("train_loss", 0) < best.get("train_loss", 0)
    return int(best["epoch"]) + 1 if worse and learnt else None


def summarise_run(entries: list[dict], config: TrainConfig, stopped: str | None) -> dict:
    """The final summary as plain values; ``text`` is for a person."""
    epochs = [e for e in entries if e["event"] == "epoch"]
    done = [e for e in epochs if e["epoch"] > 0]
    warnings = [e["text"] for e in entries if e["event"] == "warning"]
    summary: dict = {
        "epochs": done[-1]["epoch"] if done else 0,
        "stopped": stopped,
        "figure": config.best,
        "best_epoch": None,
        "best": None,
        "overfitting_from": None,
        "warnings": warnings,
    }
    measured = [e for e in done if e.get(config.best) is not None and not e.get("passing")]
    lines = [f"{summary['epochs']:g} epochs" + (f" (stopped: {stopped})" if stopped else "")]
    if measured:
        best = measured[0]
        for entry in measured[1:]:
            if better(config.best, entry[config.best], best[config.best]):
                best = entry
        began = overfitting_epoch(epochs, config.best)
        summary |= {
            "best_epoch": best["epoch"],
            "best": best[config.best],
            "overfitting_from": began,
        }
        lines.append(
            f"best {config.best} on held-out people {best[config.best]:.4f} after epoch "
            f"{best['epoch']}"
        )
        lines.append(
            f"over-fitting from epoch {began} on: the training loss fell, the held-out figure got "
            f"worse"
            if began
            else "no over-fitting seen"
        )
    elif done:
        lines.append("nothing was held out, so the newest epoch counts as the best")
    lines += [f"{len(warnings)} warnings, see log.jsonl"] if warnings else []
    return summary | {"text": "; ".join(lines) + "."}
