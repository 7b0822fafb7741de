"""Why a record was dropped: every reason there is, in words."""

from __future__ import annotations

from pipeline.i18n import _

EMPTY = "empty"
TOO_SHORT = "too_short"
TOO_LONG = "too_long"
SYMBOLS = "symbols"
DIGITS = "digits"
REPEATED_LINES = "repeated_lines"
REPEATED_PHRASES = "repeated_phrases"
SHORT_WORDS = "short_words"
LONG_WORDS = "long_words"
NO_STOP_WORDS = "no_stop_words"
LITTLE_HAN = "little_han"
WORD_LIST = "word_list"
LANGUAGE = "language"
LANGUAGE_UNCLEAR = "language_unclear"
PERSONAL_DATA = "personal_data"
CONTRADICTION = "contradiction"
DUPLICATE = "duplicate"
NEAR_DUPLICATE = "near_duplicate"
UNLABELLED = "unlabelled"
MISSING_VALUE = "missing_value"
OUTLIER = "outlier"

REASONS = {
    EMPTY: _("nothing left after cleaning"),
    TOO_SHORT: _("too short"),
    TOO_LONG: _("too long"),
    SYMBOLS: _("mostly symbols"),
    DIGITS: _("mostly digits"),
    REPEATED_LINES: _("repeated lines"),
    REPEATED_PHRASES: _("repeated phrases"),
    SHORT_WORDS: _("oddly short words"),
    LONG_WORDS: _("oddly long words"),
    NO_STOP_WORDS: _("no sentences (stop words)"),
    LITTLE_HAN: _("too few Han characters"),
    WORD_LIST: _("a word of the project's list"),
    LANGUAGE: _("another language"),
    LANGUAGE_UNCLEAR: _("language unclear"),
    PERSONAL_DATA: _("personal data"),
    CONTRADICTION: _("contradicting labels"),
    DUPLICATE: _("duplicate"),
    NEAR_DUPLICATE: _("near-duplicate"),
    UNLABELLED: _("without a label"),
    MISSING_VALUE: _("missing value in a column"),
    OUTLIER: _("outlier in a column"),
}
