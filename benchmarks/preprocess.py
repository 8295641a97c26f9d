"""What preprocessing costs, beside only decoding its inputs and beside the plain way of doing the
same work.

    python benchmarks/preprocess.py [DATA]

DATA is a dataset in Dress Code's layout, of any number of people; without it a synthetic one is
made. Runs of more people than it has read the same files under other names. CPU time is what to
compare: it hardly depends on neighbours.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path

import click
import cv2
import numpy as np
import psutil
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pipeline.base.manifest import load_manifest  # noqa: E402
from pipeline.dataset.index import PairRecord, index_pairs  # noqa: E402
from pipeline.dataset.readers import read_keypoints  # noqa: E402
from pipeline.masks.render import STYLES, render_agnostic_mask  # noqa: E402
from pipeline.preprocess.run import preprocess  # noqa: E402
from pipeline.shards.folder import ShardFolder  # noqa: E402

SIZE = (512, 384)
FILES = ("image", "garment", "keypoints", "label_map", "dense")


def linked_dataset(source: Path, folder: Path, people: int) -> Path:
    """A dataset of so many people whose files are links to those of ``source``, equally of each
    category it has."""
    facts, by_category = load_manifest(), {}
    for pair in index_pairs(source):
        by_category.setdefault(pair.category, []).append(pair)
    for category, pairs in by_category.items():
        rows = []
        for number, pair in enumerate(islice(cycle(pairs), -(-people // len(by_category)))):
            for kind in FILES:
                path = facts.path(folder, kind, category, f"{number:06d}")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(getattr(pair, kind).resolve())
            rows.append(f"{number:06d}_0.jpg\t{number:06d}_1.jpg\n")
        (folder / category.value / "train_pairs.txt").write_text("".join(rows))
    return folder


def only_decode(pairs: list[PairRecord]) -> None:
    """The floor: every input file decoded, nothing else. Label maps need Pillow: OpenCV loses
    palette indices."""
    for pair in pairs:
        cv2.imread(str(pair.image))
        cv2.imread(str(pair.garment))
        for path in (pair.label_map, pair.dense):
            with Image.open(path) as image:
                np.asarray(image)


def plain_way(pairs: list[PairRecord], out: Path) -> None:
    """What a script does: Pillow, one mask at a time, a PNG for every output."""
    height, width = SIZE
    for pair in pairs:
        folder = out / pair.category / pair.person_id
        folder.mkdir(parents=True)
        for name in ("image", "garment"):
            with Image.open(getattr(pair, name)) as image:
                image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC).save(
                    folder / f"{name}.png"
                )
        maps = {}
        for name in ("label_map", "dense"):
            with Image.open(getattr(pair, name)) as image:
                maps[name] = np.array(image.resize((width, height), Image.Resampling.NEAREST))
            Image.fromarray(maps[name]).save(folder / f"{name}.png")
        keypoints = read_keypoints(pair.keypoints, SIZE)
        (folder / "keypoints.json").write_text(json.dumps(keypoints.tolist()))
        for style in STYLES:
            mask = render_agnostic_mask(
                pair.category, keypoints, maps["dense"], maps["label_map"], style
            )
            Image.fromarray(mask).save(folder / f"mask_{style}.png")


def cpu(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def fresh(out: Path) -> Path:
    shutil.rmtree(out, ignore_errors=True)
    return out


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def compare_cpu(data: Path, out: Path, repeats: int) -> dict:
    """CPU milliseconds and bytes a person: decoding only, shards (JPEG, raw), the plain way; taken
    in turn."""
    pairs = index_pairs(data)
    ways = {
        "only decoding": lambda: only_decode(pairs),
        "shards, jpeg": lambda: preprocess(data, fresh(out / "jpeg"), size_hw=SIZE),
        "shards, raw": lambda: preprocess(data, fresh(out / "raw"), size_hw=SIZE, images="raw"),
        "the plain way": lambda: plain_way(pairs, fresh(out / "plain")),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, work in ways.items():
            times[name].append(cpu(work) / len(pairs) * 1000)
    floor = statistics.median(times["only decoding"])
    sizes = {
        "shards, jpeg": out / "jpeg",
        "shards, raw": out / "raw",
        "the plain way": out / "plain",
    }
    return {
        name: {
            "cpu_ms": round(statistics.median(values), 2),
            "least": round(min(values), 2),
            "most": round(max(values), 2),
            "times_decoding": round(statistics.median(values) / floor, 2),
            "people_per_core_second": round(1000 / statistics.median(values), 1),
            "bytes": folder_bytes(sizes[name]) // len(pairs) if name in sizes else None,
        }
        for name, values in times.items()
    }


def compare_jobs(data: Path, out: Path, people: int, repeats: int) -> dict:
    """Wall seconds with one and two jobs, workers already started."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    preprocess(data, fresh(out / "warm"), limit=2, jobs=2, people_per_shard=1)  # starts the workers
    for _ in range(repeats):
        for jobs, values in seconds.items():
            fresh(out / "jobs")
            start = time.perf_counter()
            preprocess(data, out / "jobs", size_hw=SIZE, jobs=jobs, people_per_shard=20)
            values.append(time.perf_counter() - start)
    one, two = (statistics.median(values) for values in seconds.values())
    return {
        "seconds": {1: round(one, 2), 2: round(two, 2)},
        "two_over_one": round(one / two, 2),
        "people_per_second": {1: round(people / one, 1), 2: round(people / two, 1)},
    }


def peak_memory(data: Path, out: Path, jobs: int = 2) -> dict:
    """Greatest resident memory of the parent and of its largest worker, in MB; 64 people a
    shard."""
    code = f"""import sys; sys.path.insert(0, {str(Path(__file__).resolve().parent.parent)!r})
from pathlib import Path; from pipeline.preprocess.run import preprocess
preprocess(Path({str(data)!r}), Path({str(out)!r}), jobs={jobs}, people_per_shard=64)"""
    command = [sys.executable, "-c", code]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peaks: dict[int, float] = {}
    watcher = threading.Thread(target=watch, args=(running, peaks))
    watcher.start()
    if running.wait():
        raise SystemExit("preprocess failed")
    watcher.join()
    parent = peaks.pop(running.pid)
    return {"parent_mb": round(parent), "worker_mb": round(max(peaks.values()))}


def watch(running: subprocess.Popen, peaks: dict[int, float]) -> None:
    while running.poll() is None:
        for process in family(running.pid):
            status = Path(f"/proc/{process}/status")
            try:
                line = next(
                    line for line in status.read_text().splitlines() if line.startswith("VmHWM")
                )
            except (OSError, StopIteration):
                continue
            peaks[process] = max(peaks.get(process, 0), int(line.split()[1]) / 1024)
        time.sleep(0.05)


def family(parent: int) -> Iterator[int]:
    try:
        yield parent
        yield from (child.pid for child in psutil.Process(parent).children(recursive=True))
    except psutil.Error:
        return


def show(result: dict) -> None:
    click.echo(
        f"{result['machine']}; {result['people']} people of {result['data']}, {SIZE[0]} x "
        f"{SIZE[1]}, all styles"
    )
    head = (
        ("CPU ms a person", 17),
        ("(least-most)", 16),
        ("x decoding", 12),
        ("people/core s", 15),
        ("KB a person", 13),
    )
    click.echo(f"\n{'one job':16}" + "".join(f"{name:>{width}}" for name, width in head))
    for name, row in result["cpu"].items():
        spread = f"({row['least']}-{row['most']})"
        size = f"{row['bytes'] / 1024:.1f}" if row["bytes"] else ""
        click.echo(
            f"{name:16}{row['cpu_ms']:>17}{spread:>16}{row['times_decoding']:>12}"
            f"{row['people_per_core_second']:>15}{size:>13}"
        )
    jobs = result["jobs"]
    click.echo(
        f"\ntwo jobs are {jobs['two_over_one']} times as fast as one: "
        f"{jobs['people_per_second'][1]} and "
        f"{jobs['people_per_second'][2]} people a second"
    )
    for people, row in result["memory"].items():
        click.echo(
            f"peak memory, {people:>5} people, two workers: parent {row['parent_mb']} MB, "
            f"largest worker {row['worker_mb']} MB"
        )


@click.command()
@click.argument("data", type=click.Path(exists=True, path_type=Path), required=False)
@click.option("--people", default=120, show_default=True, help="People in the runs for CPU time.")
@click.option("--repeats", default=7, show_default=True)
@click.option(
    "--memory", default="200,2000", show_default=True, help="People in the runs for memory."
)
@click.option("--json", "json_path", type=click.Path(path_type=Path))
def main(data: Path | None, people: int, repeats: int, memory: str, json_path: Path | None) -> None:
    """Preprocessing against decoding alone and the plain way; jobs; memory."""
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as place:
        base = Path(place)
        if data is None:
            from pipeline.sample import make_sample

            make_sample(data := base / "sample", pairs=16)
        linked = linked_dataset(data, base / "data", people)
        only_decode(index_pairs(linked))  # the files are in memory from here on
        count = len(index_pairs(linked))
        result = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "data": data.name,
            "people": count,
            "cpu": compare_cpu(linked, base, repeats),
            "jobs": compare_jobs(linked, base, count, repeats),
            "memory": {
                n: peak_memory(linked_dataset(data, base / f"data{n}", n), base / f"out{n}")
                for n in map(int, memory.split(","))
            },
        }
        assert len(ShardFolder(base / "jpeg")) == count
    show(result)
    if json_path:
        json_path.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
