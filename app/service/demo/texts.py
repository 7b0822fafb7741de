"""Everything that the page says, in English; the catalogue has it in Chinese.

A percentage and a number arrive here as text, so that both languages show them alike.
"""

from __future__ import annotations

from pipeline.i18n import _

LANGUAGE = _("Language")

# Trying the model
TITLE = _("Try the model {name}")
INTRODUCTION = _(
    "Write or paste a text and see what the model answers. It can be wrong: tell it when it is."
)
ONE_TEXT = _("One text")
TEXT = _("Text")
TEXT_HELP = _("Up to {characters} characters; Shift+Enter asks too")
ASK = _("Ask the model")
EXAMPLES = _("Examples from the test data; the model has not learnt from them")
EXAMPLE_TEXT = _("Text")
EXAMPLE_LABEL = _("Right answer")
ANSWER = _("Answer: {answer}")
ANSWER_SURE = _("Answer: {answer} ({share})")
NO_LABEL = _("none of the labels")
BARS = _("How probable the model finds each label")
EXPECTED = _("The test data says: {label}")
ANSWERED_BY = _("Answered by release {version}")
WORDS = _("Which words decided")
LOOKING = _("Looking for the words that decided …")
WITHOUT = _("Without “{word}” the probability of {label} would be {after} instead of {before}.")
WITHOUT_NUMBER = _("Without “{word}” the answer would be {after} instead of {before}.")
NO_WORD = _("No word alone decides: without any one of them the answer stays nearly the same.")
NO_WHY = _("Which words decided cannot be told now: {reason}")
OTHER_LABELS = _("a release with other labels answers now")
SHADES = _("Red words speak for the answer, violet ones against it; strong shades matter more.")

# Feedback
IS_IT_RIGHT = _("Is the answer right?")
RIGHT = _("👍 Right")
WRONG = _("👎 Wrong")
RIGHT_ANSWER = _("What would be right")
REASON = _("Why, if you like")
REASON_HELP = _("Up to {characters} characters; please no names and no addresses")
SEND = _("Send")
THANKS = _("Thank you. Your feedback on request {request} has arrived.")
NOT_A_NUMBER = _("Please write a number as the right answer, or leave it empty.")
NOT_A_LABEL = _("Please choose the right answer from the list, or leave it empty.")
REASON_TOO_LONG = _("Please shorten the reason to {characters} characters.")

# Many texts
MANY_TEXTS = _("Many texts")
FILE = _("CSV file, up to {size} kB and {rows} rows")
COLUMN = _("Column that holds the texts")
LABEL_FILE = _("Answer every row")
ANSWERS = _("The same table with the answers")
DONE = _("Answered {answered} of {rows} rows (file read as {encoding}).")
LEFT_OUT = _("Why a row has no answer stands in its column “{column}”.")
DELETED = _("Files are deleted after {minutes} minutes.")
NO_ROOM = _("Too many files are there at the moment. Please try again in a minute.")
NO_FILE = _("Please choose a CSV file first.")

# About the model
ABOUT = _("About this model")
VERSION = _("Release {version} of {date}")
TASK = _("Task: {task}")
TASKS = {
    "single_label": _("one label for each text"),
    "multi_label": _("any number of labels for each text"),
    "regression": _("a number for each text"),
}
LABELS = _("Labels: {labels}")
FIGURES = _("Measured on texts that the model had not seen:")
FIGURE = _("Figure")
VALUE = _("Value")
LIMITS = _("Limits:")
PRIVACY = _(
    "What you send is answered on this machine and goes nowhere else. The operator decides what "
    "the log keeps of it."
)

# When something is wrong
NO_TEXT = _("Please write a text first.")
TOO_LONG = _("The text has {count} characters; please shorten it to {limit}.")
BUSY = _("Too much is asked at the moment. Please try again in {seconds} seconds.")
NO_ANSWER_YET = _("Please ask the model first.")
NO_MODEL = _("No model is served at the moment.")
