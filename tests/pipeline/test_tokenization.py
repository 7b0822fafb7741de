"""Tokenizers learnt from texts: three algorithms, every family, the same in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.modeling import tokenization
from tests.helpers import ROOT
from tests.pipeline.small import FAMILIES

ALGORITHMS = ["wordpiece", "bpe", "unigram"]
ENGLISH = [
    f"{start} {what} {when}"
    for start in ("where is", "I want", "please change", "who lost")
    for what in ("my parcel", "a refund", "the password", "an invoice", "the order")
    for when in ("today", "tomorrow", "at once")
]
CHINESE = [
    f"{start}{what}{when}"
    for start in ("请问", "我想查", "麻烦改一下", "谁丢了")
    for what in ("我的包裹", "退款", "密码", "发票", "订单")
    for when in ("今天", "明天", "马上")
]
TEXTS = ENGLISH + CHINESE


def knobs(algorithm: str, **others: Any) -> Any:
    values = {"vocabulary": 400, "min_frequency": 1, "lowercase": True}
    return SimpleNamespace(algorithm=algorithm, **(values | others))


def learnt(algorithm: str, family: tuple[str, str] = FAMILIES[0], **others: Any) -> Any:
    framing = tokenization.signs(*family)
    return tokenization.train(TEXTS, knobs(algorithm, **others), framing, max_tokens=16)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_english_and_chinese_are_known(algorithm: str) -> None:
    tokenizer = learnt(algorithm)
    for text in ("where is my parcel today", "请问我的包裹今天"):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        spaceless = tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "")
        assert spaceless == text.replace(" ", "")
    assert len(tokenizer) <= 400


def test_what_each_algorithm_does_with_words() -> None:
    assert learnt("wordpiece").tokenize("我的包裹 today") == ["我", "的", "包", "裹", "today"]
    assert learnt("bpe", vocabulary=600).tokenize("the password") == ["Ġthe", "Ġpassword"]
    unigram = learnt("unigram").tokenize("the password")
    assert "".join(unigram) == "▁the▁password"
    assert len(learnt("unigram").tokenize("请问我的包裹马上")) < 8, "several characters in one"


def test_bytes_know_every_character() -> None:
    tokenizer = learnt("bpe")
    ids = tokenizer("🙂 Ω")["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True).strip() == "🙂 ω"
    assert learnt("unigram")("Ω")["input_ids"].count(learnt("unigram").unk_token_id) == 1


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_capital_letters(algorithm: str) -> None:
    assert learnt(algorithm).tokenize("PARCEL") == learnt(algorithm).tokenize("parcel")
    strict = learnt(algorithm, lowercase=False)
    assert strict.tokenize("PARCEL") != strict.tokenize("parcel")


@pytest.mark.parametrize("algorithm", ["wordpiece", "bpe"])
def test_rare_pieces_are_not_learnt(algorithm: str) -> None:
    """``parcel`` stands there 12 times, ``wherever`` only once, and nothing else has its end."""
    framing = tokenization.signs("encoder", "learned")

    def pieces(least: int) -> list[str]:
        section = knobs(algorithm, min_frequency=least, vocabulary=600)
        found = tokenization.learn([*TEXTS, "wherever"], section, framing)
        return [piece.strip("Ġ#") for piece in found.get_vocab()]

    assert {"parcel", "wherever"} <= set(pieces(1))
    assert "parcel" in pieces(2)
    assert "wherever" not in pieces(2)
    assert "parcel" not in pieces(13)


def test_rare_pieces_of_unigram_are_taken_out_again() -> None:
    """Its library knows no such bound, so pieces are counted in what it makes of the texts."""
    framing = tokenization.signs("encoder", "learned")
    every, frequent = (
        tokenization.learn(TEXTS, knobs("unigram", min_frequency=least), framing)
        for least in (1, 13)
    )
    used = [piece for one in every.encode_batch(TEXTS) for piece in one.tokens]
    kept = {piece for piece in every.get_vocab() if used.count(piece) >= 13}
    assert len(kept) < every.get_vocab_size() / 2
    assert set(frequent.get_vocab()) == kept | set(framing.all)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("family", FAMILIES)
def test_plain_transformers_loads_it(
    tmp_path: Path, algorithm: str, family: tuple[str, str]
) -> None:
    from transformers import AutoTokenizer

    tokenizer = learnt(algorithm, family)
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.is_fast
    for text in ("where is my parcel", "请问", "", "the </s> [SEP] <pad> sign", "long " * 50):
        ids = tokenizer(text, truncation=True)["input_ids"]
        assert loaded(text, truncation=True)["input_ids"] == ids
        assert len(ids) <= 16
        first, last = tokenizer.convert_ids_to_tokens([ids[0], ids[-1]])
        signs = {one: ids.count(one) for one in tokenizer.all_special_ids}
        if family[0] == "encoder":
            assert (first, last) == ("[CLS]", "[SEP]")
            assert signs[tokenizer.sep_token_id] == 1
        else:
            assert last == "</s>"
            assert (first == "<s>") == (family == ("encoder_decoder", "learned"))
            assert signs[tokenizer.eos_token_id] == 1, "a text that speaks of it does not end"
        assert signs[tokenizer.pad_token_id] == 0
    batch = loaded(["where", "where is my parcel"], padding=True)
    assert set(batch) == {"input_ids", "attention_mask"}
    assert batch["input_ids"][0][-1] == loaded.pad_token_id


def test_pieces_are_the_same_in_every_process() -> None:
    """Other hash seeds and numbers of threads; equal frequencies give many ties."""
    program = (
        "import hashlib, random\n"
        "from pipeline.modeling import tokenization\n"
        "from tests.pipeline.test_tokenization import ALGORITHMS, TEXTS, knobs\n"
        "choose = random.Random(1).choice\n"
        "made = [''.join(choose('abcdefghij') for _ in range(6)) for _ in range(300)] * 2\n"
        "framing = tokenization.signs('encoder', 'learned')\n"
        "for one in ALGORITHMS:\n"
        "    found = tokenization.learn(TEXTS + made, knobs(one), framing)\n"
        "    whole = hashlib.sha256(found.to_str().encode()).hexdigest()\n"
        "    print(one, found.get_vocab_size(), whole)\n"
    )
    printed = []
    for number in ("1", "2", "3"):
        environment = os.environ | {
            "PYTHONHASHSEED": number,
            "RAYON_NUM_THREADS": number,
            "TOKENIZERS_PARALLELISM": "false" if number == "1" else "true",
        }
        printed.append(
            subprocess.run(
                [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True,
                check=True, env=environment,
            ).stdout
        )  # fmt: skip
    assert printed[0].count("400") >= 3
    assert len(set(printed)) == 1
