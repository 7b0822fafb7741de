"""The service beside its peers, under too much load, and for long (``make bench-serve``).

After ``make run``: a release is made of ``models/optimize`` in a folder of its own and served by
``python -m app.service`` on one core; the generator (``benchmarks.load``) has the other. Beside it,
each on the same core and asked in turns, so that ratios hold on a busy machine too:

- plain FastAPI around ``transformers.pipeline``, torch in fp32;
- plain FastAPI around the model files that the service runs;
- LitServe around them, without and with batches (in ``.venv-litserve``);
- bare: our own batches behind one route, without log, metrics and validation.

``compare`` measures 1, 16, 64 and 256 clients with short texts and mixed lengths; ``open`` sends at
fixed rates; ``overload`` sends four times what the service can do; ``soak`` 0.7 of it for long.
Results are printed and written to ``work/bench-serve/results.json``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import serving
from benchmarks.serving import ROOT, Server, load
from benchmarks.soaking import soak

CLIENTS, LENGTHS = (1, 16, 64, 256), ("short", "mixed")
JUDGED = (16, 64)  # numbers of clients at which ratios are wanted
PARTS = ("compare", "open", "overload", "soak")
OTHERS = {"pipeline": (3.0, 0.35), "runtime": (1.5, 0.7), "LitServe": (2.0, math.inf),
          "bare": (0.95, math.inf)}  # least ratio of requests, largest ratio of p99  # fmt: skip
RATES = (0.3, 0.5, 0.7, 0.9)  # of the capacity, in the open loop
TOO_MUCH, CALM = 4.0, 0.5  # times the capacity
RECOVERY = 5.0  # seconds at most
CONSOLE = Console(width=130, highlight=False)


def turns(servers: Sequence[Server], rounds: int) -> Iterator[list[Server]]:
    """Yield the servers in another order each round, so that none always comes first."""
    for at in range(rounds):
        first = at % len(servers)
        yield [*servers[first:], *servers[:first]]


def compare(
    servers: Sequence[Server], texts: Path, rounds: int, seconds: float, clients: Sequence[int]
) -> list[dict[str, Any]]:
    """Return what each server did in each round, for each number of clients and each length."""
    found = []
    for lengths in LENGTHS:
        for count in clients:
            for at, order in enumerate(turns(servers, rounds)):
                for server in order:
                    told = load(
                        server, texts, "--lengths", lengths, "--clients", str(count),
                        "--seconds", str(seconds),
                    )  # fmt: skip
                    del told["timeline"]
                    told |= {"server": server.name, "lengths": lengths, "clients": count,
                             "round": at}  # fmt: skip
                    found.append(told)
    return found


def cell(rows: Sequence[Mapping[str, Any]], server: str, lengths: str, clients: int) -> list[Any]:
    """Return the rounds of one server in one place of the table."""
    wanted = (server, lengths, clients)
    return [row for row in rows if (row["server"], row["lengths"], row["clients"]) == wanted]


def ratios(rows: Sequence[Mapping[str, Any]], lengths: str, clients: int) -> Iterator[Any]:
    """Yield name, ratios of requests, of p99 and of requests a processor second, by round.

    The service over each peer.

    Of LitServe's ways the one with more requests counts.
    """
    ours = cell(rows, "service", lengths, clients)
    names = {row["server"] for row in rows} - {"service"}
    lit = [name for name in names if name.startswith("LitServe")]
    best = max(
        lit, default="", key=lambda name: median_of(cell(rows, name, lengths, clients), "rate")
    )
    for name in sorted(names - set(lit)) + [best] * bool(lit):
        theirs = cell(rows, name, lengths, clients)
        pairs = list(zip(ours, theirs, strict=True))
        yield (
            name,
            [one["rate"] / max(1e-9, other["rate"]) for one, other in pairs],
            [one["ms"]["p99"] / other["ms"]["p99"] for one, other in pairs],
            [one["per_core_second"] / max(1e-9, other["per_core_second"]) for one, other in pairs],
        )


def median_of(rows: Sequence[Mapping[str, Any]], *way: str) -> float:
    """Return the median over rounds of a figure."""
    values: list[Any] = list(rows)
    for name in way:
        values = [one[name] for one in values]
    return float(median(values))


def goals(rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield what was wanted beside what was found, as medians of the ratios of each round."""
    for lengths in LENGTHS:
        for clients in JUDGED:
            if not cell(rows, "service", lengths, clients):
                continue
            for name, rates, tails, thrifts in ratios(rows, lengths, clients):
                least, most = OTHERS[name.split(",")[0]]
                rate, tail = median(rates), median(tails)
                yield {
                    "where": f"{lengths}, {clients} clients, over {name}",
                    "requests": rate, "least": least, "spread": [min(rates), max(rates)],
                    "core": median(thrifts), "p99": tail,
                    "most": None if math.isinf(most) else most,
                    "reached": rate >= least and tail <= most,
                }  # fmt: skip


def show(rows: Sequence[Mapping[str, Any]], agreement: Mapping[str, float]) -> None:
    """Print the figures of every server, and the ratios that are wanted."""
    for lengths in LENGTHS:
        table = Table(title=f"Texts: {lengths}; requests a second, p50 and p99 in ms",
                      title_justify="left")  # fmt: skip
        counts = sorted({row["clients"] for row in rows})
        table.add_column("")
        for count in counts:
            table.add_column(f"{count} clients", justify="right")
        table.add_column("same answers", justify="right")
        for name in dict.fromkeys(row["server"] for row in rows):
            cells = [figures(cell(rows, name, lengths, count)) for count in counts]
            table.add_row(name, *cells, f"{agreement[name]:.3f}")
        CONSOLE.print(table)
    table = Table(title="The service over its peers, median of rounds", title_justify="left")
    for column in ("", "requests", "wanted", "spread", "a core second", "p99", "wanted", ""):
        table.add_column(column, justify="right" if column else "left")
    for one in goals(rows):
        low, high = one["spread"]
        table.add_row(
            one["where"], f"{one['requests']:.2f}", f">= {one['least']:g}", f"{low:.2f}–{high:.2f}",
            f"{one['core']:.2f}", f"{one['p99']:.2f}", f"<= {one['most']:g}" if one["most"] else "",
            "" if one["reached"] else "missed",
        )  # fmt: skip
    CONSOLE.print(table)
    CONSOLE.print(f"The generator used {100 * max(row['busy'] for row in rows):.0f} % of its core.")


def figures(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the text of a place in the table; a share of refused requests stands behind it."""
    if not rows:
        return "–"
    counts = [row["statuses"] for row in rows]
    others = sum(sum(one.values()) - one.get("200", 0) for one in counts)
    share = others / max(1, sum(sum(one.values()) for one in counts))
    rate, middle, tail = (
        median_of(rows, "rate"), median_of(rows, "ms", "p50"), median_of(rows, "ms", "p99")
    )  # fmt: skip
    refused = f" ({100 * share:.0f} % refused)" if share else ""
    return f"{rate:,.0f}  {middle:.0f} {tail:.0f}{refused}"


def ceiling(texts: Path, seconds: float) -> dict[str, Any]:
    """Return what the generator does at most, against a server that does nothing."""
    command = [sys.executable, "-m", "benchmarks.servers.constant", "PORT"]
    with Server("constant", command) as server:
        found = {str(count): load(server, texts, "--clients", str(count),
                                  "--seconds", str(seconds)) for count in (16, 256)}  # fmt: skip
    rates = {count: round(one["rate"]) for count, one in found.items()}
    CONSOLE.print(f"The generator's ceiling, requests a second by clients: {rates}")
    return {"rates": rates}


def capacity(server: Server, texts: Path, seconds: float) -> float:
    """Return the requests a second that the service does at 64 clients."""
    told = load(server, texts, "--clients", "64", "--seconds", str(seconds))
    return float(told["rate"])


def open_loop(server: Server, texts: Path, most: float, seconds: float) -> list[dict[str, Any]]:
    """Return what came of fixed rates, in shares of the capacity."""
    found = []
    table = Table(title=f"Open loop, capacity {most:.0f}/s", title_justify="left")
    for column in ("of capacity", "p50", "p95", "p99", "max ms", "statuses"):
        table.add_column(column, justify="right")
    for share in RATES:
        told = load(server, texts, "--phases", f"{share * most}:{2 * seconds + 1}")
        del told["timeline"]
        found.append(told | {"share": share})
        names = ("p50", "p95", "p99", "p100")
        table.add_row(f"{share:g}", *(f"{told['ms'][name]:.0f}" for name in names),
                      str(told["statuses"]))  # fmt: skip
    CONSOLE.print(table)
    return found


def overload(server: Server, texts: Path, most: float, seconds: float) -> dict[str, Any]:
    """Return what came of too much, and how long it took until all was as before."""
    calm, much = f"{CALM * most}:{seconds}", f"{TOO_MUCH * most}:{2 * seconds}"
    told = load(
        server, texts, "--warm", "0", "--phases", calm, much, f"{CALM * most}:{2 * seconds}"
    )
    found = judged(told["timeline"], seconds, 3 * seconds)
    found |= {key: told[key] for key in ("statuses", "refused_without_retry_after", "failures")}
    found["reached"] = (
        set(told["statuses"]) <= {"200", "503"}
        and not told["refused_without_retry_after"]
        and found["recovery"] <= RECOVERY
    )
    CONSOLE.print("Four times the capacity:", found)
    for one in told["timeline"]:
        del one["ms"]
    return found | {"timeline": told["timeline"]}


def judged(timeline: Sequence[Mapping[str, Any]], calm: float, end: float) -> dict[str, float]:
    """Return p99 before and during too much load, and seconds until all was as before.

    All is as before when, for as long as the calm before was measured, nothing is refused and the
    p99 is at most twice that of the same load before. Both are of all requests of a stretch: a
    window of half a second holds some fifty, so that its p99 is about its slowest request, and one
    that was held up on a healthy service would undo a recovery that was long over. What was due in
    the last window before too much came was answered beside it, and is left out.

    :param calm: seconds until too much came.
    :param end: seconds until it went.
    """
    window = timeline[1]["at"] - timeline[0]["at"]
    before = p99([one for one in timeline if one["at"] + window < calm])
    good = [
        one["at"] - end
        for at, one in enumerate(timeline)
        if one["at"] >= end
        and len(stretch := timeline[at : at + round(calm / window)]) == round(calm / window)
        and all(set(two["statuses"]) == {"200"} for two in stretch)
        and p99(stretch) <= 2 * before
    ]
    return {
        "p99_before": before,
        "p99_during": p99([one for one in timeline if calm <= one["at"] < end]),
        "recovery": min(good, default=math.inf),  # never while it was watched
    }


def p99(windows: Sequence[Mapping[str, Any]]) -> float:
    """Return the p99 of all good answers of some windows; nan without any."""
    found = [one for window in windows for one in window["ms"]]
    return float(np.quantile(found, 0.99)) if found else math.nan


def agreements(servers: Sequence[Server], texts: Path) -> dict[str, float]:
    """Return the share of texts to which each server gives the label that the service gives."""
    asked = json.loads(texts.read_text(encoding="utf-8"))[:200]
    said = {}
    for server in servers:
        server.resume()
        said[server.name] = server.labels(asked)
        server.pause()
    ours = said["service"]
    return {name: sum(map(str.__eq__, labels, ours)) / len(ours) for name, labels in said.items()}


def measured(given: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Measure the parts that are asked for."""
    texts = serving.texts_of(given.project, work / "texts.json")
    folder = serving.released(given.project, work)
    found: dict[str, Any] = {"ceiling": ceiling(texts, given.seconds)}
    with contextlib.ExitStack() as stack:
        alone = "compare" not in given.parts
        wanted, left_out = serving.commands(given.project, folder, alone=alone)
        servers = [
            stack.enter_context(Server(name, command, where))
            for name, (command, where) in wanted.items()
        ]
        if "compare" in given.parts:
            agreement = agreements(servers, texts)
            rows = compare(servers, texts, given.rounds, given.seconds, given.clients)
            show(rows, agreement)
            found |= {"rows": rows, "goals": list(goals(rows)), "agreement": agreement}
            CONSOLE.print(*(f"{name}: {why}" for name, why in left_out.items()), sep="\n")
        service = servers[0]
        most = capacity(service, texts, given.seconds)
        if "open" in given.parts:
            found["open"] = open_loop(service, texts, most, given.seconds)
        if "overload" in given.parts:
            found["overload"] = overload(service, texts, most, given.seconds)
        if "soak" in given.parts:
            found["soak"] = soak(service, texts, most, given.minutes)
            CONSOLE.print("Soak:", found["soak"])
    return found


def main() -> None:
    """Measure, print the tables, write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", default=PARTS[:3], help=", ".join(PARTS))
    parser.add_argument("--project", type=Path, default=ROOT, help="a project after dvc repro")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of one measurement")
    parser.add_argument("--clients", type=int, nargs="+", default=CLIENTS)
    parser.add_argument("--minutes", type=float, default=30.0, help="of the soak")
    given = parser.parse_args()
    work = given.project / "work/bench-serve"
    work.mkdir(parents=True, exist_ok=True)
    try:
        found = measured(given, work)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{error.cmd[:4]} ended with {error.returncode}") from error
    (work / "results.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
