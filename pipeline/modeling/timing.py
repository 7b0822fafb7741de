"""Models side by side: cold start, memory, latencies, throughput and energy, measured in one run.

Each model is a process of its own, and they take turns, request by request and each time in another
order, so that a busy machine slows all of them alike. Every series begins with rounds that do not
count.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from pipeline.modeling.measuring import SECONDS_PER_HOUR, Energy
from pipeline.progress import Progress

if TYPE_CHECKING:
    from pipeline.modeling.bench import Child
    from pipeline.predictor import BasePredictor
    from pipeline.schema.compressing import Measuring

WARM = 1  # rounds that do not count
SETTLING = 0.002  # seconds in which the threads of the model before stop spinning
LEAST = 3  # rounds of a series that takes long
SECONDS = 2.0  # a series ends after these and so many rounds
POOL = 64  # texts of one length that a series draws from
REMEMBERED = 100  # texts after which memory is read, and that are timed one by one
PASSES = 3  # over the texts of the throughput
MOST = 96  # texts of the throughput
MB = 1e6
MILLI = 1_000.0
COUNTRY = "CHN"  # codecarbon wants one for its CO2, which is not told here
WATTS_PER_KWH_AND_SECOND = 1_000 * SECONDS_PER_HOUR


@dataclass(frozen=True)
class Speed:
    """What one model took."""

    cold_start_s: float  # from the start of its process to its first answer
    memory_mb: float  # resident after 100 texts
    peak_memory_mb: float  # until then
    latency_ms: dict[str, dict[str, float]]  # "batch x length" → p50 and p95
    latency_ms_p50: float  # of single texts of the validation part as they are
    latency_ms_p95: float
    texts_per_second: float  # of the validation part as it is, in the largest batches
    wh_per_1000_texts: float | None


def measure(
    children: Mapping[str, Child],
    texts: Sequence[str],
    lengths: Mapping[int, Sequence[str]],
    knobs: Measuring,
) -> tuple[dict[str, Speed], dict[str, Any]]:
    """Return what each model took, and how it was measured.

    :param children: name → its process, not yet started.
    :param texts: of the validation part.
    :param lengths: tokens → texts of so many, from ``texts_of``.
    """
    many, largest = list(texts[:MOST]), max(knobs.batches)
    cells = [(size, length) for size in knobs.batches for length in lengths]
    singles = [[one] for one in texts[:REMEMBERED]]
    total = len(children) + len(cells) * knobs.rounds + len(singles) + PASSES
    with Progress("optimize", total) as progress:
        starts = {name: began(child, texts, largest, progress) for name, child in children.items()}
        series = {
            f"{size}x{length}": timed(
                children, rounds_of(lengths[length], size, knobs.rounds), size, progress
            )
            for size, length in cells
        }
        alone = timed(children, [*singles[:WARM], *singles], 1, progress)
        whole, power = powered(children, [many] * (WARM + PASSES), largest, progress)
    speeds = {}
    for name, (cold, resident, peak) in starts.items():
        rate = len(many) / median(whole[name])
        speeds[name] = Speed(
            cold_start_s=cold,
            memory_mb=resident / MB,
            peak_memory_mb=peak / MB,
            latency_ms={cell: quantiles(found[name]) for cell, found in series.items()},
            **{f"latency_ms_{key}": value for key, value in quantiles(alone[name]).items()},
            texts_per_second=rate,
            wh_per_1000_texts=power["watts"] and power["watts"] * MILLI / rate / SECONDS_PER_HOUR,
        )
    rounds = {cell: len(next(iter(found.values()))) for cell, found in series.items()}
    how = {"rounds": rounds, "batches": knobs.batches, "lengths": list(lengths),
           "single_texts": len(singles), "throughput_texts": len(many),
           "throughput_batch": largest, "passes": PASSES} | power  # fmt: skip
    return speeds, how


def began(
    child: Child, texts: Sequence[str], largest: int, progress: Progress
) -> tuple[float, int, int]:
    """Start a process; return seconds to its first answer, resident and peak bytes after 100."""
    cold = child.start(texts[0])
    reply = child.ask(texts[:REMEMBERED], largest)
    progress.advance()
    return cold, reply.resident_bytes, reply.peak_bytes


def rounds_of(pool: Sequence[str], size: int, rounds: int) -> list[list[str]]:
    """Return a batch of ``size`` texts for each round and for the warm-up, drawn in turn."""
    return [
        [pool[(turn * size + at) % len(pool)] for at in range(size)]
        for turn in range(WARM + rounds)
    ]


def timed(
    children: Mapping[str, Child],
    batches: Sequence[Sequence[str]],
    batch_size: int,
    progress: Progress,
) -> dict[str, list[float]]:
    """Return the seconds of each model for each batch but the first ones, which warm up.

    A series that takes longer than ``SECONDS`` ends after ``LEAST`` rounds: large batches are slow
    and vary little.
    """
    names = list(children)
    found: dict[str, list[float]] = {name: [] for name in names}
    begun = time.perf_counter()
    for turn, batch in enumerate(batches):
        if turn >= WARM + LEAST and time.perf_counter() - begun > SECONDS:
            progress.advance(len(batches) - turn)
            break
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            time.sleep(SETTLING)
            seconds = children[name].ask(batch, batch_size).seconds
            if turn >= WARM:
                found[name].append(seconds)
        progress.advance(int(turn >= WARM))
    return found


def powered(
    children: Mapping[str, Child],
    batches: Sequence[Sequence[str]],
    batch_size: int,
    progress: Progress,
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Return the seconds of each model as ``timed``, and the mean power of the machine meanwhile.

    Models on one machine differ in time far more than in power, and a single one runs too briefly
    for a meter, so all share the mean; ``watts`` is None where nothing could be found out.
    """
    energy = Energy(COUNTRY)
    energy.start()
    begun = time.perf_counter()
    found = timed(children, batches, batch_size, progress)
    seconds = time.perf_counter() - begun
    told = energy.stop()
    kwh = told["kwh"]
    watts = None if kwh is None else kwh * WATTS_PER_KWH_AND_SECOND / seconds
    return found, {"watts": watts, "energy_source": told["energy_source"]}


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """Return the median and the 95th percentile, in milliseconds."""
    import numpy as np

    middle, high = MILLI * np.quantile(seconds, [0.5, 0.95])
    return {"p50": float(middle), "p95": float(high)}


def texts_of(
    model: BasePredictor, texts: Sequence[str], lengths: Sequence[int]
) -> dict[int, list[str]]:
    """Return texts of each length in tokens, those that the model adds itself included.

    They are real texts, one after the other, cut where the length is reached. No text is longer
    than what the model reads, so a greater length stands for that.
    """
    known = sorted({min(length, model.card.max_tokens) for length in lengths})
    return {length: cut(model, texts, length) for length in known}


def cut(model: BasePredictor, texts: Sequence[str], length: int) -> list[str]:
    """Return texts of exactly ``length`` tokens, or of nearly so many where no text has that."""
    exact: list[str] = []
    near: list[str] = []
    for start in range(min(len(texts), POOL)):
        whole = long_enough(model, texts, start, length)
        low, high = 0, len(whole)
        while low < high:  # the shortest beginning of so many tokens
            middle = (low + high) // 2
            if count(model, whole[:middle]) >= length:
                high = middle
            else:
                low = middle + 1
        (exact if count(model, whole[:low]) == length else near).append(whole[:low])
    return exact or near


def long_enough(model: BasePredictor, texts: Sequence[str], start: int, length: int) -> str:
    """Return a text with those that follow it, until it has ``length`` tokens.

    The last one is repeated by then where all texts together are too short.
    """
    whole = texts[start]
    for step in range(1, length + 1):
        if count(model, whole) >= length:
            break
        whole = f"{whole} {texts[(start + step) % len(texts)]}"
    return whole


def count(model: BasePredictor, text: str) -> int:
    """Return the number of tokens of a text."""
    return len(model.tokens([text])[0])
