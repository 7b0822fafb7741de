"""Personal data: found where it is, not where it only looks so; masks leave nothing behind."""

from __future__ import annotations

import time
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.planted import KINDS, Planted, planted, value
from pipeline.steps import reasons
from pipeline.steps.personal import MASKS, Found, checks, find, luhn, mask, treat

HANDLING = {"email": "keep", "phone": "keep", "identity_card": "keep", "bank_card": "keep"} | {
    "ip": "keep",
    "region": "CN",
}
PIECES = st.lists(
    st.one_of(
        st.sampled_from([*"0123456789.:-+@() ,", "电话", "order ", "元", "::", "a.cn", "1.2.3.4"]),
        st.builds(
            lambda seed, kind: value(Random(seed), kind, "CN"),
            st.integers(0, 500),
            st.sampled_from(KINDS),
        ),
        st.text(max_size=3),
    ),
    max_size=12,
).map("".join)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("我的邮箱zhang.san@qq.com谢谢", "我的邮箱[EMAIL]谢谢"),
        ("Write to A.B+c@mail.Example.co.uk.", "Write to [EMAIL]."),
        ("邮箱：zhang＠qq．com。", "邮箱：[EMAIL]。"),
        ("手机13812345678,微信同号", "手机[PHONE],微信同号"),
        ("13812345678/13987654321", "[PHONE]/[PHONE]"),
        ("2026-11-23 138 1234 5678转2", "2026-11-23 [PHONE]转2"),
        ("(010)62345678 或 +86 10 6234 5678", "[PHONE] 或 [PHONE]"),
        ("tel13812345678", "tel[PHONE]"),
        ("请拨打4008206666 人工客服", "请拨打[PHONE] 人工客服"),
        ("订单已付款，联系我13812345678", "订单已付款，联系我[PHONE]"),
        ("１３８１２３４５６７８", "[PHONE]"),
        ("身份证11010519491231002x，谢谢", "身份证[ID]，谢谢"),
        ("110105 19491231 002X", "[ID]"),
        ("zhang@qq.com 13812345678", "[EMAIL] [PHONE]"),
        ("卡4111 1111 1111 1111 09/28", "卡[CARD] 09/28"),
        ("4111-1111-1111-1111, 378282246310005", "[CARD], [CARD]"),
        ("http://192.168.0.1:8080/a 从2001:db8::1", "http://[IP]:8080/a 从[IP]"),
        ("登录IP:fe80::1ff:fe23:4567:890a", "登录IP:[IP]"),
    ],
)
def test_found(text: str, expected: str) -> None:
    assert mask(text, kinds=KINDS, region="CN") == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "2026-11-23", "23.11.2026", "20261123", "2026-11-23 10:20:30", "09:00-18:00",
        "订单号13812345678", "订单编号：202611231234567890", "快递单号 SF1234567890123",
        "order #112-3456789-0123456", "tracking 9400111899223456789012", "¥13812345678",
        "13800000000元", "1,234,567,890", "3.1415926535", "31.2304167, 121.4737021",
        "ISBN 978-7-302-12345-6", "7-302-12345-6", "QQ: 2153456789", "1700000000",
        "v1.2.3.4", "version 1.2.3.4", "版本 1.2.3.4", "1.2.3", "1.2.3.4.5", "256.1.1.1",
        "0.0.0.1", "10:20:30", "std::vector", "x[1::2]", "00:1A:2B:3C:4D:5E", "@张三", "a@b",
        "icon@2x.png", "package@1.2.3", "110105194912310021", "11010519491331002X",
        "4111111111111112", "A4111111111111111",
    ],
)  # fmt: skip
def test_not_found(text: str) -> None:
    assert find(text, kinds=KINDS, region="CN") == []


def test_regions_have_their_own_numbers() -> None:
    texts = {"US": "(415) 555-2671", "CN": "13812345678", "GB": "07911 123456"}
    for home, text in texts.items():
        for region in texts:
            found = find(text, kinds=["phone"], region=region)
            assert found == ([Found("phone", 0, len(text))] if region == home else [])
    abroad = find("+44 7911 123456", kinds=["phone"], region="CN")
    assert abroad == [Found("phone", 0, 15)]


def test_a_kept_kind_is_not_masked_as_another() -> None:
    card = next(
        text
        for text in (value(Random(seed), "identity_card", "CN") for seed in range(10_000))
        if text.isdigit() and text[:2] in ("35", "62", "65") and luhn(text)
    )
    assert mask(card, kinds=["bank_card", "phone"], region="CN") == card
    assert mask(card, kinds=["identity_card"], region="CN") == "[ID]"


@pytest.mark.parametrize("region", ["CN", "US"])
def test_recall_and_precision_on_planted_texts(region: str) -> None:
    random = Random(11)
    texts: list[Planted] = [planted(random, region) for _number in range(4_000)]
    there = Counter(one.kind for one in texts)
    found, right = Counter[str](), Counter[str]()
    for one in texts:
        for hit in find(one.text, kinds=KINDS, region=region):
            found[hit.kind] += 1
            right[hit.kind] += (hit.kind, hit.start, hit.end) == (one.kind, one.start, one.end)
    for kind in KINDS:
        assert there[kind] > 300
        assert right[kind] / there[kind] >= 0.99, (kind, "recall")
        assert right[kind] / found[kind] >= 0.93, (kind, "precision")


@settings(max_examples=300, deadline=None)
@given(PIECES, st.sets(st.sampled_from(KINDS), min_size=1), st.sampled_from(["CN", "US"]))
def test_masks_leave_nothing_behind_and_keep_the_rest(
    text: str, kinds: set[str], region: str
) -> None:
    found = find(text, kinds=sorted(kinds), region=region)
    assert {one.kind for one in found} <= kinds
    places = [place for one in found for place in (one.start, one.end)]
    assert places == sorted(places), "in order and apart"
    once = mask(text, kinds=sorted(kinds), region=region)
    assert find(once, kinds=sorted(kinds), region=region) == []
    assert mask(once, kinds=sorted(kinds), region=region) == once
    outside = "".join(
        text[end:start]
        for end, start in zip([0, *places[1::2]], [*places[::2], len(text)], strict=True)
    )
    assert not found or sum(once.count(one) for one in MASKS.values()) >= len(found)
    assert found or once == text
    assert len(outside) == len(text) - sum(one.end - one.start for one in found)


@given(st.integers(0, 10_000))
def test_one_wrong_digit_breaks_a_checksum(seed: int) -> None:
    random = Random(seed)
    identity = value(random, "identity_card", "CN").upper()
    card = value(random, "bank_card", "CN").replace(" ", "").replace("-", "")
    assert checks(identity)
    assert luhn(card)
    place = random.randrange(13)
    other = str((int(identity[place]) + random.randrange(1, 10)) % 10)
    assert not checks(identity[:place] + other + identity[place + 1 :])
    other = str((int(card[place]) + random.randrange(1, 10)) % 10)
    assert not luhn(card[:place] + other + card[place + 1 :])


def test_treating_masks_counts_and_drops() -> None:
    text = "zhang@qq.com 13812345678 13987654321 10.0.0.1"
    assert treat(text, **HANDLING) == (text, None, {})
    masking = HANDLING | {"email": "mask", "phone": "mask"}
    assert treat(text, **masking) == (
        "[EMAIL] [PHONE] [PHONE] 10.0.0.1", None, {"email": 1, "phone": 2},
    )  # fmt: skip
    dropping = HANDLING | {"phone": "drop", "ip": "mask", "identity_card": "drop"}
    assert treat(text, **dropping) == (
        "zhang@qq.com [PHONE] [PHONE] [IP]", reasons.PERSONAL_DATA, {"ip": 1, "phone": 2},
    )  # fmt: skip
    assert treat("没有", **dropping) == ("没有", None, {})


@pytest.mark.parametrize("piece", ["1 ", "12 ", "1.", "1:", "a@", "@a.", "a", "1", "13812345678 "])
def test_long_texts_take_no_quadratic_time(piece: str) -> None:
    find(piece, kinds=KINDS, region="CN")  # loads what has to be loaded

    def seconds(size: int) -> float:
        begun = time.process_time()
        find(piece * size, kinds=KINDS, region="CN")
        return time.process_time() - begun

    assert seconds(4_000) < 24 * seconds(500) + 0.1, "linear is 8 times, quadratic 64 times"
