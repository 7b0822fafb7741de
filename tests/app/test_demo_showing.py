"""What the page shows, and what a visitor says about it, without Gradio."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as some
from markdown_it import MarkdownIt

from app.service.demo import examples, showing, texts, visits
from app.service.demo.service import Description, Reply, Verdict
from app.service.demo.showing import Reasons, Shown
from app.service.demo.uploads import Uploads
from app.service.errors import NotReady, TooMany
from pipeline.i18n import Message
from pipeline.steps.targets import MULTI, REGRESSION, SINGLE
from tests.app import tiny

HOSTILE = "<script>alert(1)</script> ![](http://evil.example/x) [a](javascript:1) `x` **b** | $$1$$"
MARKDOWN = MarkdownIt("gfm-like", {"html": True, "linkify": False})


def description(task: str = SINGLE, labels: Sequence[str] = ("good", "bad")) -> Description:
    return {
        "name": "mofang", "version": "1.2.0", "date": "2026-01-02T03:04:05+00:00", "task": task,
        "labels": labels, "figures": {"macro_f1": 0.954321}, "limits": {"en": ["No poems."]},
    }  # fmt: skip


class Served:
    """A service that answers always the same and keeps what it is told."""

    def __init__(self, told: Description, reply: Reply) -> None:
        self.told, self.reply = told, reply
        self.said: list[tuple[str, Verdict, str | None, str | None]] = []
        self.refusal: Exception | None = None

    def refuse(self) -> None:
        if self.refusal:
            raise self.refusal

    async def ask(self, texts: Sequence[str], client: str) -> Reply:
        self.refuse()
        return self.reply

    async def explain(self, text: str, label: str, client: str) -> list[tuple[str, float]]:
        self.refuse()
        return [("all ", 0.4), ("is ", 0.001), ("well", -0.2)]

    async def feedback(
        self, request_id: str, verdict: Verdict, label: str | None, reason: str | None
    ) -> None:
        self.refuse()
        self.said.append((request_id, verdict, label, reason))

    def description(self) -> Description:
        self.refuse()
        return self.told

    def examples(self) -> list[tuple[str, str]]:
        return [("all is well", "good"), ("b" * 2_000, "bad")]


GOOD = Reply("0" * 32, "1.2.0", [[("good", 0.9), ("bad", 0.1)]], ["good"])
SEVERAL = Reply("0" * 32, "1.2.0", [[("b", 0.9), ("a", 0.8), ("c", 0.1)]], ["a|b"])
NUMBER = Reply("0" * 32, "1.2.0", [[("value", 3.25)]], ["3.25"])


@pytest.fixture
def steps(tmp_path: Path) -> visits.Visits:
    return visits_of(tmp_path, description(), GOOD)


def visits_of(folder: Path, told: Description, reply: Reply) -> visits.Visits:
    return visits.Visits(Served(told, reply), tiny.serve(), Uploads.open(folder, 10_000))


def asked(steps: visits.Visits, text: str = "all is well", language: str = "en") -> visits.Changes:
    return asyncio.run(steps.asked(text, language, "me"))


def kept(steps: visits.Visits) -> object:
    return asked(steps)["kept"]["value"]


@given(some.text(max_size=200))
@example(HOSTILE)
@example("1. a\n- b\n# c\n> d\n&amp; &#60; \\ http://x.example www.x.example a@b.example")
def test_no_sign_of_a_text_means_anything(text: str) -> None:
    told = showing.plain(text)
    (paragraph, *rest) = [one for one in MARKDOWN.parse(f"x {told}") if one.type == "inline"]
    assert rest == []
    assert {one.type for one in paragraph.children or ()} <= {"text", "text_special"}
    shown = "".join(one.content for one in paragraph.children or ())
    assert shown.split() == ["x", *text.replace("\0", "\ufffd").split()]


def test_an_answer_names_label_share_version_and_truth(steps: visits.Visits) -> None:
    told = asked(steps)["answer"]["value"].replace("\\", "")
    assert "good" in told
    assert "90.0 %" in told
    assert "1.2.0" in told
    assert told.count("good") == 2  # the test data says so too
    assert asked(steps, "another")["answer"]["value"].count("good") == 1


@pytest.mark.parametrize(
    ("share", "told"),
    [(1.0, "100.0 %"), (0.9996, "> 99.9 %"), (0.0004, "< 0.1 %"), (0.0, "0.0 %"), (0.5, "50.0 %")],
)
def test_nothing_is_called_certain_that_is_not(share: float, told: str) -> None:
    assert showing.percent(share).replace("\\", "") == told


def test_several_labels_are_named_and_none_too(tmp_path: Path) -> None:
    steps = visits_of(tmp_path, description(MULTI, ("a", "b", "c")), SEVERAL)
    changes = asked(steps)
    assert "a, b" in changes["answer"]["value"]
    assert list(changes["bars"]["value"]) == ["b", "a", "c"]
    nothing = Reply("0" * 32, "1.2.0", [[("a", 0.1)]], [""])
    steps = visits_of(tmp_path, description(MULTI, ("a",)), nothing)
    assert texts.NO_LABEL.render("en") in asked(steps)["answer"]["value"]


def test_a_number_has_no_bars(tmp_path: Path) -> None:
    changes = asked(visits_of(tmp_path, description(REGRESSION, ()), NUMBER), "another")
    assert "3\\.25" in changes["answer"]["value"]
    assert changes["bars"] == {"value": None, "visible": False}


def test_of_many_labels_some_are_kept_and_the_answer(tmp_path: Path) -> None:
    scores = [(f"l{at}", 1 / (at + 2)) for at in range(100)]
    steps = visits_of(tmp_path, description(), Reply("1", "1.2.0", [scores], ["l99"]))
    bars = asked(steps)["bars"]["value"]
    assert len(bars) == showing.MOST_LABELS + 1
    assert "l99" in bars


def test_words_are_told_and_shaded(steps: visits.Visits) -> None:
    changes = asyncio.run(steps.explained(kept(steps), "en", "me"))
    assert changes["shades"]["value"] == [("all ", 1.0), ("is ", 0.003), ("well", -0.5)]
    told = changes["why"]["value"].replace("\\", "")
    assert "“all”" in told
    assert "50.0 % instead of 90.0 %" in told
    assert "“well”" in told
    assert "“is”" not in told


def test_noise_has_no_colour() -> None:
    one = Shown.model_validate(shown() | {"scores": [("good", 0.999)]})
    noise = Reasons(id=one.id, words=[("a ", 0.001), ("b", -0.002)])
    assert showing.shades(one, noise) == [("a ", 0.0), ("b", 0.0)]
    assert showing.why(one, noise, "en") == texts.NO_WORD.render("en")


def shown(**changes: Any) -> dict[str, Any]:
    return {
        "id": "1", "version": "1.2.0", "task": SINGLE, "text": "a b", "scores": [("good", 0.9)],
        "answer": "good", "expected": None,
    } | changes  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [None, [], "x", 1, {}, shown(scores=[]), shown(other=1), shown(id="1" * 101),
     shown(scores=[("good", float("nan"))]), shown(task=REGRESSION, answer="x"),
     shown(task=REGRESSION, answer="1", expected="inf")],
)  # fmt: skip
def test_what_no_page_has_kept_is_not_read(content: object, steps: visits.Visits) -> None:
    assert showing.read(Shown, content) is None
    assert asyncio.run(steps.explained(content, "en", "me")) == {"why": {"value": ""}}
    told = texts.NO_ANSWER_YET.render("en")
    assert told in asyncio.run(steps.praised(content, "en"))["thanks"]["value"]
    assert told in steps.doubted(content, "en")["thanks"]["value"]
    said = asyncio.run(steps.corrected(content, "good", "", "en"))
    assert told in said["thanks"]["value"]
    assert steps.switched("en", content, content)["title"]


@pytest.mark.parametrize("text", ["", " \n", "\u3000"])
def test_without_a_text_nothing_is_asked(text: str, steps: visits.Visits) -> None:
    changes = asked(steps, text)
    assert texts.NO_TEXT.render("en") in changes["answer"]["value"]
    assert changes["kept"] == {"value": None}


def test_too_long_a_text_is_told_with_its_length(steps: visits.Visits) -> None:
    told = asked(steps, "a" * 1_001)["answer"]["value"]
    assert "1001" in told
    assert "1000" in told


def test_a_busy_service_is_told_in_a_word(steps: visits.Visits) -> None:
    page = kept(steps)
    error = TooMany.at("client", found="f", allowed="a", fix="x")
    error.retry_after = 2.4
    steps.service.refusal = error  # type: ignore[attr-defined]
    told = showing.warned(texts.BUSY, "en", seconds="3")
    assert asked(steps)["answer"]["value"] == told
    assert told in asyncio.run(steps.explained(page, "en", "me"))["why"]["value"]
    assert asyncio.run(steps.praised(page, "en"))["thanks"]["value"] == told
    assert asyncio.run(steps.corrected(page, None, "", "en"))["thanks"]["value"] == told
    assert asyncio.run(steps.labelled(b"text\na\n", "", "en", ""))["summary"]["value"] == told


def test_a_release_with_other_labels_explains_nothing(steps: visits.Visits) -> None:
    page = kept(steps)
    steps.service.refusal = KeyError("good")  # type: ignore[attr-defined]
    told = asyncio.run(steps.explained(page, "en", "me"))["why"]["value"]
    assert texts.OTHER_LABELS.text in told


def test_the_page_opens_without_a_model(steps: visits.Visits) -> None:
    error = NotReady.at("model", found="<b>none</b>", allowed="one", fix="Promote one.")
    steps.service.refusal = error  # type: ignore[attr-defined]
    assert steps.opened("en")["about"]["value"] == texts.NO_MODEL.render("en")
    told = asked(steps)["answer"]["value"]
    assert "Promote one" in told
    assert "<b>" not in told


def test_praise_is_kept_and_acknowledged(steps: visits.Visits) -> None:
    changes = asyncio.run(steps.praised(kept(steps), "en"))
    assert steps.service.said == [("0" * 32, "up", None, None)]  # type: ignore[attr-defined]
    assert "00000000" in changes["thanks"]["value"]
    assert changes["right"] == changes["wrong"] == {"interactive": False}


def test_a_correction_is_kept_and_acknowledged(steps: visits.Visits) -> None:
    page = kept(steps)
    assert steps.doubted(page, "en")["correction"] == {"visible": True}
    changes = asyncio.run(steps.corrected(page, "bad", "  because ", "en"))
    said = [("0" * 32, "down", "bad", "because")]
    assert steps.service.said == said  # type: ignore[attr-defined]
    assert "00000000" in changes["thanks"]["value"]
    assert changes["correction"] == {"visible": False}


def test_a_reason_has_a_length(steps: visits.Visits) -> None:
    changes = asyncio.run(steps.corrected(kept(steps), "bad", "a" * 1_001, "en"))
    assert "1000" in changes["thanks"]["value"]
    assert steps.service.said == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("given", "task", "labels", "label"),
    [
        (None, SINGLE, ["a"], None),
        ("", REGRESSION, [], None),
        ([], MULTI, ["a"], None),
        ("a", SINGLE, ["a", "b"], "a"),
        ("c", SINGLE, ["a", "b"], texts.NOT_A_LABEL),
        (["b", "a"], MULTI, ["a", "b"], "a|b"),
        ([""], MULTI, ["a", "b"], ""),
        (["b", ""], MULTI, ["a", "b"], "b"),
        (["c"], MULTI, ["a", "b"], texts.NOT_A_LABEL),
        (" 3,5", REGRESSION, [], texts.NOT_A_NUMBER),
        ("inf", REGRESSION, [], texts.NOT_A_NUMBER),
        (" 3.50 ", REGRESSION, [], "3.5"),
        (7, REGRESSION, [], "7.0"),
    ],
)
def test_what_is_called_right_is_written_as_records_have_it(
    given: object, task: str, labels: list[str], label: str | Message | None
) -> None:
    assert visits.label_of(given, task, labels) == label


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    told = description(SINGLE, (HOSTILE, "bad"))
    told["limits"], told["figures"] = {"en": [HOSTILE]}, {HOSTILE: 1.0}
    reply = Reply(HOSTILE, HOSTILE, [[(HOSTILE, 1.0)]], [HOSTILE])
    steps = visits_of(tmp_path, told, reply)
    for changes in (
        asked(steps),
        steps.opened("en"),
        asyncio.run(steps.praised(kept(steps), "en")),
    ):
        for name in ("answer", "about", "thanks", "why"):
            written = changes.get(name, {}).get("value", "")
            tokens = [inner for one in MARKDOWN.parse(written) for inner in one.children or ()]
            kinds = {one.type for one in tokens} - {"strong_open", "strong_close", "softbreak"}
            assert kinds <= {"text", "text_special"}


def test_the_model_is_described(steps: visits.Visits) -> None:
    told = steps.opened("en")["about"]["value"].replace("\\", "")
    for part in ("1.2.0", "2026-01-02", "good, bad", "macro_f1", "0.9543", "No poems."):
        assert part in told
    assert "No poems" not in steps.opened("zh")["about"]["value"]  # it has no word in Chinese


def test_examples_fit_and_can_be_picked(steps: visits.Visits) -> None:
    assert steps.opened("en")["examples"]["samples"] == [["all is well", "good"]]
    assert steps.picked(0) == {"text": {"value": "all is well"}}
    for place in (1, -1, None, "0", 0.0):
        assert steps.picked(place) == {"text": {}}


def test_a_long_example_is_shortened_where_it_is_listed() -> None:
    ((shown, label),) = examples.rows([("word " * 100, "a|b")])
    assert len(shown) == examples.LONGEST
    assert shown.endswith("…")
    assert label == "a, b"


def test_the_page_has_the_same_parts_in_both_languages(steps: visits.Visits) -> None:
    english, chinese = steps.words("en"), steps.words("zh")
    assert {name: sorted(one) for name, one in english.items()} == {
        name: sorted(one) for name, one in chinese.items()
    }
    assert all(value for change in english.values() for value in change.values())


def test_another_language_takes_the_answer_along(steps: visits.Visits) -> None:
    page = kept(steps)
    reasons = asyncio.run(steps.explained(page, "en", "me"))["reasons"]["value"]
    changes = steps.switched("en", page, reasons)
    assert changes["answer"] == asked(steps)["answer"]
    assert "all" in changes["why"]["value"]
    other = steps.switched("en", page, {**reasons, "id": "of another answer"})
    assert "why" not in other


def test_a_table_is_answered(steps: visits.Visits) -> None:
    content = b"id,text\n1,all is well\n2,\n"
    changes = asyncio.run(steps.labelled(content, "text", "en", "me"))
    path = Path(changes["answers"]["value"])
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    assert lines[0] == '"id","text","answer","confidence","model","problem"'
    assert lines[1] == '"1","all is well","good","0.9000","1.2.0",""'
    assert lines[2].startswith('"2","","","","","text: found an empty text')
    assert "1 of 2" in changes["summary"]["value"]
    assert "problem" in changes["summary"]["value"]


@pytest.mark.parametrize(
    ("content", "told"), [(None, "choose a CSV"), (b"a,b\n1,2\n", "a, b"), (b"\0", "not text")]
)
def test_a_table_that_cannot_be_answered_is_told(
    content: bytes | None, told: str, steps: visits.Visits
) -> None:
    changes = asyncio.run(steps.labelled(content, "text", "en", "me"))
    assert told in changes["summary"]["value"].replace("\\", "")
    assert "answers" not in changes


def test_no_table_is_written_where_there_is_no_room(tmp_path: Path) -> None:
    steps = visits_of(tmp_path, description(), GOOD)
    steps.uploads.write("a.csv", b"a" * 10_000)
    changes = asyncio.run(steps.labelled(b"text\na\n", "text", "en", "me"))
    assert changes == {"summary": {"value": showing.warned(texts.NO_ROOM, "en")}}
