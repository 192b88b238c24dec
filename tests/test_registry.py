"""The registry: names, aliases, discovery, unknown and doubled names."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from align_eval.errors import UnknownNameError
from align_eval.registry import Registry


def test_names_and_aliases() -> None:
    things: Registry[int] = Registry("thing")
    things.register("one", "uno")(1)
    things.register("two")(2)
    assert (things.get("one"), things.get("uno"), things.names()) == (1, 1, ["one", "two"])
    assert list(things.items()) == [("one", 1), ("two", 2)]
    assert "uno" in things
    assert "three" not in things


def test_unknown_name() -> None:
    things: Registry[int] = Registry("thing")
    things.register("one")(1)
    with pytest.raises(UnknownNameError, match=r"unknown thing 'onne'. Did you mean 'one'\? Known: one"):
        things.get("onne")


@pytest.mark.parametrize("again", ["one", "uno"])
def test_a_name_is_given_once(again: str) -> None:
    things: Registry[int] = Registry("thing")
    things.register("one", "uno")(1)
    with pytest.raises(ValueError, match="registered twice"):
        things.register(again)(2)
    with pytest.raises(ValueError, match="registered twice"):
        things.register("two", again)(2)
    assert things.names() == ["one"]


def test_discovery_imports_the_package_on_first_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "found_things"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from align_eval.registry import Registry\nTHINGS = Registry('thing', 'found_things')\n"
    )
    (package / "first.py").write_text("from found_things import THINGS\nTHINGS.register('first')(1)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import found_things  # type: ignore[import-not-found]

    assert "found_things.first" not in sys.modules
    assert found_things.THINGS.names() == ["first"]
    assert "found_things.first" in sys.modules


def test_discovery_that_fails_says_so_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "broken_things"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "bad.py").write_text("import a_module_that_does_not_exist\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    things: Registry[int] = Registry("thing", "broken_things")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError):
            things.names()


def test_one_name_imports_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "many_things"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from align_eval.registry import Registry\nTHINGS = Registry('thing', __name__)\n"
    )
    for module, names in {"plain": "'plain', 'simple'", "with_hyphen": "'with-hyphen'", "other": "'elsewhere'"}.items():
        (package / f"{module}.py").write_text(f"from many_things import THINGS\nTHINGS.register({names})({module!r})\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import many_things  # type: ignore[import-not-found]

    things = many_things.THINGS
    assert things.get("with-hyphen") == "with_hyphen"
    assert "many_things.plain" not in sys.modules
    assert "plain" in things
    assert things.get("simple") == "plain"
    assert "many_things.other" not in sys.modules
    for absent in ("other", "_private", "not.a.module", "", "pl\u00e4in", 3):
        assert absent not in things
    assert things.get("elsewhere") == "other"
    assert things.names() == ["elsewhere", "plain", "with-hyphen"]
    assert (things.canonical("simple"), things.canonical("plain")) == ("plain", "plain")
    with pytest.raises(UnknownNameError, match="Did you mean 'plain'"):
        things.canonical("plian")
