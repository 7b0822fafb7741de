"""The kinds of sources that are files, tables or data sets; ``web`` holds the one that is not."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.schema.knob import Section, contradiction, knob
from pipeline.schema.origin import COMMIT, INSIDE, REPOSITORY, Columns, PackageOrigin, Reader

BELOW_RAW = r"^data/raw/" + INSIDE
ENVIRONMENT = r"^[A-Z][A-Z0-9_]*$"


class Stated(Section):
    """What every source states about itself."""

    name: str = knob(
        "Name",
        "How reports call this source.",
        pattern=r"^[a-z0-9][a-z0-9_-]*$",
        max_length=40,
    )
    licence: str = knob(
        "Licence",
        "Under which terms the data may be used: an SPDX name or a sentence.",
        min_length=1,
        max_length=300,
    )
    permitted_use: str = knob(
        "Permitted use",
        "What the data may be used for: research, internal, commercial, …",
        min_length=1,
        max_length=300,
    )
    personal_data: bool = knob(
        "Personal data", "Whether the records speak of people who can be recognized."
    )
    required: bool = knob(
        "Required",
        "When a required source fails, the stage fails; an optional one is listed as missing.",
    )
    label: str | None = knob(
        "One label for all",
        "Every record of this source gets it; null takes what the reader finds.",
        level="advanced",
        min_length=1,
        max_length=200,
    )
    limit: int | None = knob(
        "At most",
        "Take only so many records; null takes all.",
        unit="records",
        level="advanced",
        ge=1,
        le=100_000_000,
    )
    sample: Literal["first", "random"] = knob(
        "Which ones",
        "When limit is set: the first records, or a random sample by collect.seed.",
        level="advanced",
    )


class FileSource(Stated):
    """Files of the project."""

    kind: Literal["file"] = knob("Kind", "Files that lie in the project.")
    path: str = knob(
        "Files",
        "A file, a folder, an archive (zip, tar, gz) or a pattern such as data/raw/*.csv.",
        pattern=BELOW_RAW,
        max_length=400,
    )
    reader: Reader = knob("Reader", "How the file becomes records.")


class PackageSource(Stated, PackageOrigin):
    """Data files that a package of the index carries."""

    reader: Reader = knob("Reader", "How the file becomes records.")


class Chunks(Section):
    """How a document becomes several records."""

    size: int | None = knob(
        "Size",
        "Characters a record, cut between paragraphs or sentences; null keeps documents whole.",
        unit="characters",
        ge=50,
        le=1_000_000,
    )
    overlap: int = knob(
        "Overlap",
        "So many characters stand at the end of one record and the start of the next.",
        unit="characters",
        ge=0,
        le=100_000,
    )

    @model_validator(mode="after")
    def overlap_below_size(self) -> Chunks:
        """A record has to bring something new."""
        if self.size is not None and self.overlap * 2 > self.size:
            raise contradiction("an overlap above half of size")
        return self


class DocumentsSource(Stated):
    """Documents of the project."""

    kind: Literal["documents"] = knob("Kind", "html, pdf, docx, md and txt documents.")
    path: str = knob(
        "Documents",
        "A file, a folder or a pattern such as data/raw/manuals/*.pdf.",
        pattern=BELOW_RAW,
        max_length=400,
    )
    label_by: Literal["none", "folder"] = knob(
        "Label", "folder: the name of the folder that a document lies in is its label."
    )
    chunks: Chunks = knob("Chunks", "One record a document, or one a chunk.")


class SqlQuery(Section):
    """A query to a database."""

    url_from: str = knob(
        "Address from",
        "The environment variable that holds the database's SQLAlchemy URL; never the URL itself.",
        pattern=ENVIRONMENT,
        max_length=100,
    )
    query: str = knob("Query", "One SELECT; it cannot write.", min_length=1, max_length=10_000)
    batch: int = knob(
        "Batch",
        "Rows that are fetched at a time.",
        unit="rows",
        level="advanced",
        ge=1,
        le=100_000,
    )
    columns: Columns = knob("Columns", "Which column of the answer is what.")


class SqlSource(Stated, SqlQuery):
    """The answer to a database query."""

    kind: Literal["sql"] = knob("Kind", "A query to a database.")


class HubSource(Stated):
    """A data set of a hub, at one exact commit."""

    kind: Literal["hub"] = knob("Kind", "A data set of the Hugging Face hub. Needs network access.")
    dataset: str = knob(
        "Data set", "Owner and name, as in SetFit/TREC-QC.", pattern=REPOSITORY, max_length=200
    )
    revision: str = knob(
        "Commit",
        "The full commit hash. A branch or a tag can change under you, so they are refused.",
        pattern=COMMIT,
        max_length=40,
    )
    configuration: str | None = knob(
        "Configuration", "Of a data set that has several.", pattern=r"^[\w.-]+$", max_length=100
    )
    part: str = knob("Part", "As in train or test.", pattern=r"^[\w.-]+$", max_length=100)
    columns: Columns = knob("Columns", "Which column of the data set is what.")


class DatasetsSource(Stated):
    """A folder of the library datasets."""

    kind: Literal["datasets"] = knob("Kind", "A folder that datasets' save_to_disk wrote.")
    path: str = knob("Folder", "Below data/raw.", pattern=BELOW_RAW, max_length=400)
    part: str | None = knob(
        "Part",
        "As in train or test; null where the folder holds one.",
        pattern=r"^[\w.-]+$",
        max_length=100,
    )
    columns: Columns = knob("Columns", "Which column of the data set is what.")


class FolderFeed(Section):
    """A folder in which files appear and grow."""

    kind: Literal["folder"] = knob("Kind", "A folder in which files appear and grow.")
    path: str = knob(
        "Files", "A pattern such as data/raw/inbox/*.jsonl.", pattern=BELOW_RAW, max_length=400
    )
    reader: Reader = knob("Reader", "How the files become records.")


class SqlFeed(SqlQuery):
    """A table that grows."""

    kind: Literal["sql"] = knob("Kind", "A table that grows.")
    watermark: str = knob(
        "Watermark",
        "The column that only grows. The query compares it with :watermark, as in "
        "WHERE id > :watermark ORDER BY id.",
        pattern=r"^\w+$",
        max_length=100,
    )
    start: str = knob("Start", "The first run's :watermark, as in 0 or 2026-01-01.", max_length=100)


class StreamSource(Stated):
    """What grows between runs: each run takes only what is new."""

    kind: Literal["stream"] = knob("Kind", "A folder or a table that grows between runs.")
    feed: Annotated[FolderFeed | SqlFeed, Field(discriminator="kind")] = knob(
        "Feed", "Where new records appear."
    )
    keep_snapshots: int | None = knob(
        "Keep at most",
        "The newest so many snapshots in data/snapshots; older ones are deleted. null keeps all.",
        unit="snapshots",
        ge=1,
        le=100_000,
    )
    keep_days: int | None = knob(
        "Keep for",
        "Snapshots older than this are deleted; null keeps all.",
        unit="days",
        ge=1,
        le=36_500,
    )
