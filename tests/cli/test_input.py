"""What commands read: every option of every reader is reached with ``--bitext-format``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from align_eval.cli._input import GoldPairs, tokenizers_of
from align_eval.errors import AlignEvalError, FormatError, UnknownNameError

THREE = (
    '<tmx version="1.4"><header srclang="en"/><body><tu><tuv xml:lang="en"><seg>yes</seg></tuv>'
    '<tuv xml:lang="de"><seg>ja</seg></tuv><tuv xml:lang="fr"><seg>oui</seg></tuv></tu>'
    '<tu><tuv xml:lang="en"><seg>no</seg></tuv></tu></body></tmx>'
)
SIDES = "auto:source_language=en,target_language=de"
ROW = {"de": "das Haus", "en": "the house", "al": "1-1"}


def files(path: object = None, **more: Any) -> GoldPairs:
    """The values of the options, those that are not given as they are by default."""
    names = {"bitext": None if path is None else str(path), "source": None, "target": None, "bitext_format": "auto"}
    return GoldPairs(**{**names, "gold": None, "gold_format": "auto", "gold_base": "auto", **more})


@pytest.mark.parametrize(
    ("content", "remedy", "format"),
    [
        (json.dumps({"translation": {"de": "a", "en": "b"}}), "auto:source_language=de,target_language=en", None),
        (json.dumps({"de": "a", "en": "b"}), "auto:columns=de+en", None),
        (
            THREE,
            "auto:source_language=en,target_language=de",
            "auto:source_language=en,target_language=de,missing=skip",
        ),
        (THREE.replace('<tuv xml:lang="fr"><seg>oui</seg></tuv>', ""), "tmx:missing=skip", None),
    ],
)
def test_remedies_name_options_that_work(tmp_path: Path, content: str, remedy: str, format: str | None) -> None:
    path = tmp_path / "f"
    path.write_text(content + "\n")
    bitext = files(path).read()
    assert bitext is not None
    with pytest.raises(FormatError) as caught:
        list(bitext)
    assert f"Pass --bitext-format {remedy}" in (caught.value.remedy or "")
    mended = files(path, bitext_format=format or remedy).read()
    assert mended is not None
    assert len(list(mended)) == 1


def test_options_reach_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text(json.dumps(ROW) + "\n")
    bitext = files(path, bitext_format="jsonl:columns=de+en+al,base=1").read()
    assert bitext is not None
    assert (bitext[0].target_text, str(bitext[0].gold)) == ("the house", "0-0")
    for wrong in ("jsonl:column=de+en", "jsonl:base=2", "jsonl:", "jsonl:base=1,base=1"):
        with pytest.raises(AlignEvalError):
            files(path, bitext_format=wrong).read()


def test_options_that_do_not_go_together() -> None:
    assert files(source="a", target="b").files() == ["a", "b"]
    assert files().read() is None
    assert tokenizers_of("zh,13a") == ("zh", "13a")
    for given in (files(source="a"), files("x", source="a", target="b")):
        with pytest.raises(typer.BadParameter):
            given.files()
    with pytest.raises(typer.BadParameter, match="one name, or two"):
        tokenizers_of("a,b,c")


def test_own_data_and_named_sets_are_of_one_type(tmp_path: Path) -> None:
    pairs, gold = tmp_path / "own.txt", tmp_path / "own.gold"
    pairs.write_text("das Haus ||| the house\nja ||| yes\n")
    gold.write_text("1-1 2-2\n1-1\n")
    links = {"gold": str(gold), "gold_base": "1"}
    own = files(pairs, **links).testset(None, ("deu_Latn", ">>en<<"))
    assert (own.name, own.source_language, own.target_language, own.base) == ("own.txt", "de", "en", 1)
    assert str(own.pairs[0].gold) == "0-0 1-1"
    assert files(**links).testset(str(pairs)).checksum == own.checksum
    assert files().testset("mini-ende").name == "mini-ende"
    with pytest.raises(UnknownNameError, match="there is no such file"):
        files().testset("mini-deen")
    for name, given in ((None, files()), ("a", files("b")), ("mini-ende", files(gold="g")),
                        ("mini-ende", files(bitext_format="tsv")), ("-", files(gold="-"))):  # fmt: skip
        with pytest.raises(typer.BadParameter):
            given.testset(name)
