"""The folder of files that visitors send and fetch: private, small, and soon empty again."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts import is_alive, write_bytes

KEPT = 600.0  # seconds for which a file can be fetched
MOST_FILES = 200  # each upload is deleted when it has been read, so that few are there


@dataclass(frozen=True)
class Uploads:
    """A folder below ``var/demo``, one for each process."""

    folder: Path
    most_bytes: int  # of all files in it

    @classmethod
    def open(cls, parent: Path, most_bytes: int) -> Uploads:
        """Return this process's own empty folder; what processes left that are gone is deleted.

        Nobody but the owner of the process may look into it.
        """
        parent.mkdir(parents=True, exist_ok=True)
        for other in parent.iterdir():
            number = int(other.name) if other.name.isdecimal() else 0
            if number == os.getpid() or (number and not is_alive(number)):
                shutil.rmtree(other, ignore_errors=True)
        folder = parent.resolve() / str(os.getpid())
        folder.mkdir(mode=0o700)
        return cls(folder, most_bytes)

    @property
    def full(self) -> bool:
        """Whether there is no room for another file."""
        sizes = [size for _path, size, _changed in self.files()]
        return len(sizes) >= MOST_FILES or sum(sizes) >= self.most_bytes

    def files(self) -> list[tuple[Path, int, float]]:
        """Return every file with its size in bytes and when it was written (seconds)."""
        found = []
        for path in self.folder.rglob("*"):
            with contextlib.suppress(OSError):  # another request may delete it meanwhile
                if path.is_file():
                    state = path.stat()
                    found.append((path, state.st_size, state.st_mtime))
        return found

    def holds(self, name: str) -> bool:
        """Return whether a path leads to a file of this folder."""
        try:
            path = Path(name).resolve()
            return path.is_relative_to(self.folder) and path.is_file()
        except (OSError, ValueError):
            return False

    def write(self, name: str, content: bytes) -> Path:
        """Write a file that is hard to guess and return its path."""
        inner = self.folder / secrets.token_hex(16)
        inner.mkdir(mode=0o700)
        write_bytes(inner / name, content)
        return inner / name

    def sweep(self, now: float | None = None) -> None:
        """Delete what has been there long enough."""
        now = time.time() if now is None else now
        for path, _size, changed in self.files():
            if now - changed > KEPT:
                path.unlink(missing_ok=True)
        for inner in self.folder.iterdir():
            with contextlib.suppress(OSError):  # it is not empty, or no folder
                if now - inner.stat().st_mtime > KEPT:
                    inner.rmdir()

    def close(self) -> None:
        """Delete everything."""
        shutil.rmtree(self.folder, ignore_errors=True)
