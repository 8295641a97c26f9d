"""Tests that run a foreign TorchScript file need Landlock, as the program does."""

from __future__ import annotations

import pytest

from model.tryon.torchscript_worker import landlock_version

needs_sandbox = pytest.mark.skipif(landlock_version() == 0, reason="this system has no Landlock")


def require_sandbox() -> None:
    """Skips the test, or all that need the fixture, where there is none."""
    if landlock_version() == 0:
        pytest.skip("this system has no Landlock")
