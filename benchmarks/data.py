"""Clean beside its peers: ``make bench-data`` builds records with planted faults and prints tables.

Speed and memory of the whole of clean, on both cores; recall and precision of every rule, because
each fault was planted and is known; the same work by datatrove; near-duplicates beside rensa, gaoya
and datasketch; how time grows with size; language identification beside fastText.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from benchmarks import made

WORK = Path("work/bench-data")
PEER = [str(Path(".venv-bench/bin/python")), "benchmarks/peers.py"]
PEER_RECORDS = 50_000  # datatrove does about a thousand records a second
SLOW_RECORDS = 10_000  # datasketch, too
RULES = {  # kind that was planted → reason that should find it
    "exact": "duplicate",
    "symbols": "symbols",
    "digits": "digits",
    "repeated": "repeated_lines",
    "foreign": "language",
    "short": "too_short",
}
CONSOLE = Console(width=120, highlight=False)


def knobs() -> dict[str, Any]:
    """Return the section ``clean`` with every rule on."""
    from pipeline.params import load

    clean = load().clean.model_dump()
    for rule in clean["quality"].values():
        rule["enabled"] = True
    clean["quality"]["language"] |= {"allowed": ["en", "zh"], "min_confidence": 0.0}
    clean["quality"]["wording"] |= {"min_stop_words": 0, "min_han": 0.1}
    clean["quality"]["words"] |= {"min_mean": 1, "max_mean": 1000}
    clean["quality"]["repetition"] |= {"max_ngrams": 0.5}
    clean["duplicates"]["near"] |= {"drop": True, "threshold": 0.7}
    kinds = ("email", "phone", "identity_card", "bank_card", "ip")
    clean["personal_data"] |= dict.fromkeys(kinds, "mask") | {"region": "CN"}
    return dict(clean)


def project(count: int) -> Path:
    """Return a folder with so many records as collect would have written them."""
    folder = WORK / str(count)
    if not (folder / "data/collect/truth.parquet").exists():
        shutil.rmtree(folder, ignore_errors=True)
        made.write(count, folder / "data/collect")
    return folder


def cleaned(folder: Path, values: dict[str, Any]) -> dict[str, float]:
    """Run clean in a process of its own; return seconds, processor seconds and peak memory."""
    program = (
        "import json, sys\n"
        "from pipeline import params, clean\n"
        "from pathlib import Path\n"
        "root, changes = sys.argv[1], json.loads(sys.argv[2])\n"
        "content = params.load(Path(root) / 'params.yaml')\n"
        "section = type(content.clean).model_validate(changes)\n"
        "clean.clean(content.model_copy(update={'clean': section}))\n"
    )
    shutil.rmtree(folder / "data/clean", ignore_errors=True)
    root = Path.cwd()
    environment = os.environ | {"PYTHONPATH": str(root)}
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(root), json.dumps(values)],
        cwd=folder,
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    peak = watched(process)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"clean ended with {process.returncode}")
    return {"seconds": seconds, "peak_mb": peak}


def watched(process: subprocess.Popen[bytes]) -> float:
    """Return the highest memory of a process and all below it together, in MB, when it ends.

    Proportional set size, which counts what processes share once.
    """
    peak = 0.0
    while process.poll() is None:
        total = sum(proportional(pid) for pid in family(process.pid))
        peak = max(peak, total / 1024)
        time.sleep(0.2)
    return peak


def family(pid: int) -> list[int]:
    """Return a process and all that it started."""
    try:
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(one for child in below for one in family(int(child)))]


def proportional(pid: int) -> int:
    """Return the proportional set size of a process, in KiB."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)


def peer(name: str, path: Path) -> dict[str, Any]:
    """Run one peer and return what it says."""
    folder = WORK / "peers" / name
    shutil.rmtree(folder, ignore_errors=True)
    told = subprocess.run(
        [*PEER, name, str(path), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"HF_HOME": str(WORK.resolve() / "hub"), "HF_HUB_OFFLINE": "1"},
        check=True,
    )
    answer: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    return answer


def table(title: str, header: list[str], rows: list[list[str]]) -> None:
    """Print one table."""
    shown = Table(title=title, title_justify="left", title_style="bold")
    for at, name in enumerate(header):
        shown.add_column(name, justify="left" if at == 0 else "right")
    for row in rows:
        shown.add_row(*row)
    CONSOLE.print(shown)


def quality(folder: Path) -> list[list[str]]:
    """Return recall and precision of every rule against what was planted."""
    truth = pq.read_table(folder / "data/collect/truth.parquet").to_pylist()
    texts: dict[int, str] = {}
    reasons: dict[int, str] = {}
    clusters: dict[int, str] = {}
    for name in ("records", "dropped"):
        for row in pq.read_table(folder / f"data/clean/{name}.parquet").to_pylist():
            number = int(row["id"])
            texts[number] = row["text"]
            if row["cluster"] is not None:
                clusters[number] = row["cluster"]
            if name == "dropped":
                reasons[number] = row["dropped_by"]
    rows = []
    by_reason = Counter(reasons.values())
    for kind, reason in RULES.items():
        planted = [at for at, one in enumerate(truth) if one["kind"] == kind]
        # Planted trouble repeats, too: what goes as a duplicate was found as well.
        hits = sum(reasons.get(at) in (reason, "duplicate", "near_duplicate") for at in planted)
        wrong = sum(
            reasons.get(at) == reason for at, one in enumerate(truth) if one["kind"] == "plain"
        )
        total = by_reason[reason]
        precision = "–" if not total else f"{1 - wrong / total:.4f}"
        rows.append([kind, f"{len(planted):,}", f"{hits / len(planted):.4f}", precision])
    near = [at for at, one in enumerate(truth) if one["kind"] == "near"]
    hits = sum(at in clusters and clusters[at] == clusters.get(truth[at]["twin"]) for at in near)
    rows.append(["near, 2 % edits", f"{len(near):,}", f"{hits / len(near):.4f}", "1 by proof"])
    for kind in ("html", "mojibake"):
        planted = [at for at, one in enumerate(truth) if one["kind"] == kind]
        hits = sum(texts[at] == truth[at]["clean"] for at in planted)
        rows.append([f"{kind} mended", f"{len(planted):,}", f"{hits / len(planted):.4f}", "–"])
    # Rows of random numbers go anyway; some look like a phone number by chance.
    kept = {at: text for at, text in texts.items() if reasons.get(at) != RULES["digits"]}
    return rows + personal(truth, kept)


def personal(truth: list[dict[str, Any]], texts: dict[int, str]) -> list[list[str]]:
    """Return recall and precision by kind of personal data: masks on planted and other texts."""
    masks = {"email": "[EMAIL]", "phone": "[PHONE]", "identity_card": "[ID]", "bank_card": "[CARD]",
             "ip": "[IP]"}  # fmt: skip
    rows = []
    for kind, mask in masks.items():
        planted = {at for at, one in enumerate(truth) if kind in one["personal"]}
        said = {at for at, text in texts.items() if mask in text}
        hits = len(planted & said)
        rows.append(
            [
                f"personal: {kind}",
                f"{len(planted):,}",
                f"{hits / len(planted):.4f}",
                f"{hits / len(said):.4f}" if said else "–",
            ]
        )
    return rows


def near_duplicates(count: int) -> None:
    """Print near-duplicate search beside its peers, on the same texts in the same run."""
    from pipeline.records import shards
    from pipeline.steps import near_duplicates as ours

    folder = project(count)
    path = folder / "data/collect/records.parquet"
    texts = [text.lower() for text in pq.read_table(path)["text"].to_pylist()]
    truth = pq.read_table(folder / "data/collect/truth.parquet").to_pylist()
    twins = [(one["twin"], at) for at, one in enumerate(truth) if one["kind"] == "near"]
    search = ours.family(threshold=0.7, shingle="character", size=4, seed=42)
    data, offsets = ours.block(texts)
    exact = ours.similar(data, offsets, search, threads=shards.workers())
    exact(np.array([0]), np.array([0]))  # loads the compiled loops, as peers' imports are not timed
    ours.band_keys(data[:0], np.zeros(1, np.int64), search)
    started = time.perf_counter()
    leader = our_clusters(texts, search)
    seconds = time.perf_counter() - started
    hits = sum(leader[one] == leader[other] for one, other in twins)
    rows = [["ours", f"{seconds:.2f}", f"{count / seconds:,.0f}", f"{hits / len(twins):.4f}", "0"]]
    ratios = []
    for name in ("rensa", "gaoya", *(["datasketch"] if count <= SLOW_RECORDS else [])):
        told = peer(name, path)
        pairs = np.load(WORK / "peers" / name / f"{name}.npy")
        proposed = {(int(low), int(high)) for high, low in pairs}
        hits = sum(pair in proposed for pair in twins)
        right = exact(pairs[:, 0], pairs[:, 1]) if len(pairs) else np.zeros(0, bool)
        wrong = int((~right).sum())
        rows.append(
            [
                name,
                f"{told['seconds']:.2f}",
                f"{count / told['seconds']:,.0f}",
                f"{hits / len(twins):.4f}",
                f"{wrong:,} of {len(pairs):,}",
            ]
        )
        ratios.append(f"{told['seconds'] / seconds:.1f}× {name}")
    table(
        f"Near-duplicates, {count:,} texts: {', '.join(ratios)}",
        ["", "seconds", "texts/s", "recall, 2 % edits", "false candidates"],
        rows,
    )


def our_clusters(texts: list[str], search: Any) -> Any:
    """Return the clusters of texts as clean finds them: keys on both cores, then comparison."""
    from concurrent.futures import ThreadPoolExecutor

    from pipeline.records import shards
    from pipeline.steps import near_duplicates as ours

    threads = shards.workers()
    data, offsets = ours.block(texts)
    cuts = np.linspace(0, len(texts), 4 * threads + 1).astype(int)

    def keys(at: int) -> Any:
        return ours.band_keys(data, offsets[cuts[at] : cuts[at + 1] + 1], search)

    with ThreadPoolExecutor(threads) as pool:
        bands = np.concatenate(list(pool.map(keys, range(len(cuts) - 1)))).T
    return ours.clusters(len(texts), bands, ours.similar(data, offsets, search, threads=threads))


def whole(sizes: list[int]) -> None:
    """Print speed, memory and growth of the whole of clean, and recall and precision."""
    values = knobs()
    cleaned(project(min(sizes)), values)  # compiles and warms the disk cache
    seconds = {}
    rows = []
    for count in sizes:
        told = cleaned(project(count), values)
        seconds[count] = told["seconds"]
        rate = count / told["seconds"]
        cores = len(os.sched_getaffinity(0))
        rows.append([f"{count:,}", f"{told['seconds']:.1f}", f"{rate / cores:,.0f}",
                     f"{told['peak_mb']:,.0f}"])  # fmt: skip
    low, high = min(sizes), max(sizes)
    slope = math.log(seconds[high] / seconds[low]) / math.log(high / low) if high > low else 1
    table(
        f"The whole of clean, every rule on; slope of log time over log records {slope:.2f}",
        ["records", "seconds", "records/s/core", "peak MB, all processes"],
        rows,
    )
    table(
        f"What was found of what was planted, {high:,} records",
        ["rule", "planted", "recall", "precision"],
        quality(project(high)),
    )


def beside_datatrove() -> None:
    """Print the whole of clean beside datatrove, on the same records in the same run."""
    folder = project(PEER_RECORDS)
    source = folder / "data/collect/records.parquet"
    halves = WORK / "halves"
    shutil.rmtree(halves, ignore_errors=True)
    halves.mkdir()
    content = pq.read_table(source, columns=["id", "text"])
    for half in range(2):  # one file a worker, as datatrove divides work by files
        part: pa.Table = content[half * len(content) // 2 : (half + 1) * len(content) // 2]
        pq.write_table(part, halves / f"half-{half}.parquet")
    ours = cleaned(folder, knobs())
    theirs = peer("datatrove", halves / "half-0.parquet")
    table(
        f"Clean beside datatrove: {theirs['seconds'] / ours['seconds']:.1f}× as fast",
        ["", "seconds", "records/s", "peak MB"],
        [
            ["ours, every rule on", f"{ours['seconds']:.1f}",
             f"{PEER_RECORDS / ours['seconds']:,.0f}", f"{ours['peak_mb']:,.0f}"],
            ["datatrove", f"{theirs['seconds']:.1f}",
             f"{PEER_RECORDS / theirs['seconds']:,.0f}", f"{theirs['peak_mb']:,.0f} (largest)"],
        ],
    )  # fmt: skip


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000, help="of the largest run")
    largest = parser.parse_args().records
    WORK.mkdir(parents=True, exist_ok=True)
    sizes = sorted({size for size in (10_000, 100_000, largest) if size <= largest})
    whole(sizes)
    beside_datatrove()
    for count in sorted({min(count, largest) for count in (SLOW_RECORDS, 100_000)}):
        near_duplicates(count)
    from benchmarks import language

    language.main()


if __name__ == "__main__":
    main()
