from __future__ import annotations

import hashlib
import time
import unicodedata
from typing import TYPE_CHECKING

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from gateway.data_files import data_dir
from gateway.embedding.wordpiece import WordPiece, read_pieces

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE = data_dir() / "wordpiece" / "bert-uncased.txt"
PIECES = read_pieces(FILE)
OURS = WordPiece(PIECES)
ANY = 1 << 40

LISTED = [
    "",
    " \t\r\n\u00a0\u3000\u2028",
    "How do I reset my password?",
    "don't, won't: e-mail@example.com (v2.0) $5.99 #tag 50% <b>&amp;</b> a_b c\\d `x` ~^|{}[]",
    "ÀÉÎõü ñandú façade Ångström naïve İstanbul ıŞğ",
    "e\u0301 a\u0308\u0304 \u0301alone x\u20dd n\u0303\u0323",
    "Straße STRASSE ẞ ﬁne ﬀ Ⅷ ² ½ ª",
    "ΟΔΥΣΣΕΥΣ Σίσυφος",
    "Привет, как мне сбросить пароль? Ёлка й",
    "重置密码怎么办\uff1f パスワードを忘れました。 カタカナ ｶﾀｶﾅ 한국어 비밀번호",
    "\u9fff\u4dbf\U00020000\U0002a6df\U0002b740\U0002b820\U0002b920\U0002f800\uf900\ufa2d",
    "नमस्ते पासवर्ड รีเซ็ตรหัสผ่าน שלום עִבְרִית السَّلَامُ",
    "smile 😀 👍🏽 👨\u200d👩\u200d👧 🇩🇪 ❤\ufe0f 1\ufe0f\u20e3 ©®™ →≠√∞",
    "null\x00 bell\x07 escape\x1b del\x7f nel\x85 vt\x0b ff\x0c fs\x1c zwsp\u200b bom\ufeff soft\u00adhyphen \ufffd",
    "private\ue000 unassigned\u0378 noncharacter\uffff \U0010ffff",
    "quotes “ ” \u2018 \u2019 « » — \u2013 … · ¿ ¡ § ¶ ‰ € £ ¥ № ٪ ،",
    "[CLS] [SEP] [MASK] [UNK] [PAD] [unused1] ##ing",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "x" * 100 + " " + "y" * 101 + " " + "z" * 500,
    "1234567890123456789012345678901234567890 0x1f 3,000 1.5e-7",
    "日" * 120,
]


def theirs() -> tokenizers.Tokenizer:
    """Hugging Face's, with our vocabulary, and special pieces taken for text."""
    numbers = {piece: number for number, piece in enumerate(PIECES)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(numbers, unk_token="[UNK]"))
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 102), ("[CLS]", 101))
    return tokenizer


THEIRS = theirs()


def differing(codes: Iterable[int]) -> set[str]:
    """Characters that the two read differently."""
    chars = [chr(code) for code in codes if not 0xD800 <= code <= 0xDFFF]
    found = set()
    for start in range(0, len(chars), 256):
        some = chars[start : start + 256]
        text = " . ".join(f"a{char}b" for char in some)
        if OURS.encode(text, ANY) != THEIRS.encode(text).ids:
            found |= {char for char in some if OURS.encode(f"a{char}b", ANY) != THEIRS.encode(f"a{char}b").ids}
    return found


def test_the_vocabulary_is_berts() -> None:
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() == (
        "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
    )
    assert (len(PIECES), len(set(PIECES)), PIECES[100:104]) == (30_522, 30_522, ["[UNK]", "[CLS]", "[SEP]", "[MASK]"])


@pytest.mark.parametrize("text", LISTED)
def test_listed_texts_are_written_as_tokenizers_writes_them(text: str) -> None:
    assert OURS.encode(text, ANY) == THEIRS.encode(text).ids


@pytest.fixture(scope="module")
def younger() -> set[str]:
    """Characters of Unicode's first two planes whose kind tokenizers does not know: its tables end with Unicode 8."""
    return differing(range(0x20000))


def test_characters_differ_only_where_the_other_tables_are_too_old(younger: set[str]) -> None:
    assert 0 < len(younger) < 600
    assert {unicodedata.category(char)[0] for char in younger} <= {"M", "P", "S", "C"}
    everyday = [*range(0x600), *range(0x2000, 0x2C00), *range(0x3000, 0xA000), *range(0xF900, 0x10000)]
    assert younger.isdisjoint(map(chr, [*everyday, *range(0x1F000, 0x1FB00)]))


words = st.one_of(
    st.sampled_from(PIECES).map(lambda piece: piece.removeprefix("##")),
    st.text(max_size=12),
    st.text("aeinrst", max_size=110),
    st.text(st.characters(categories=["Mn", "Mc", "Lo", "Ll", "Lu"]), max_size=6),
    st.text(st.characters(categories=["P", "S", "Z", "Cc", "Cf"]), max_size=4),
    st.sampled_from(["😀", "👍🏽", "日本", "e\u0301", "\x00", "\ufffd", "[SEP]", "ΣΑΣ", "İ"]),
)


@given(st.lists(st.tuples(words, st.sampled_from(["", " ", "\n", "\u3000"])), max_size=12))
def test_any_text_is_written_as_tokenizers_writes_it(younger: set[str], parts: list[tuple[str, str]]) -> None:
    text = "".join(char for part in parts for char in "".join(part) if char not in younger and char < "\U00030000")
    assert OURS.encode(text, ANY) == THEIRS.encode(text).ids


@given(st.text(), st.integers(2, 40))
def test_what_has_too_many_pieces_is_not_written(text: str, count_max: int) -> None:
    whole = OURS.encode(text, ANY)
    assert whole is not None
    fits = len(whole) <= count_max and len(text) <= OURS.chars_max(count_max)
    assert OURS.encode(text, count_max) == (whole if fits else None)


def test_lone_surrogates_do_no_harm() -> None:
    assert OURS.encode("a\ud800b", ANY) == OURS.encode("ab", ANY)


@pytest.mark.parametrize("text", ["x" * 1_000_000, "\U0010ffff" * 1_000_000, " " * 1_000_000, "日" * 1_000_000])
def test_a_huge_text_costs_nothing(text: str) -> None:
    started_s = time.thread_time()
    for _ in range(100):
        assert OURS.encode(text, 256) is None
    assert time.thread_time() - started_s < 0.01


@pytest.mark.parametrize("char", ["x", "\u0301", "日", "ﷺ", "\u1e9b\u0323", "ẍ", "a.", "😀 "])
def test_the_dearest_text_that_may_fit_is_cheap(char: str) -> None:
    text = (char * 4096)[: OURS.chars_max(256)]
    started_s = time.thread_time()
    OURS.encode(text, 256)
    assert time.thread_time() - started_s < 0.05
