from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from gateway import data_files
from gateway.data_files import data_dir, newest_table


def test_a_checkout_uses_its_own_config() -> None:
    assert data_dir() == Path(__file__).resolve().parents[2] / "config"


@pytest.mark.parametrize("place", ["prefix", "target"])
def test_an_installed_package_finds_the_shared_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """A folder named `config` beside an installed package belongs to somebody else."""
    packages = tmp_path / "packages"
    (packages / "config").mkdir(parents=True)
    root = packages if place == "target" else tmp_path / "prefix"
    installed = root / "share" / "pointsman" / "config"
    installed.mkdir(parents=True)
    monkeypatch.setattr(data_files, "_PACKAGE_PARENT", packages)
    monkeypatch.setattr(sysconfig, "get_path", lambda *_: str(tmp_path / "prefix"))
    assert data_dir() == installed


@pytest.mark.parametrize("kind", ["prices", "models"])
def test_the_newest_table_has_the_latest_date(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert newest_table(kind).parent == data_dir() / kind
    monkeypatch.setattr(data_files, "data_dir", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match=rf"run scripts/make_{kind}\.py"):
        newest_table(kind)
    (tmp_path / kind).mkdir()
    for day in ("2026-02-01", "2026-11-09", "2026-10-31"):
        (tmp_path / kind / f"{kind}-{day}.json").touch()
    assert newest_table(kind).name == f"{kind}-2026-11-09.json"


def test_nothing_anywhere_names_the_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_files, "_PACKAGE_PARENT", tmp_path)
    monkeypatch.setattr(sysconfig, "get_path", lambda *_: str(tmp_path / "prefix"))
    with pytest.raises(FileNotFoundError, match="prefix"):
        data_dir()
