from __future__ import annotations

import hmac
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from gateway.keys.peppers import PepperError, Peppers, generate_pepper, pepper_file, pepper_of, read_pepper

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = "the pepper before, 32 characters", "the newest pepper, 32 characters"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return pepper_file(tmp_path / "ledger.db")


def test_new_keys_are_hashed_under_the_first_and_all_are_known() -> None:
    peppers = Peppers((NEW, OLD), None)
    newest = peppers.for_new_keys()
    assert newest.version == pepper_of(NEW).version
    for text in (NEW, OLD):
        made = pepper_of(text)
        known = peppers.mac_of(made.version)
        assert known is not None
        assert known.digest(b"key") == made.mac.digest(b"key")
    assert peppers.mac_of(pepper_of("another").version) is None
    assert peppers.mac_of("") is None


def test_a_version_tells_peppers_apart_and_nothing_of_them() -> None:
    assert pepper_of(NEW).version != pepper_of(OLD).version
    assert pepper_of(NEW).version == pepper_of(NEW).version
    assert len(pepper_of(NEW).version) == 12


def test_each_use_of_a_pepper_has_a_key_of_its_own() -> None:
    """What one use comes to is never what another would accept."""
    plain = hmac.digest(NEW.encode(), b"key", "sha256")
    made = pepper_of(NEW)
    assert made.mac.digest(b"key") != plain
    assert made.version not in (plain.hex()[:12], made.mac.digest(b"pointsman/pepper-version/1").hex()[:12])


def test_a_generated_pepper_is_for_its_owners_eyes_and_lasts(file: Path) -> None:
    first = Peppers((), file)
    version = first.for_new_keys().version
    assert file.stat().st_mode & 0o777 == 0o600
    assert first.for_new_keys().version == version
    second = Peppers((), file)
    assert second.mac_of(version) is None
    second.load()
    assert second.mac_of(version) is not None
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_pepper_configured_later_is_the_newer_one(file: Path) -> None:
    generated = Peppers((), file).for_new_keys().version
    later = Peppers((NEW,), file)
    later.load()
    assert later.for_new_keys().version == pepper_of(NEW).version
    assert later.mac_of(generated) is not None


def test_without_a_place_for_one_a_pepper_must_be_configured() -> None:
    with pytest.raises(PepperError, match=r"secrets\.pepper"):
        Peppers((), None).for_new_keys()


def test_all_who_generate_at_the_same_time_get_the_same(file: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(lambda _: generate_pepper(file), range(16)))
    assert len(found) == 1
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_pepper_that_others_can_read_is_refused(file: Path, mode: int) -> None:
    generate_pepper(file)
    file.chmod(mode)
    with pytest.raises(PepperError, match="chmod 600"):
        Peppers((), file).load()
    with pytest.raises(PepperError, match="chmod 600"):
        Peppers((), file).for_new_keys()


def test_a_link_or_a_folder_is_no_pepper(file: Path, tmp_path: Path) -> None:
    generate_pepper(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PepperError, match="cannot be read"):
        read_pepper(file)
    file.unlink()
    file.mkdir(mode=0o700)
    with pytest.raises(PepperError):
        read_pepper(file)


@pytest.mark.parametrize("text", ["", "short\n", "x" * 65])
def test_a_damaged_pepper_is_not_replaced(file: Path, text: str) -> None:
    """Another one would make every stored key worthless, without a word."""
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(PepperError, match="restore"):
        generate_pepper(file)
    assert file.read_text() == text


def test_a_folder_that_takes_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(PepperError, match="cannot be written"):
        generate_pepper(tmp_path / "missing" / "pepper")
    assert list(tmp_path.iterdir()) == []
