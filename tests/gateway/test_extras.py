from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from gateway import extras
from gateway.errors import MissingExtra, StartError
from gateway.extras import Extra, is_installed, require

ROOT = Path(__file__).resolve().parents[2]


def test_each_is_an_extra_that_can_be_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    known = {value.name for value in vars(extras).values() if isinstance(value, Extra)}
    assert known == set(project["optional-dependencies"])


@pytest.mark.parametrize("module", ["no_such_module", "no_such_package.module"])
def test_a_missing_one_says_how_to_get_it(module: str) -> None:
    with pytest.raises(MissingExtra, match=r"^Such is not installed: run pip install '\.\[such\]' in .*checkout$"):
        require(Extra("such", module, "Such"))
    assert issubclass(MissingExtra, StartError)


def test_an_installed_one_is_found() -> None:
    extra = Extra("such", "http.server", "Such")
    require(extra)
    assert is_installed(extra)
