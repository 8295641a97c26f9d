"""Public weights: fetched once, checked, or asked for in clear words."""

from __future__ import annotations

import dataclasses
import fcntl
import functools
import hashlib
import http.server
import io
import re
import threading
import zipfile

import pytest
import torch

from model.loss import weights_cache
from model.loss.losses import PerceptualNetworks
from model.loss.perceptual import load_lpips, load_perceptual
from model.loss.vgg import WIDTHS
from pipeline.base import download
from pipeline.base.errors import DataError


def linear_layers() -> dict[str, torch.Tensor]:
    return {f"lin{i}.model.1.weight": torch.rand(1, width, 1, 1) for i, width in enumerate(WIDTHS)}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder with the three files as their publishers lay them out, VGG with unused layers."""
    folder = tmp_path_factory.mktemp("published")
    networks = PerceptualNetworks()
    torch.save(
        networks.vgg19.state_dict() | {"features.34.weight": torch.zeros(2)}, folder / "vgg19.pth"
    )
    torch.save(
        networks.lpips.vgg.state_dict() | {"classifier.0.weight": torch.zeros(2)},
        folder / "vgg16.pth",
    )
    torch.save(linear_layers(), folder / "vgg.pth")
    return folder


@pytest.fixture
def server(published, monkeypatch, tmp_path):
    """The same files over HTTP on this machine, the sources pointing there; yields the list of
    requested paths."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

        def do_GET(self):
            found = self.headers.get("Range")
            if not found:
                return super().do_GET()
            start, data = int(found[6:-1]), (published / self.path[1:]).read_bytes()
            if start >= len(data):
                return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            self.wfile.write(data[start:])

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_):
            """A client that hangs up in the middle is what some tests are about."""

    serve = functools.partial(Handler, directory=published)
    with Server(("127.0.0.1", 0), serve) as http_server:
        threading.Thread(target=http_server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{http_server.server_port}"
        for name, file in (("vgg19", "vgg19.pth"), ("vgg16", "vgg16.pth"), ("lpips", "vgg.pth")):
            digest = hashlib.sha256((published / file).read_bytes()).hexdigest()
            monkeypatch.setitem(
                weights_cache.SOURCES,
                name,
                dataclasses.replace(
                    weights_cache.SOURCES[name], url=f"{address}/{file}", sha256=digest[:8]
                ),
            )
        monkeypatch.setenv("FITTINGROOM_CACHE", str(tmp_path / "cache"))
        yield asked
        http_server.shutdown()


def test_weights_are_downloaded_once_and_then_taken_from_the_cache(
    server, published, tmp_path, capsys
):
    first = load_perceptual()
    assert sorted(server) == ["/vgg.pth", "/vgg16.pth", "/vgg19.pth"]
    assert "Downloading vgg19.pth" in capsys.readouterr().err
    second = load_perceptual()
    assert len(server) == 3
    stored = torch.load(published / "vgg19.pth", weights_only=True)
    for networks in (first, second):
        assert torch.equal(networks.vgg19.features["28"].weight, stored["features.28.weight"])
    assert sorted(p.name for p in (tmp_path / "cache").iterdir()) == [
        "lpips-v0.1-vgg.pth",
        "vgg16.pth",
        "vgg19.pth",
    ]


def test_a_download_with_another_checksum_is_refused_and_leaves_nothing(
    server, monkeypatch, tmp_path
):
    monkeypatch.setitem(
        weights_cache.SOURCES,
        "lpips",
        dataclasses.replace(weights_cache.SOURCES["lpips"], sha256="00000000"),
    )
    with pytest.raises(DataError, match="SHA-256"):
        weights_cache.cached("lpips")
    assert list((tmp_path / "cache").iterdir()) == []


def part_of(tmp_path, name="lpips-v0.1-vgg.pth"):
    (tmp_path / "cache").mkdir(exist_ok=True)
    return tmp_path / "cache" / f".{name}.part"


@pytest.mark.parametrize("there", [1, 1000, -1, 10**6])
def test_an_interrupted_download_goes_on_where_it_was(server, published, tmp_path, there):
    data = (published / "vgg.pth").read_bytes()
    part_of(tmp_path).write_bytes(data[:there] if there < len(data) else data + b"more")
    path = weights_cache.cached("lpips")
    assert path.read_bytes() == data
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_beginning_of_another_file_is_not_gone_on_with_twice(server, published, tmp_path):
    data = (published / "vgg.pth").read_bytes()
    part_of(tmp_path).write_bytes(bytes(100))
    with pytest.raises(DataError, match="SHA-256"):
        weights_cache.cached("lpips")
    assert weights_cache.cached("lpips").read_bytes() == data


def test_a_server_that_sends_much_more_than_the_file_is_refused(server, monkeypatch, tmp_path):
    small = dataclasses.replace(weights_cache.SOURCES["vgg16"], size=1000)
    monkeypatch.setitem(weights_cache.SOURCES, "vgg16", small)
    monkeypatch.setattr(download, "SLACK", 1000)
    with pytest.raises(DataError, match="bytes, expected about 1,000 bytes"):
        weights_cache.cached("vgg16")
    assert list((tmp_path / "cache").iterdir()) == []


def test_two_processes_do_not_write_one_download(server, tmp_path):
    with open(part_of(tmp_path), "wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="another process is downloading it"):
            weights_cache.cached("lpips")


def test_a_connection_that_ends_early_keeps_what_arrived(server, published, monkeypatch, tmp_path):
    data = (published / "vgg.pth").read_bytes()

    class Cut(io.BytesIO):
        status, headers = 200, {"Content-Length": str(len(data))}

    monkeypatch.setattr(download.urllib.request, "urlopen", lambda *_, **__: Cut(data[:500]))
    with pytest.raises(DataError, match="the same command goes on there"):
        weights_cache.cached("lpips")
    assert part_of(tmp_path).read_bytes() == data[:500]


def test_without_network_and_files_the_message_says_what_to_fetch(monkeypatch, tmp_path):
    monkeypatch.setenv("FITTINGROOM_CACHE", str(tmp_path))
    for name in weights_cache.SOURCES:
        monkeypatch.setitem(
            weights_cache.SOURCES,
            name,
            dataclasses.replace(weights_cache.SOURCES[name], url=f"http://127.0.0.1:9/{name}.pth"),
        )
    with pytest.raises(DataError) as told:
        load_perceptual()
    assert list(tmp_path.iterdir()) == []
    for part in (
        "--vgg19",
        "--vgg16",
        "--lpips",
        "127.0.0.1:9/vgg19.pth",
        "--perceptual none",
        str(tmp_path),
    ):
        assert part in str(told.value)


def test_the_users_own_files_are_taken_without_any_download(published, tmp_path, monkeypatch):
    monkeypatch.setenv("FITTINGROOM_CACHE", str(tmp_path / "nothing"))
    wheel = tmp_path / "lpips-0.1.4-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(published / "vgg.pth", weights_cache.LPIPS_MEMBERS["lpips"])
    for linear in (published / "vgg.pth", wheel):
        network = load_lpips(published / "vgg16.pth", linear)
        stored = torch.load(published / "vgg.pth", weights_only=True)
        assert torch.equal(network.linear3, stored["lin3.model.1.weight"])
    assert not (tmp_path / "nothing").exists()


def test_files_that_hold_something_else_are_refused_by_name(published, tmp_path):
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"not weights at all")
    for vgg16, linear, told in (
        (broken, published / "vgg.pth", "broken.pth: holds no weights"),
        (published / "vgg.pth", published / "vgg.pth", "no entry features.0.weight"),
        (published / "vgg16.pth", published / "vgg16.pth", "no entry lin0"),
        (tmp_path / "none.pth", published / "vgg.pth", "no such file"),
    ):
        with pytest.raises(DataError, match=told):
            load_lpips(vgg16, linear)


def test_addresses_are_the_publishers_and_carry_their_checksums():
    for name, source in weights_cache.SOURCES.items():
        assert re.fullmatch("[0-9a-f]{64}", source.sha256), name
        assert source.sha256[:8] in source.url or "PerceptualSimilarity" in source.url, name
    assert "download.pytorch.org" in weights_cache.SOURCES["vgg19"].url
