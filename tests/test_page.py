"""The page's API: what it gives, what it refuses, and that nobody is lost when many come at
once."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import cv2
import httpx
import numpy as np
import psutil
import pytest
from fastapi.testclient import TestClient
from page_server import serving, tiny_predictor, tiny_studio
from PIL import Image

from model.page.app import build_app
from model.page.arrivals import Arrivals, Refused
from model.page.queue import DeviceQueue, QueueFull
from model.page.studio import Selection, Studio
from model.tryon.predictor import TryOn
from pipeline.annotate.keypoints import Pose, pose_of
from pipeline.base.labels import Category
from pipeline.masks.person import person_masks
from pipeline.people.in_dataset import DatasetPeople

DATA = Path(__file__).parent / "data"
PERSON, GARMENT = "upper_body/048392", "upper_body/048393"
ORDER = {"category": "upper_body", "person_id": PERSON, "garment_id": GARMENT}


def find_pose(photo: np.ndarray) -> Pose:
    """MediaPipe's recorded answer; nobody in a black picture, two people in a white one."""
    answer = json.loads((DATA / "mediapipe_answer.json").read_text())
    mask = cv2.imdecode(np.frombuffer(base64.b64decode(answer["silhouette_png"]), np.uint8), 0)
    if photo.mean() < 1:
        return pose_of([], [], photo.shape[:2])
    rows = np.array(answer["landmarks"])
    people = [rows, rows + (150, 0, 0)] if photo.mean() > 254 else [rows]
    return pose_of(people, [mask, np.roll(mask, 150, 1)][: len(people)], photo.shape[:2])


@pytest.fixture(scope="module")
def studio(sample_dataset) -> Studio:
    return tiny_studio(sample_dataset, find_pose)


@pytest.fixture(scope="module")
def page(studio):
    with TestClient(build_app(studio)) as client:
        yield client


@pytest.fixture(scope="module")
def photo() -> bytes:
    return (DATA / "photo.jpg").read_bytes()


def decoded(uri: str) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))).convert("RGB"))


def picture(height=400, width=300, value=128, kind="PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), value, np.uint8)).save(stream, kind)
    return stream.getvalue()


def refused(answer: httpx.Response, status: int, kind: str) -> str:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["kind"] == kind, error
    return f"{error['message']} {error['remedy']}"


# What it gives


def test_page_and_its_files_ask_nothing_of_other_sites(page):
    for place in (
        "/",
        "/api/docs",
        "/static/app.js",
        "/static/api.js",
        "/static/style.css",
        "/static/icon.svg",
    ):
        answer = page.get(place)
        assert answer.status_code == 200, place
        text = answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text and "https://" not in text and "//cdn" not in text
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_openapi_describes_every_address(page):
    paths = page.get("/api/openapi.json").json()["paths"]
    assert set(paths) == {
        "/api",
        "/api/status",
        "/api/gallery/{kind}",
        "/api/picture/{kind}/{category}/{identity}",
        "/api/preview",
        "/api/dress",
    }


@pytest.mark.parametrize("category", list(Category))
def test_gallery_shows_the_test_people(page, sample_dataset, category):
    answer = page.get("/api/gallery/person", params={"category": str(category)}).json()
    assert answer["total"] == 2 == len(answer["ids"])
    data = page.get(f"/api/picture/person/{answer['ids'][0]}").content
    assert Image.open(io.BytesIO(data)).size == (192, 256)
    assert (
        page.get("/api/gallery/garment", params={"category": str(category), "offset": 1}).json()[
            "total"
        ]
        == 2
    )


def test_preview_shows_what_is_hidden(page, sample_dataset):
    answer = page.post("/api/preview", data={"category": "upper_body", "person_id": PERSON}).json()
    agnostic, person = (
        decoded(answer["agnostic"]).astype(int),
        decoded(answer["person"]).astype(int),
    )
    shown = DatasetPeople(sample_dataset).person(PERSON)
    mask = person_masks(shown)["standard"]
    assert answer["hidden"] == pytest.approx(mask.mean(), abs=1e-3)
    inner = cv2.erode(mask.astype(np.uint8), np.ones((9, 9))) > 0
    outer = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9))) == 0
    assert inner.any() and agnostic[inner].max() < 30
    assert np.abs(agnostic - person)[outer].mean() < 4


def test_styles_hide_more_or_less(page):
    hidden = {
        style: page.post(
            "/api/preview", data={"category": "dresses", "person_id": PERSON, "style": style}
        ).json()["hidden"]
        for style in ("tight", "loose")
    }
    assert hidden["tight"] < hidden["loose"]


def test_result_keeps_every_visible_pixel(page, sample_dataset):
    answer = page.post("/api/dress", data=ORDER).json()
    after = decoded(answer["after"])
    shown = DatasetPeople(sample_dataset).person(PERSON)
    mask = person_masks(shown)["standard"]
    assert answer["size"] == list(shown.photo.shape[:2])
    np.testing.assert_array_equal(after[~mask], shown.photo[~mask])
    assert np.abs(after[mask].astype(int) - shown.photo[mask]).mean() > 5


def test_a_result_comes_with_the_layers_behind_it_and_the_page_tells_its_weights(page):
    answer = page.post("/api/dress", data=ORDER).json()
    layers = {name: decoded(picture) for name, picture in answer["layers"].items()}
    assert set(layers) == {"warped", "weight", "flow"}
    assert all(picture.shape == (128, 96, 3) for picture in layers.values())
    assert np.ptp(layers["warped"]) > 50
    assert "does not say what they were trained on" in page.get("/api").json()["story"]


def test_whoever_uploads_is_told_that_weights_of_the_program_have_seen_drawn_people(studio, photo):
    facts = {"file": "drawn.safetensors", "own": True, "config": {"data": {"pairs": 4121}}}
    predictor = TryOn(studio.predictor.network, facts=facts)
    assert "4,121 pairs of drawn people alone" in predictor.story
    told = Studio(predictor, None, find_pose=find_pose, network_hw=(128, 96))
    selection = Selection(Category.UPPER_BODY, person=photo, garment=picture())
    assert any("drawn people alone" in note for note in told.dress(selection)["notes"])


def test_own_photo_and_garment_are_dressed_and_limits_told(page, photo):
    answer = page.post(
        "/api/dress",
        data={"category": "upper_body"},
        files={
            "person": ("me.jpg", photo, "image/jpeg"),
            "garment": ("shirt.png", picture(value=(200, 30, 30)), "image/png"),
        },
    )
    assert answer.status_code == 200, answer.text
    content = answer.json()
    assert content["size"] == [1024, 768] and "guessed" in content["notes"][0]
    assert answer.headers["cache-control"] == "no-store"
    assert decoded(content["garment"])[60, 48].tolist() == pytest.approx([200, 30, 30], abs=6)


def test_stream_tells_how_far_it_is(page):
    answer = page.post("/api/dress", data=ORDER, headers={"Accept": "application/x-ndjson"})
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines[-1]["state"] == "done" and decoded(lines[-1]["result"]["after"]).shape[2] == 3
    assert {line["state"] for line in lines} <= {"waiting", "working", "done"}


def test_page_without_mediapipe_says_so_and_dresses_the_gallery(sample_dataset, photo):
    with TestClient(build_app(tiny_studio(sample_dataset))) as client:
        assert client.get("/api").json()["uploads"]["people"] is False
        answer = client.post(
            "/api/preview", data={"category": "upper_body"}, files={"person": ("a.jpg", photo)}
        )
        assert "setup_photo.sh" in refused(answer, 422, "no_annotator")
        assert client.post("/api/dress", data=ORDER).status_code == 200


# What it refuses


@pytest.mark.parametrize(
    "data, kind, words",
    [
        (picture(value=0), "no_person", "Nobody was found"),
        (picture(512, 384, 255), "two_people", "Crop"),
        (picture(100, 100), "size", "too small"),
        (picture(200, 900), "size", "too long"),
        (b"GIF89a" + bytes(200), "unusable", "neither JPEG nor PNG"),
        (b"", "unusable", "neither"),
        (b"\xff\xd8\xff" + bytes(200), "unreadable", "Not a readable"),
        (picture()[:200], "unreadable", "damaged"),
    ],
)
def test_unusable_photo_is_told_in_words(page, data, kind, words):
    answer = page.post(
        "/api/preview", data={"category": "upper_body"}, files={"person": ("x.jpg", data)}
    )
    text = refused(answer, 422, kind)
    assert words in text and "/" not in text.replace("scripts/", "")


def test_failure_in_a_stream_is_told_in_words(page):
    answer = page.post(
        "/api/dress",
        data={"category": "upper_body", "garment_id": GARMENT},
        files={"person": ("x.png", picture(value=0))},
        headers={"Accept": "application/x-ndjson"},
    )
    last = json.loads(answer.text.splitlines()[-1])
    assert last["state"] == "failed" and last["error"]["kind"] == "no_person"


def test_too_many_pixels_are_refused_before_decoding(sample_dataset, monkeypatch):
    data = picture(1000, 1000)
    with TestClient(
        build_app(tiny_studio(sample_dataset, find_pose, most_pixels=500_000))
    ) as client:
        monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
        answer = client.post(
            "/api/preview", data={"category": "upper_body"}, files={"person": ("x.png", data)}
        )
        assert "0.5 million" in refused(answer, 422, "size")


def test_too_many_bytes_are_refused_however_they_are_announced(studio):
    with TestClient(build_app(studio, most_bytes=100_000)) as client:
        send = lambda size: client.post(
            "/api/preview",
            data={"category": "upper_body"},
            files={"person": ("x.jpg", bytes(size))},
        )
        assert "0.1 MB" in refused(send(150_000), 422, "unusable").replace("0.0953674", "0.1")
        refused(send(3_000_000), 413, "too_large")

        unannounced = (bytes(10_000) for _ in range(300))
        answer = client.post(
            "/api/preview",
            content=unannounced,
            headers={"Content-Type": "multipart/form-data; boundary=b"},
        )
        refused(answer, 413, "too_large")
        assert client.post("/api/dress", data=ORDER).status_code == 200


@pytest.mark.parametrize(
    "identity",
    [
        "../../etc/passwd",
        "upper_body/../../x",
        "/etc/passwd",
        "upper_body/999999",
        "upper_body/048392\0",
        "upper_body/048392_0.jpg",
        "dresses/048392",
        ".",
    ],
)
def test_only_ids_of_the_gallery_lead_to_pictures(page, identity, monkeypatch):
    opened = []
    monkeypatch.setattr(Path, "read_bytes", lambda self: opened.append(self) or b"")
    monkeypatch.setattr(Path, "stat", lambda self, **_: opened.append(self))
    for form in (
        {"person_id": identity, "garment_id": GARMENT},
        {"person_id": PERSON, "garment_id": identity},
    ):
        refused(page.post("/api/dress", data={"category": "upper_body", **form}), 404, "unknown_id")
    written = quote(identity, safe="")
    assert page.get(f"/api/picture/person/{written}").status_code in (404, 422)
    assert page.get(f"/api/picture/person/upper_body/{written}").status_code in (404, 422)
    assert page.get(f"/static/{written}").status_code == 404
    assert opened == []


@pytest.mark.parametrize(
    "change, status",
    [
        ({"category": "hats"}, 422),
        ({"style": "none"}, 422),
        ({"person_id": ""}, 422),
        ({"person_id": None}, 422),
    ],
)
def test_incomplete_orders_are_refused(page, change, status):
    form = {k: v for k, v in (ORDER | change).items() if v is not None}
    answer = page.post("/api/dress", data=form)
    assert answer.status_code == status and answer.json()["error"]["message"]


def test_other_sites_cannot_use_the_page(page):
    for headers in (
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "null"},
    ):
        refused(page.post("/api/dress", data=ORDER, headers=headers), 403, "other_site")
    assert (
        page.post("/api/dress", data=ORDER, headers={"Origin": "http://testserver"}).status_code
        == 200
    )


def test_only_names_of_this_machine_are_answered(studio):
    with TestClient(build_app(studio, hosts=("127.0.0.1", "localhost"))) as client:
        refused(client.get("/api", headers={"Host": "evil.example"}), 400, "host")
        assert client.get("/api", headers={"Host": "localhost:8000"}).status_code == 200


@pytest.mark.parametrize("header", [{"host": "["}, {"host": "[::1"}, {"origin": "http://["}])
def test_headers_that_are_no_address_are_refused_and_told(page, header):
    answer = page.post("/api/dress", data=ORDER, headers=header)
    assert answer.status_code == (400 if "host" in header else 403)
    assert answer.json()["error"]["message"]
    assert answer.headers["x-frame-options"] == "DENY"


def test_pages_leave_the_form_parser_of_the_process_as_it_is(page):
    from starlette.formparsers import MultiPartParser

    assert "model" not in MultiPartParser.__module__
    assert MultiPartParser.spool_max_size == 1024 * 1024


def test_thumbnails_of_people_read_the_photo_alone_and_small(sample_dataset, monkeypatch):
    studio = tiny_studio(sample_dataset)
    shown = cv2.imdecode(np.frombuffer(studio.thumbnail("person", PERSON), np.uint8), 1)
    photo = studio.source.person(PERSON).photo
    expected = cv2.resize(photo, (192, 256), interpolation=cv2.INTER_AREA)[..., ::-1]
    assert np.abs(shown.astype(int) - expected).mean() < 4
    for reader in ("read_keypoints", "read_label_map", "read_dense"):
        monkeypatch.setattr(f"pipeline.dataset.person.{reader}", lambda *_: pytest.fail("read"))
    studio.thumbnail.cache_clear()
    assert studio.thumbnail("person", PERSON)


def test_uploads_never_reach_the_disc(page, photo, monkeypatch):
    monkeypatch.setattr(
        tempfile.SpooledTemporaryFile, "rollover", lambda self: pytest.fail("written to a file")
    )
    large = photo + bytes(3_000_000)  # larger than what forms usually keep in memory
    answer = page.post(
        "/api/preview", data={"category": "upper_body"}, files={"person": ("a.jpg", large)}
    )
    assert answer.status_code == 200


# When many come


def test_queue_works_in_order_and_refuses_when_full():
    queue, gate, order = DeviceQueue(3), threading.Event(), []
    jobs = [queue.submit(lambda i=i: (gate.wait(5), order.append(i))) for i in range(3)]
    with pytest.raises(QueueFull) as full:
        queue.submit(lambda: None)
    assert full.value.retry_after >= 1
    assert [job.ahead for job in jobs] == [0, 1, 2]
    assert jobs[1].cancel() and queue.length == 2
    last = queue.submit(lambda: order.append(9))
    gate.set()
    last.future.result(5)
    assert order == [0, 2, 9]
    queue.close()


def test_queue_survives_work_that_fails():
    queue = DeviceQueue(2)
    with pytest.raises(ZeroDivisionError):
        queue.submit(lambda: 1 // 0).future.result(5)
    assert queue.submit(lambda: 7).future.result(5) == 7
    queue.close()
    with pytest.raises(QueueFull):
        queue.submit(lambda: 8)


def test_full_room_answers_503_with_a_hint(studio):
    gate = threading.Event()
    app = build_app(studio, capacity=1)
    with TestClient(app) as client:
        held = app.state.dressing.submit(lambda: gate.wait(10))
        answer = client.post("/api/dress", data=ORDER)
        assert "seconds" in refused(answer, 503, "busy")
        assert int(answer.headers["retry-after"]) >= 1
        assert (
            client.post(
                "/api/preview", data={"category": "upper_body", "person_id": PERSON}
            ).status_code
            == 200
        )
        gate.set()
        held.future.result(5)
        assert client.post("/api/dress", data=ORDER).status_code == 200


def test_caller_who_left_gives_up_the_place(studio):
    gate = threading.Event()
    with serving(studio, capacity=2) as address:
        app_busy = threading.Thread(
            target=lambda: httpx.post(f"{address}/api/dress", data=ORDER, timeout=30)
        )
        original, studio.dress = studio.dress, lambda order: gate.wait(20) and original(order)
        try:
            app_busy.start()
            _until(lambda: httpx.get(f"{address}/api/status").json()["waiting"] == 1)
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(
                    f"{address}/api/dress",
                    data=ORDER,
                    timeout=0.3,
                    headers={"Accept": "application/x-ndjson"},
                )
            _until(lambda: httpx.get(f"{address}/api/status").json()["waiting"] == 1)
        finally:
            gate.set()
            app_busy.join(20)
            studio.dress = original


def _until(condition, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


def test_ten_times_as_many_as_there_is_room_for_lose_nothing(studio):
    """40 callers for 4 places, each coming back when refused: everybody gets the picture asked for,
    memory is flat."""
    people, garments = (
        studio.gallery("person", Category.UPPER_BODY),
        studio.gallery("garment", Category.UPPER_BODY),
    )
    expected = {
        (p, g): studio.dress(Selection(Category.UPPER_BODY, person_id=p, garment_id=g))["after"]
        for p in people
        for g in garments
    }
    refusals = []

    def call(client: httpx.Client, number: int) -> bool:
        pair = people[number % 2], garments[number // 2 % 2]
        form = {"category": "upper_body", "person_id": pair[0], "garment_id": pair[1]}
        while True:
            answer = client.post("/api/dress", data=form, timeout=60)
            if answer.status_code == 503:
                refusals.append(number)
                time.sleep(0.05 + 0.1 * (number % 7))
                continue
            return answer.status_code == 200 and answer.json()["after"] == expected[pair]

    def wave(client) -> list[bool]:
        with ThreadPoolExecutor(40) as pool:
            return list(pool.map(lambda number: call(client, number), range(40)))

    process = psutil.Process()
    with (
        serving(studio, capacity=4) as address,
        httpx.Client(base_url=address, limits=httpx.Limits(max_connections=50)) as client,
    ):
        assert all(wave(client))
        gc.collect()
        before = process.memory_info().rss
        for _ in range(2):
            assert all(wave(client))
        gc.collect()
        grown = process.memory_info().rss - before
        status = client.get("/api/status").json()
    assert status["waiting"] == 0 and status["done"] == 120
    assert refusals, "the room was never full: the test shows nothing"
    assert grown < 24 << 20, f"{grown / (1 << 20):.0f} MB more after 80 pictures"


# The command


def test_command_serves_on_this_machine_alone_and_ends_on_a_signal(sample_dataset, tmp_path):
    import torch

    predictor = tiny_predictor()
    torch.save(
        {
            "network": predictor.network.state_dict(),
            "config": {"network": predictor.network.config.to_dict()},
        },
        tmp_path / "net.pt",
    )
    words = [
        sys.executable,
        "cli.py",
        "serve",
        str(tmp_path / "net.pt"),
        "--data",
        str(sample_dataset),
        "--port",
        "0",
        "--size",
        "128x96",
    ]
    with subprocess.Popen(
        words,
        cwd=DATA.parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as process:
        try:
            address = process.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:")
            _until(lambda: _answers(address), 30)
            facts = httpx.get(f"{address}api").json()
            assert facts["size"] == [128, 96] and len(facts["weights"]["sha256"]) == 64
            [place] = {
                c.laddr.ip
                for c in psutil.Process(process.pid).net_connections()
                if c.status == "LISTEN"
            }
            assert place == "127.0.0.1"
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=20)[1]
        finally:
            process.kill()
    assert "6 people in the gallery" in said and "Traceback" not in said


def _answers(address: str) -> bool:
    try:
        return httpx.get(address).status_code == 200
    except httpx.TransportError:
        return False


def test_command_tells_what_is_wrong_with_its_input(tmp_path):
    from click.testing import CliRunner

    from cli import main

    result = CliRunner().invoke(main, ["serve", str(tmp_path / "none.pt")])
    assert result.exit_code == 1 and "none.pt: no such file" in result.output


def page_address(address):
    host, port = address.removeprefix("http://").split(":")
    return host, int(port)


def slow_post(address):
    """A connection that has said it sends a picture, and sends a byte of it."""
    place = socket.create_connection(page_address(address), timeout=10)
    place.sendall(
        b"POST /api/preview HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\n\r\n-"
    )
    return place


def slow_head(address):
    place = socket.create_connection(page_address(address), timeout=10)
    place.sendall(b"GET / HTTP/1.1\r\nHost: ")
    return place


@pytest.mark.parametrize("slow", [slow_post, slow_head])
def test_callers_are_answered_beside_many_slow_ones(studio, slow, monkeypatch):
    monkeypatch.setattr("model.page.connections.MOST_WAITING", 20)
    with serving(studio) as address, contextlib.ExitStack() as held:
        for _ in range(60):
            held.enter_context(slow(address))
        time.sleep(1.2)  # none of them is taken for a newcomer any more
        form = {"category": "upper_body", "person_id": PERSON}
        assert httpx.get(f"{address}/api/status", timeout=10).status_code == 200
        assert httpx.post(f"{address}/api/preview", data=form, timeout=20).status_code == 200


def test_whoever_sends_no_whole_head_is_hung_up_on(studio, monkeypatch):
    monkeypatch.setattr("model.page.connections.HEAD_SECONDS", 0.3)
    with serving(studio) as address, slow_head(address) as place, pytest.raises(OSError):
        if not place.recv(1):
            raise ConnectionResetError


def test_a_body_that_trickles_is_told_that_it_is_late(studio, monkeypatch):
    monkeypatch.setattr("model.page.arrivals.GRACE_S", 0.3)
    with serving(studio) as address, slow_post(address) as place:
        assert b"408" in place.recv(4096)


def test_the_bytes_held_at_once_are_bounded():
    async def send(arrivals, sizes):
        async def receive():
            return {"body": bytes(sizes.pop()), "more_body": bool(sizes)}

        arrival = await arrivals.begin(receive)
        while not arrival.complete:
            await arrival.receive()
        return arrival

    async def scene():
        arrivals = Arrivals(4, budget=1000)
        first = await send(arrivals, [300, 300])
        with pytest.raises(Refused, match="memory"):
            await send(arrivals, [500])
        first.end()
        await send(arrivals, [300])

    asyncio.run(scene())


def test_opened_to_others_the_page_is_served_under_addresses_and_allowed_names_alone(studio):
    options = {"hosts": ("localhost", "lab.example"), "addresses": True}
    with TestClient(build_app(studio, **options)) as client:
        answers = {
            host: client.get("/api/status", headers={"host": host}).status_code
            for host in ("10.0.0.7:8000", "[::1]:8000", "lab.example", "evil.example", "")
        }
    assert answers == {
        "10.0.0.7:8000": 200,
        "[::1]:8000": 200,
        "lab.example": 200,
        "evil.example": 400,
        "": 400,
    }


def test_a_page_with_a_token_lets_in_whoever_shows_it(studio):
    app = build_app(studio, token="a-secret")
    with TestClient(app, follow_redirects=False) as client:
        for place in ("/", "/api/status", "/?token=other"):
            assert client.get(place).status_code == 401
        assert client.post("/api/preview", data={"category": "dresses"}).status_code == 401
        shown = {"Authorization": "Bearer a-secret"}
        assert client.get("/api/status", headers=shown).status_code == 200
        assert client.get("/?token=a-secret").headers["location"] == "/"
        assert client.get("/api/status").status_code == 200  # by the cookie
