"""Lock files agree with pyproject.toml and with each other: every pin hashed, no address in them, nothing banned.

Works offline, so that it can run on every commit; `make lock` is what writes the files.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
BANNED = {("litellm", "1.82.7"), ("litellm", "1.82.8")}  # the poisoned releases of March 2026
PIN = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]*)(?:\[[^]]*])?==(?P<version>[^ ;]+)(?: ; (?P<marker>[^\\]+?))? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")

Pins = dict[str, set[str]]


def read_lock(path: Path) -> tuple[Pins, list[str]]:
    """Name to versions (several where markers choose by Python version), and what is wrong with the file's lines."""
    pins: Pins = {}
    problems = []
    hashes = 1
    for number, line in enumerate(path.read_text().splitlines(), 1):
        pin = PIN.match(line)
        if pin:
            pins.setdefault(pin["name"], set()).add(pin["version"])
            if (pin["name"], pin["version"]) in BANNED:
                problems.append(f"{path.name}:{number}: {pin['name']} {pin['version']} is banned")
        if (pin or not line.startswith(" ")) and not hashes:
            problems.append(f"{path.name}:{number}: the package before has no hash")
        hashes = 0 if pin else hashes + 1
        if not (pin or HASH.match(line) or line.startswith("#")):
            problems.append(f"{path.name}:{number}: neither a pin nor a hash: {line}")
    return pins, problems


def requirements(project: dict[str, object]) -> Iterator[tuple[str, Requirement]]:
    """(lock, requirement) for everything pyproject.toml asks for."""
    table = project["project"]
    groups = project["dependency-groups"]
    assert isinstance(table, dict)
    assert isinstance(groups, dict)
    extras = table["optional-dependencies"]
    run = [*table["dependencies"], *extras["otlp"], *groups["package"]]
    asked = {
        "run": run,
        "dev": [*run, *(text for name, extra in extras.items() if name != "llama" for text in extra), *groups["dev"]],
        "llama": extras["llama"],
        "semantic": extras["semantic"],
        **{name: group for name, group in groups.items() if name not in {"package", "dev"}},
    }
    for lock, texts in asked.items():
        for text in texts:
            yield lock, Requirement(text)


def check_npm(folder: Path) -> list[str]:
    """The Node client's lock: exact versions, an integrity hash each, and no address of a registry."""
    problems = []
    lock = json.loads((folder / "package-lock.json").read_text())
    for name, entry in lock["packages"].items():
        if name and not str(entry.get("integrity", "")).startswith("sha512-"):
            problems.append(f"package-lock.json: {name} has no sha512 integrity")
        if "resolved" in entry:
            problems.append(f"package-lock.json: {name} names the registry it came from")
    asked = json.loads((folder / "package.json").read_text())["dependencies"]
    problems += [
        f"package.json: {name} {version} is not exact" for name, version in asked.items() if not version[0].isdigit()
    ]
    if asked != lock["packages"][""]["dependencies"]:
        problems.append("package-lock.json: not made from this package.json")
    return problems


def find_problems() -> list[str]:
    """Every disagreement, one line each."""
    problems = []
    locks = {}
    for path in sorted((ROOT / "locks").glob("*.lock")):
        locks[path.stem], found = read_lock(path)
        problems += found
    for lock, requirement in requirements(tomllib.loads((ROOT / "pyproject.toml").read_text())):
        versions = locks[lock].get(canonicalize_name(requirement.name), set())
        if not versions or not all(requirement.specifier.contains(version) for version in versions):
            problems.append(f"locks/{lock}.lock: {requirement} is not met; run `make lock`")
    for lock in ("run", "semantic"):
        for name, versions in locks[lock].items():
            if locks["dev"].get(name) != versions:
                problems.append(f"locks: {name} differs between {lock}.lock and dev.lock, so what runs is untested")
    return problems + check_npm(ROOT / "tests/clients/node")


def main() -> int:
    problems = find_problems()
    print(*problems, sep="\n", end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
