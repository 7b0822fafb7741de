"""Files of lines that grow: each line is read once, however often and by how many pages one looks.

What was read so far is kept in this process; a file that was replaced or cut off is read anew.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Self, cast

KNOWN = 64  # files
SHELF: dict[tuple[type, Path, int], Growing] = {}
SHELVING = threading.Lock()


class Growing:
    """What a file of lines has said so far; ``take`` says what a line means."""

    def __init__(self) -> None:
        self.read = 0
        self.lock = threading.Lock()  # held by who looks and by who copies what was found

    def take(self, line: str) -> None:
        """Read one whole line."""
        raise NotImplementedError

    def look(self, path: Path, most: int) -> None:
        """Read what is new; who calls holds the lock.

        :param most: bytes from the start of the file; what comes after them is not read.
        """
        with path.open("rb") as source:
            source.seek(self.read)
            content = source.read(max(0, most - self.read))
        whole = content.rfind(b"\n") + 1
        self.read += whole
        for line in content[:whole].decode("utf-8", "replace").splitlines():
            self.take(line)

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return what is known of a file as it is on the disk now.

        :raises OSError: if there is none.
        """
        facts = path.stat()
        key = (cls, path, facts.st_ino)
        with SHELVING:
            found = SHELF.pop(key, None)
            if found is None or found.read > facts.st_size:
                found = cls()
            SHELF[key] = found
            while len(SHELF) > KNOWN:
                del SHELF[next(iter(SHELF))]
        return cast("Self", found)
