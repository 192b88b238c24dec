"""One rule of punctuation for masked words, attention and coverage; entities have the class of what they stand for."""

from __future__ import annotations

import pytest

from align_eval.corpora import SentencePair
from align_eval.corpora.words import is_punctuation
from align_eval.figures.layers import kind_of
from align_eval.infilling.measures import punctuation_columns
from align_eval.infilling.strategies import masked_words
from align_eval.links import Links
from align_eval.translation.coverage import sentence_coverage

MARKS = [".", ",", "...", "«", "–", "。", "、", "''", "``", "¿", "|", "<", "~", "•", "&quot;", "&apos;", "&#124;",
         "&lt;", "&#91;", "&bar;", "&amp;quot;", "@-@", "@,@", "-LRB-", "-rrb-", "؟", "।"]  # fmt: skip
WORDS = ["%", "&", "€", "$", "#", "@", "§", "+", "=", "1", "3.5", "½", "U.S.", "-x", "'s", "&apos;s", "AT&amp;T",
         "&amp;", "&euro;", "&percnt;", "@x@", "家", "क्या", "ﬁ"]  # fmt: skip


@pytest.mark.parametrize(("words", "marks"), [(MARKS, True), (WORDS, False)], ids=["marks", "words"])
def test_one_rule_for_all(words: list[str], marks: bool) -> None:
    assert [word for word in words if is_punctuation(word) != marks] == []
    pair = SentencePair("1", tuple(words), ("x",))
    assert punctuation_columns(pair).tolist() == [marks] * len(words)
    assert len(sentence_coverage(pair, Links()).uncovered) == (0 if marks else len(words))
    assert {kind_of(word) for word in words} <= ({"punctuation and spaces"} if marks else {"words", "numbers"})


@pytest.mark.parametrize(
    ("words", "language", "content"),
    [
        ("he said &quot; it &apos;s good &quot;", "en", ["said", "good"]),
        ("he said \" it 's good \"", "en", ["said", "good"]),
        ("l&apos; État &amp; l&#39; Église &#124; &lt; 5 &gt;", "fr", ["État", "&amp;", "Église", "5"]),
        ("she &amp;apos;ll pay 5 &percnt; -LRB- tax -RRB- @-@", "en", ["pay", "5", "&percnt;", "tax"]),
        ("die Häuser fu\u0308r Bu\u0308cher &#8222; gut &#8220;", "de", ["Häuser", "Bu\u0308cher", "gut"]),
    ],
)  # fmt: skip
def test_entities_are_masked_as_what_they_stand_for(words: str, language: str, content: list[str]) -> None:
    pair = SentencePair("1", ("a",), tuple(words.split(" ")))
    assert [pair.target[k] for k in masked_words("content", pair, language=language)] == content


@pytest.mark.parametrize(
    ("asked", "target"),
    [
        ("Bücher", ("die", "Bu\u0308cher")),
        ("Bu\u0308cher", ("die", "Bücher")),
        ("é,die", ("die", "e\u0301")),
        ("한국", ("die", "\u1112\u1161\u11ab\u1100\u116e\u11a8")),
        ("die c\u0327a", ("die", "ça")),
    ],
)
def test_composed_and_decomposed_words_are_the_same(asked: str, target: tuple[str, ...]) -> None:
    assert 1 in masked_words(asked, SentencePair("1", ("a",), target))
