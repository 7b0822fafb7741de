"""Numbers of requests: random, so that nobody can say something about another one's answer."""

from __future__ import annotations

import os

SIZE = 16  # bytes
AT_ONCE = 256  # numbers; asking the system for each lets another thread go first

_ready: list[str] = []


def new() -> str:
    """Return a number that nobody had before: 32 hexadecimal digits. From any thread."""
    while True:
        try:
            return _ready.pop()
        except IndexError:
            drawn = os.urandom(SIZE * AT_ONCE).hex()
            _ready.extend(drawn[at : at + 2 * SIZE] for at in range(0, len(drawn), 2 * SIZE))
