"""The one error that a person sees: which file, what was found, what was expected, what to do."""

from __future__ import annotations

from pathlib import Path


class DataError(Exception):
    """Bad input, told so that its owner can mend it.

    Args:
        path: the file, folder or option at fault.
        found: what is there.
        expected: what should be there; empty where the finding says it all.
        remedy: what to do next, as a full sentence.
    """

    def __init__(self, path: Path | str, found: str, expected: str = "", remedy: str = ""):
        self.path, self.found, self.expected, self.remedy = str(path), found, expected, remedy
        super().__init__(
            path, found, expected, remedy
        )  # args keep the error picklable across workers

    def __str__(self) -> str:
        text = f"{self.path}: {self.found}"
        if self.expected:
            text += f", expected {self.expected}"
        return f"{text}. {self.remedy}".rstrip(" .") + "."


class Notice(UserWarning):
    """Something that a person should know and that stops nothing; commands show it as a line."""
