"""Numbers of requests: UUIDs of version 7 (RFC 9562), as 32 hexadecimal digits.

The time stands in front, so that the newest lie together in the index of the request log; where
they are all over it, writing takes a third longer. The rest is random, 74 bits of it, so that
nobody can say something about another one's answer.
"""

from __future__ import annotations

import os
import time

DIGITS = 20  # hexadecimal, that are drawn for a number, which takes 74 of their 80 bits
AT_ONCE = 256  # numbers; asking the system for each lets another thread go first
VARIANT = "89ab"

_ready: list[str] = []  # numbers without their time


def new() -> str:
    """Return a number that nobody had before. From any thread."""
    while True:
        try:
            return f"{time.time_ns() // 1_000_000:012x}{_ready.pop()}"
        except IndexError:
            drawn = os.urandom(DIGITS // 2 * AT_ONCE).hex()
            _ready.extend(untimed(drawn[at : at + DIGITS]) for at in range(0, len(drawn), DIGITS))


def untimed(digits: str) -> str:
    """Return the part of a number behind its time."""
    return f"7{digits[:3]}{VARIANT[int(digits[3], 16) % 4]}{digits[5:]}"
