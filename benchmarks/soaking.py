"""The service for long at 0.7 of its capacity: what its memory does, and what its answers do."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving import ROOT, Server, environment, generator

SHARE = 0.7  # of the capacity
EVERY = 1.0  # seconds between two looks at the memory
SETTLING = 0.25  # share of the time at the beginning that does not count
MOST_PER_MINUTE = 1.0  # MB


def slope(times: list[float], megabytes: list[float]) -> float:
    """Return by how many MB a minute memory grows, by least squares over what counts.

    :param times: seconds since the beginning.
    """
    seconds, memory = np.array(times), np.array(megabytes)
    counted = seconds >= SETTLING * seconds[-1]
    return float(60 * np.polyfit(seconds[counted], memory[counted], 1)[0])


def by_minute(times: list[float], megabytes: list[float]) -> list[float]:
    """Return the median of each minute.

    :param times: seconds since the beginning.
    """
    minutes, memory = (np.array(times) // 60).astype(int), np.array(megabytes)
    return [round(float(np.median(memory[minutes == one])), 1) for one in np.unique(minutes)]


def soak(server: Server, texts: Path, most: float, minutes: float) -> dict[str, Any]:
    """Send 0.7 of the capacity for so many minutes and look at the memory each second.

    :param most: the capacity, requests a second.
    :raises subprocess.CalledProcessError: if the generator fails.
    """
    words = ("--phases", f"{SHARE * most}:{60 * minutes}")
    server.resume()
    times: list[float] = []
    megabytes: list[float] = []
    began = time.monotonic()
    try:
        with subprocess.Popen(
            generator(server, texts, *words), cwd=ROOT, env=environment(), text=True,
            stdout=subprocess.PIPE,
        ) as process:  # fmt: skip
            while time.monotonic() - began < 60 * minutes and process.poll() is None:
                times.append(time.monotonic() - began)
                megabytes.append(server.memory())
                time.sleep(EVERY)
            told = json.loads(process.communicate()[0])
    finally:
        server.pause()
    grows = slope(times, megabytes)
    return {
        "minutes": minutes,
        "rate": told["rate"],
        "mb_first": megabytes[0],
        "mb_last": megabytes[-1],
        "mb_most": max(megabytes),
        "mb_each_minute": by_minute(times, megabytes),
        "mb_per_minute": grows,
        "ms": told["ms"],
        "statuses": told["statuses"],
        "reached": grows < MOST_PER_MINUTE and set(told["statuses"]) == {"200"},
    }
