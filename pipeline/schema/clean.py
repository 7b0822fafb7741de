"""Section ``clean``: how texts are written, which stay, and what becomes of the columns beside."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.schema.columns import Column, Derived
from pipeline.schema.knob import Section, contradiction, knob

Treatment = Literal["keep", "remove", "mask"]
Handling = Literal["keep", "mask", "drop"]
Phrase = Annotated[str, Field(min_length=1, max_length=1_000)]
LANGUAGE = r"^[a-z]{2,3}$"


class Normalize(Section):
    """How a text is written before anything else sees it; travels with the model."""

    repair: bool = knob("Repair encoding", "Mends text that was decoded wrongly (Ã© → é).")
    html: bool = knob("Strip HTML", "Takes out tags and decodes entities.")
    unicode: bool = knob(
        "Unify characters", "Unicode NFKC: full-width to half-width, ligatures, composed accents."
    )
    width: bool = knob(
        "Unify width",
        "Full-width letters, digits and signs to half-width, half-width kana to full-width, and "
        "nothing else; unicode does this too.",
        level="advanced",
    )
    simplified: bool = knob("Simplified Chinese", "Traditional to simplified characters.")
    urls: Treatment = knob("Web addresses", "keep, remove, or mask as [URL].")
    emails: Treatment = knob("E-mail addresses", "keep, remove, or mask as [EMAIL].")
    control: bool = knob(
        "Drop control characters", "Takes out control and invisible formatting characters."
    )
    white_space: bool = knob("Tidy white space", "One space between words, none at the ends.")


class Length(Section):
    """How long a text is."""

    enabled: bool = knob("Switch", "Drops texts that are too short or too long.")
    min_characters: int = knob(
        "Shortest text", "Shorter ones are dropped.", unit="characters", ge=1, le=1_000
    )
    max_characters: int = knob(
        "Longest text",
        "Longer ones are dropped; the model reads init.max_tokens of what stays.",
        unit="characters",
        ge=1,
        le=1_000_000,
    )

    @model_validator(mode="after")
    def bounds_in_order(self) -> Length:
        """An empty range would drop every record."""
        if self.min_characters > self.max_characters:
            raise contradiction("min_characters above max_characters")
        return self


class Symbols(Section):
    """What a text is made of."""

    enabled: bool = knob("Switch", "Drops texts that are mostly symbols or digits.")
    max_symbols: float = knob(
        "Symbols at most",
        "Share of characters that are neither letter, digit, mark nor space.",
        unit="share",
        ge=0,
        le=1,
    )
    max_digits: float = knob(
        "Digits at most", "Share of characters that are digits.", unit="share", ge=0, le=1
    )


class Repetition(Section):
    """How often a text says the same again."""

    enabled: bool = knob("Switch", "Drops texts that repeat themselves.")
    max_lines: float = knob(
        "Repeated lines at most",
        "Share of lines that stood there before.",
        unit="share",
        ge=0,
        le=1,
    )
    ngram: int = knob(
        "Words in a row",
        "How many words (Chinese: characters) make a phrase that counts when it comes again.",
        unit="words",
        level="advanced",
        ge=1,
        le=20,
    )
    max_ngrams: float = knob(
        "Repeated phrases at most",
        "Share of phrases that stood there before.",
        unit="share",
        ge=0,
        le=1,
    )


class Words(Section):
    """How long words are; texts without spaces between words are passed over."""

    enabled: bool = knob("Switch", "Drops texts whose words are oddly short or long.")
    min_mean: float = knob(
        "Mean length at least", "Of all words.", unit="characters", ge=0, le=1_000
    )
    max_mean: float = knob(
        "Mean length at most", "Of all words.", unit="characters", gt=0, le=1_000
    )


class Wording(Section):
    """Whether a text reads like language."""

    enabled: bool = knob("Switch", "Drops lists, code and key words, which hold no sentences.")
    min_stop_words: int = knob(
        "Stop words at least",
        "In texts of Latin letters: the, of, and, …",
        unit="words",
        ge=0,
        le=100,
    )
    min_han: float = knob(
        "Han characters at least",
        "In texts with Han characters: their share of all but spaces.",
        unit="share",
        ge=0,
        le=1,
    )


class Language(Section):
    """Which languages stay."""

    enabled: bool = knob("Switch", "Drops texts in other languages.")
    allowed: list[Annotated[str, Field(pattern=LANGUAGE, max_length=3)]] = knob(
        "Languages", "ISO 639 codes, as in [en, zh].", min_length=1, max_length=100
    )
    min_confidence: float = knob(
        "Sure at least",
        "A text whose language is less sure than this is dropped as unclear; 0 keeps those that "
        "may be in an allowed language.",
        unit="share",
        ge=0,
        le=1,
    )


class Boilerplate(Section):
    """Lines that say nothing about the text they stand in."""

    enabled: bool = knob(
        "Switch", "Takes out lines such as “Share this” and “All rights reserved”."
    )
    phrases: list[Phrase] = knob(
        "Phrases", "A line that holds one of them and little else goes.", max_length=1_000
    )


class WordList(Section):
    """Words that the project does not want."""

    enabled: bool = knob("Switch", "Drops texts with a word of the list.")
    words: list[Phrase] = knob("Words", "Case does not matter.", max_length=10_000)


class Quality(Section):
    """What a text needs to be worth learning from."""

    length: Length = knob("Length", "How long a text is.")
    symbols: Symbols = knob("Symbols", "What a text is made of.")
    repetition: Repetition = knob("Repetition", "How often a text says the same again.")
    words: Words = knob("Words", "How long words are.")
    wording: Wording = knob("Wording", "Whether a text reads like language.")
    language: Language = knob("Language", "Which languages stay.")
    boilerplate: Boilerplate = knob("Boilerplate", "Lines that say nothing.")
    word_list: WordList = knob("Word list", "Words that the project does not want.")


class Near(Section):
    """Texts that are almost the same."""

    enabled: bool = knob(
        "Switch",
        "Finds them (MinHash); split keeps them on one side even when they are not dropped.",
    )
    drop: bool = knob("Drop", "Keeps one record of each cluster.")
    threshold: float = knob(
        "Alike at least",
        "Share of common shingles (Jaccard) from which texts count as the same.",
        unit="share",
        ge=0.5,
        le=0.99,
    )
    shingle: Literal["character", "word"] = knob(
        "Shingle",
        "What is compared: characters in a row (any language), or words in a row (long texts "
        "with spaces).",
    )
    size: int = knob("Shingle size", "Characters or words in a row.", level="advanced", ge=1, le=20)
    keep: Literal["first", "longest", "newest"] = knob(
        "Keep", "Which record of a cluster stays; a labelled one goes before one without label."
    )
    seed: int = knob("Seed", "Of the hashes.", level="advanced", ge=0, le=2**31 - 1)


class Duplicates(Section):
    """Texts that stand there several times."""

    exact: bool = knob(
        "Drop duplicates",
        "Of records with the same text and label only the first stays; case and spacing do not "
        "matter.",
    )
    contradictions: bool = knob(
        "Drop contradictions",
        "Drops all records whose text stands there with several labels. Turn it off for ratings: "
        "people seldom give the same number.",
    )
    near: Near = knob("Near-duplicates", "Texts that are almost the same.")


class PersonalData(Section):
    """What tells who somebody is. What is masked here is masked in serving too."""

    email: Handling = knob("E-mail", "keep, mask as [EMAIL], or drop the record.")
    phone: Handling = knob("Phone number", "keep, mask as [PHONE], or drop the record.")
    identity_card: Handling = knob(
        "Chinese identity card", "With a right checksum: keep, mask as [ID], or drop the record."
    )
    bank_card: Handling = knob(
        "Bank card", "With a right checksum: keep, mask as [CARD], or drop the record."
    )
    ip: Handling = knob("IP address", "keep, mask as [IP], or drop the record.")
    region: str = knob(
        "Region",
        "Where phone numbers without a country code belong, as in CN or US.",
        level="advanced",
        pattern=r"^[A-Z]{2}$",
        max_length=2,
    )


class Clean(Section):
    """Which texts stay."""

    normalize: Normalize = knob("Normalization", "The same for training and for serving.")
    quality: Quality = knob("Quality", "What a text needs to be worth learning from.")
    duplicates: Duplicates = knob("Duplicates", "Texts that stand there several times.")
    personal_data: PersonalData = knob("Personal data", "What tells who somebody is.")
    columns: list[Column] = knob(
        "Columns beside the text",
        "Numbers and categories for slices and baselines. What has to be fitted is fitted on the "
        "training part, in split.",
        level="advanced",
        max_length=50,
    )
    derived: list[Derived] = knob(
        "Derived columns", "New columns from the text or another column.", level="advanced",
        max_length=50,
    )  # fmt: skip
    samples: int = knob(
        "Samples",
        "How many texts before and after are shown for each step and each reason.",
        unit="texts",
        level="advanced",
        ge=0,
        le=1_000,
    )

    @model_validator(mode="after")
    def columns_differ(self) -> Clean:
        """Two recipes for one column would contradict each other."""
        names = [one.name for one in self.columns] + [one.name for one in self.derived]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise contradiction("the column {names} twice", names=", ".join(twice))
        return self
