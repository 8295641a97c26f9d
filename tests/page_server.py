"""The page on a free port of this machine, for tests."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import uvicorn
from tiny import tiny_network

from model.network.daflow import DAFlow
from model.page.app import build_app
from model.page.connections import PatientProtocol
from model.page.studio import Studio
from model.tryon.predictor import TryOn


def tiny_predictor() -> TryOn:
    """An untrained network of a few thousand weights."""
    torch.manual_seed(0)
    return TryOn(DAFlow(tiny_network()).eval())


def tiny_studio(data: Path | None, find_pose=None, **options) -> Studio:
    return Studio(tiny_predictor(), data, find_pose=find_pose, network_hw=(128, 96), **options)


@contextlib.contextmanager
def serving(studio: Studio, **options) -> Iterator[str]:
    """The address of a server that runs in a thread."""
    app = build_app(studio, **options)
    server = uvicorn.Server(
        uvicorn.Config(app, http=PatientProtocol, log_level="warning", timeout_graceful_shutdown=2)
    )
    with socket.create_server(("127.0.0.1", 0), backlog=256) as place:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
        thread.start()
        end = time.monotonic() + 20
        while not server.started and time.monotonic() < end:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{place.getsockname()[1]}"
        server.should_exit = True
        thread.join(20)
