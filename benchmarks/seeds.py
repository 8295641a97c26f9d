"""A small whole file for every surface, made from drawn people: what fuzzing begins with."""

from __future__ import annotations

import json
import pickle
import sys
import types
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml

from benchmarks.surfaces import BOUNDARY, HW, SURFACES
from model.network.checkpoint import save_official
from model.network.config import NetworkConfig
from model.network.daflow import DAFlow
from pipeline.base.labels import Category
from pipeline.labelling.export import export_labels
from pipeline.people.open import open_people
from pipeline.preprocess.run import preprocess
from pipeline.sample import make_sample

PERSON = "000000"


def write_seeds(corpus: Path, work: Path) -> None:
    """Puts ``seed`` and an ending into the folder of each surface.

    Args:
        corpus: holds a folder for each surface.
        work: an empty folder for what the seeds are taken from.
    """
    for name, data in _seeds(work).items():
        (corpus / name).mkdir(parents=True, exist_ok=True)
        (corpus / name / f"seed{Path(SURFACES[name].file).suffix}").write_bytes(data)


def _seeds(work: Path) -> dict[str, bytes]:
    upper = (Category.UPPER_BODY,)
    data = work / "data"
    make_sample(data, 1, HW, seed=3, test_pairs=1, categories=upper, flows=True)
    folder = data / "upper_body"
    shards = work / "shards"
    preprocess(data, shards, size_hw=HW, flows=True)
    read = {
        "image": folder / f"images/{PERSON}_0.jpg",
        "keypoints": folder / f"keypoints/{PERSON}_2.json",
        "label_map": folder / f"label_maps/{PERSON}_4.png",
        "dense": folder / f"dense/{PERSON}_5.png",
        "dense_uv": folder / f"dense/{PERSON}_5_uv.npz",
        "flow": folder / f"flows/{PERSON}_flow.png",
        "shard": next(shards.glob("*.h5")),
        "index": shards / "index.json",
        "pairs": folder / "train_pairs.txt",
    }
    seeds = {name: path.read_bytes() for name, path in read.items()}
    seeds["parse"], seeds["dense_picture"] = seeds["label_map"], seeds["dense"]
    large = cv2.resize(cv2.imread(str(read["image"])), (240, 320))
    seeds["photo"] = cv2.imencode(".jpg", large)[1].tobytes()
    people = open_people(data)
    for tool, name, file in (
        ("cvat", "cvat", "annotations.xml"),
        ("label-studio", "label_studio", "tasks.json"),
    ):
        out = work / tool
        export_labels(people, [0], "standard", tool, out)
        seeds[name] = next(out.rglob(file)).read_bytes()
    # As it comes back: what was proposed is an annotation by then.
    seeds["label_studio"] = seeds["label_studio"].replace(b'"predictions"', b'"annotations"')
    joints = json.loads(seeds["keypoints"])["keypoints"]
    scale = HW[0] / 512
    flat = [float(x) for a, b, c, *_ in joints for x in (a * scale, b * scale, c)]
    seeds["pose"] = json.dumps({"people": [{"pose_keypoints_2d": flat}]}).encode()
    seeds["options"] = yaml.safe_dump({"epochs": 10, "batch_size": 4, "lr": 1e-4}).encode()
    about = {"model": "model.onnx", "kind": "label_map", "height": 64, "width": 48}
    seeds["description"] = json.dumps(about | {"mean": [0.5] * 3, "classes": "lip"}).encode()
    seeds["exclude"] = b"upper_body/000000\ndresses/020714  # a note\n"
    seeds["orders"] = b"000000 000002 upper_body 000003 1\n"
    sources = {"label_map": "geometry", "keypoints": "mediapipe"}
    told = {f"upper_body/{PERSON}": {"file": "me.jpg", "sources": sources}}
    seeds["origins"] = json.dumps(told).encode()
    return seeds | _weights(work) | {"dump": _dump(), "upload": _upload(seeds["image"])}


def _weights(work: Path) -> dict[str, bytes]:
    torch.manual_seed(0)
    small = {"channels": (2, 2, 2, 2, 2), "fpn": 2, "flows": 1, "head": (2, 2, 2), "light": (2, 2)}
    network = DAFlow(NetworkConfig(**small, self_kernel=3))
    path = work / "weights.safetensors"
    save_official(network, path)
    whole = {"network": network.state_dict(), "config": {"network": network.config.to_dict()}}
    torch.save(whole, work / "weights.pt")
    state = {"format": "fittingroom", "version": 1, "place": {"epoch": 1}, "network": {}}
    torch.save(state, work / "last.pt")
    return {
        "safetensors": path.read_bytes(),
        "torch": (work / "weights.pt").read_bytes(),
        "run": (work / "last.pt").read_bytes(),
    }


@contextmanager
def _densepose():
    """The class whose name a dump's results bear, while it is written."""
    names = ("densepose", "densepose.structures", "densepose.structures.chart_result")
    modules = {name: types.ModuleType(name) for name in names}
    sys.modules.update(modules)
    kind = type("DensePoseChartResult", (), {"__module__": names[-1]})
    modules[names[-1]].DensePoseChartResult = kind  # type: ignore[attr-defined]
    yield kind
    for name in names:
        sys.modules.pop(name, None)


def _dump() -> bytes:
    with _densepose() as kind:
        result = kind()
        result.labels = torch.ones((20, 10), dtype=torch.uint8)
        result.uv = torch.zeros(2, 20, 10)
        row = {
            "file_name": "/data/me.jpg",
            "scores": torch.tensor([0.9]),
            "pred_boxes_XYXY": torch.tensor([[10.0, 20, 20, 40]]),
            "pred_densepose": [result],
        }
        return pickle.dumps([row])


def _upload(photo: bytes) -> bytes:
    parts = []
    for name, value in (("category", b"upper_body"), ("style", b"standard")):
        head = f'Content-Disposition: form-data; name="{name}"'
        parts.append(head.encode() + b"\r\n\r\n" + value)
    small = cv2.imencode(".jpg", np.full((64, 48, 3), 200, np.uint8))[1].tobytes()
    head = 'Content-Disposition: form-data; name="person"; filename="me.jpg"\r\n'
    parts.append(head.encode() + b"Content-Type: image/jpeg\r\n\r\n" + small)
    edge = f"--{BOUNDARY}\r\n".encode()
    return b"".join(edge + part + b"\r\n" for part in parts) + f"--{BOUNDARY}--\r\n".encode()
