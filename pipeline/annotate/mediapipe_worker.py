"""MediaPipe in a process of its own: pictures come in on stdin, joints and silhouettes go out on
stdout.

This file stands alone: it runs in an environment that holds MediaPipe and numpy and nothing of this
    project. Each
message is a line of JSON, followed by as many bytes as it names.

In:  {"height": H, "width": W}, then H * W * 3 bytes of RGB.
Out: {"people": [[[x, y, visibility], ... 33], ...], "height": H, "width": W}, then H * W bytes for
    each person: 0 for
background to 255 for person. Or {"error": text}.
"""

from __future__ import annotations

import json
import os
import sys

import numpy as np

MOST = 2
"""People that are looked for; more than one is all that a caller wants to know."""


def find_people(pose, image: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """[((33, 3) x, y in pixels and visibility, (H, W) uint8 silhouette)]: MediaPipe finds one
    person at a time, so whoever was found is painted over and the rest looked at again."""
    height, width = image.shape[:2]
    people, rest = [], image
    for _ in range(MOST):
        found = pose.process(rest)
        if found.pose_landmarks is None or found.segmentation_mask is None:
            break
        joints = np.array(
            [(m.x * width, m.y * height, m.visibility) for m in found.pose_landmarks.landmark]
        )
        silhouette = (found.segmentation_mask.clip(0, 1) * 255).round().astype(np.uint8)
        people.append((joints, silhouette))
        rest = paint_over(rest, silhouette, joints)
    return people


def paint_over(image: np.ndarray, silhouette: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """A copy of ``image`` without a person: the silhouette with a margin in the mean colour of all
    that is left."""
    import cv2

    size = max(9, int(np.ptp(joints[:, 1]) / 12)) | 1
    hidden = cv2.dilate((silhouette > 40).astype(np.uint8), np.ones((size, size), np.uint8)) > 0
    copy = image.copy()
    copy[hidden] = image[~hidden].mean(0) if (~hidden).any() else 128
    return copy


def open_pose():
    """MediaPipe's detector for single pictures; its models lie in the package."""
    from mediapipe.python.solutions.pose import Pose

    return Pose(
        static_image_mode=True,
        model_complexity=1,
        enable_segmentation=True,
        min_detection_confidence=0.5,
    )


def serve(source, sink) -> None:
    """Answers messages until the input ends."""
    pose = open_pose()
    for line in iter(source.readline, b""):
        head = json.loads(line)
        shape = (int(head["height"]), int(head["width"]), 3)
        data = source.read(shape[0] * shape[1] * 3)
        try:
            people = find_people(pose, np.frombuffer(data, np.uint8).reshape(shape))
            answer = {
                "people": [joints.round(3).tolist() for joints, _ in people],
                "height": shape[0],
                "width": shape[1],
            }
        except Exception as error:  # told to the caller, who is another process
            people, answer = [], {"error": f"{type(error).__name__}: {error}"[:300]}
        sink.write(json.dumps(answer).encode() + b"\n" + b"".join(s.tobytes() for _, s in people))
        sink.flush()


if __name__ == "__main__":
    own = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not get between the messages
    serve(sys.stdin.buffer, own)
