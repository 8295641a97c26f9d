"""Joints and silhouettes of new photos by MediaPipe, in this process or in an environment of its
own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from pipeline.base.errors import DataError
from pipeline.base.labels import N_JOINTS, Joint

WORKER = Path(__file__).with_name("mediapipe_worker.py")
LONGEST_SIDE = 1280
"""Larger photos are shrunk for the detector, which looks at some 256 pixels anyway."""
LONGEST_WAIT = 60.0
"""Seconds after which the other process is given up; a photo takes a twentieth of one."""
LEAST_VISIBILITY = 0.3
"""Below it MediaPipe's point is a guess about something covered or outside of the picture."""
SETUP = (
    "Run scripts/setup_photo.sh once, "
    "or name a Python that has mediapipe==0.10.21 with --mediapipe-python"
)

LANDMARKS = {
    Joint.NOSE: 0,
    Joint.R_SHOULDER: 12,
    Joint.R_ELBOW: 14,
    Joint.R_WRIST: 16,
    Joint.L_SHOULDER: 11,
    Joint.L_ELBOW: 13,
    Joint.L_WRIST: 15,
    Joint.R_HIP: 24,
    Joint.R_KNEE: 26,
    Joint.R_ANKLE: 28,
    Joint.L_HIP: 23,
    Joint.L_KNEE: 25,
    Joint.L_ANKLE: 27,
    Joint.R_EYE: 5,
    Joint.L_EYE: 2,
    Joint.R_EAR: 8,
    Joint.L_EAR: 7,
}
"""Joint -> MediaPipe's landmark (Bazarevsky et al., 2020); the neck is the middle of the
shoulders."""


@dataclass(frozen=True)
class Pose:
    """What was found in one photo.

    Attributes:
        keypoints: (18, 3) float32, x and y in pixels of the photo, score; NaN, NaN, 0 where
            missing.
        silhouette: (H, W) uint8, 255 where the person is; None where the source tells none.
        people: how many people were seen; the most prominent one is described.
        source: what found them, for the record.
    """

    keypoints: np.ndarray
    silhouette: np.ndarray | None = None
    people: int = 1
    source: str = ""
    notes: tuple[str, ...] = field(default=())


def joints_from_landmarks(landmarks: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """(18, 3) float32 keypoints of MediaPipe's 33 landmarks.

    Args:
        landmarks: (33, 3) x, y in pixels, visibility.
        size_hw: the photo's; landmarks outside of it are missing, as they are guesses.
    """
    points = np.full((N_JOINTS, 3), (np.nan, np.nan, 0), np.float32)
    for joint, index in LANDMARKS.items():
        points[joint] = landmarks[index]
    right, left = points[Joint.R_SHOULDER], points[Joint.L_SHOULDER]
    points[Joint.NECK] = (*(right[:2] + left[:2]) / 2, min(right[2], left[2]))
    inside = ((points[:, :2] >= 0) & (points[:, :2] < size_hw[::-1])).all(1)
    points[~(inside & (points[:, 2] >= LEAST_VISIBILITY))] = np.nan, np.nan, 0
    return points


def count_people(people: list[np.ndarray], silhouettes: list[np.ndarray]) -> int:
    """How many of the found figures are people of about the first one's size, each with pixels of
    its own.

    A second pass over a photo finds things that are none: those are small, unsure, or lie where the
        first one does.
    """
    if not people:
        return 0
    size = lambda joints: float(
        np.hypot(*(joints[[11, 12], :2].mean(0) - joints[[23, 24], :2].mean(0)))
    )
    count, covered = 1, silhouettes[0] > 127
    for joints, silhouette in zip(people[1:], silhouettes[1:]):
        own = silhouette > 127
        trunk = joints[[11, 12, 23, 24]]
        sure = trunk[:, 2].min() > 0.7
        alike = 0.4 < size(joints) / max(size(people[0]), 1e-6) < 2.5
        apart = (own & ~covered).sum() > 0.3 * covered.sum()
        count += bool(sure and alike and apart)
    return count


class MediaPipe:
    """The detector, loaded once; may be called from several threads, one at a time.

    Args:
        python: interpreter of the environment that holds MediaPipe; None looks for it (see
            ``find_python``).

    Raises:
        DataError: MediaPipe is not to be had.
    """

    def __init__(self, python: Path | str | None = None):
        found = str(python) if python else find_python()
        if not found:
            raise DataError("mediapipe", "not installed", "", SETUP)
        self.python, self._lock = found, threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, photo: np.ndarray) -> Pose:
        """The person in an (H, W, 3) uint8 RGB photo, in its pixels; ``people`` is 0 where there is
        none."""
        height, width = photo.shape[:2]
        scale = min(1.0, LONGEST_SIDE / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA) if scale < 1 else photo
        with self._lock:
            people, silhouettes = self._ask(np.ascontiguousarray(small))
        return pose_of(people, silhouettes, (height, width))

    def close(self) -> None:
        """Ends the other process; the next call starts a new one."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None and process.stdout is not None
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.stdout.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _start(self) -> subprocess.Popen[bytes]:
        environment = os.environ | {"GLOG_minloglevel": "3", "TF_CPP_MIN_LOG_LEVEL": "3"}
        environment.pop("PYTHONPATH", None)
        try:
            return subprocess.Popen(
                [self.python, "-u", str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
        except OSError as error:
            raise DataError(
                self.python, f"cannot be started ({error.strerror})", "a Python", SETUP
            ) from None

    def _ask(self, image: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        if self._process is None or self._process.poll() is not None:
            self._process = self._start()
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        head = json.dumps({"height": image.shape[0], "width": image.shape[1]})
        limit = threading.Timer(LONGEST_WAIT, process.kill)
        limit.start()
        try:
            process.stdin.write(head.encode() + b"\n" + image.tobytes())
            process.stdin.flush()
            return read_answer(process.stdout)
        except (OSError, ValueError, KeyError):
            process.kill()
            process.wait()
            raise DataError(
                self.python, "ended without an answer", "a Python with mediapipe==0.10.21", SETUP
            ) from None
        finally:
            limit.cancel()


def read_answer(stream) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """[(33, 3)] landmarks and [(H, W)] silhouettes of one of the worker's answers.

    Raises:
        ValueError: the stream ended, or the worker reports an error.
    """
    answer = json.loads(stream.readline())
    if "error" in answer:
        raise ValueError(answer["error"])
    size = int(answer["height"]), int(answer["width"])
    people = [np.array(rows, np.float64).reshape(33, 3) for rows in answer["people"]]
    silhouettes = [
        np.frombuffer(stream.read(size[0] * size[1]), np.uint8).reshape(size) for _ in people
    ]
    return people, silhouettes


def pose_of(
    people: list[np.ndarray], silhouettes: list[np.ndarray], size_hw: tuple[int, int]
) -> Pose:
    """The first person found, in pixels of a photo of ``size_hw``."""
    if not people:
        return Pose(np.full((N_JOINTS, 3), (np.nan, np.nan, 0), np.float32), None, 0, "mediapipe")
    height, width = size_hw
    factor = (width / silhouettes[0].shape[1], height / silhouettes[0].shape[0], 1)
    keypoints = joints_from_landmarks(people[0] * factor, size_hw)
    silhouette = cv2.resize(silhouettes[0], (width, height), interpolation=cv2.INTER_LINEAR)
    return Pose(keypoints, silhouette, count_people(people, silhouettes), "mediapipe")


def find_python() -> str | None:
    """This interpreter if it has MediaPipe; else that of ``.venv-photo`` beside the code or here;
    else None."""
    if find_spec("mediapipe") is not None:
        return sys.executable
    places = (
        os.environ.get("FITTINGROOM_MEDIAPIPE_PYTHON"),
        *(
            base / ".venv-photo" / "bin" / "python"
            for base in (Path(__file__).parents[2], Path.cwd())
        ),
    )
    return next((found for place in places if place and (found := shutil.which(str(place)))), None)
