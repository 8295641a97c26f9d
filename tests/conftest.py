"""Fixtures that several test modules share. Heavy ones are made once per session."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_people() -> Path:
    """A folder of real people in Dress Code's layout, named by DRESSCODE_ROOT; tests that need it skip without."""
    root = os.environ.get("DRESSCODE_ROOT")
    if not root or not Path(root).is_dir():
        pytest.skip("DRESSCODE_ROOT names no folder")
    return Path(root)
