"""Numbers of requests: nobody had them before, nobody guesses them, and the newest come last."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from app.service import ids


def test_a_number_is_a_uuid_of_version_7_and_begins_with_its_time() -> None:
    before = time.time_ns() // 1_000_000
    found = uuid.UUID(hex=(number := ids.new()))
    after = time.time_ns() // 1_000_000
    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    assert number == found.hex
    assert before <= found.int >> 80 <= after


def test_no_number_comes_twice_whoever_asks() -> None:
    with ThreadPoolExecutor(8) as threads:
        found = [one for many in threads.map(some, range(8)) for one in many]
    assert len(set(found)) == len(found) == 8_000


def some(_thread: int) -> list[str]:
    """Return a thousand numbers; the later ones are not smaller, as far as time is told apart."""
    found = [ids.new() for _ in range(1_000)]
    times = [one[:12] for one in found]
    assert times == sorted(times)
    return found


def test_all_that_is_not_time_is_random() -> None:
    """Each of the 74 bits is one in about half of the numbers."""
    count = 4_000
    numbers = [int(ids.new(), 16) for _ in range(count)]
    shares = [sum(one >> bit & 1 for one in numbers) / count for bit in range(80)]
    fixed = {62, 63, 76, 77, 78, 79}  # version and variant
    assert {bit for bit, share in enumerate(shares) if abs(share - 0.5) > 0.06} == fixed
