"""What is installed is what the wheels brought: no file differs from its RECORD, and no surprising .pth file runs code.

A `.pth` file may hold a line of Python that runs at every start of the interpreter; that is how the poisoned litellm
releases of March 2026 took hold.
"""

from __future__ import annotations

import base64
import hashlib
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

ALLOWED_PTH = {
    "distutils-precedence.pth",  # setuptools: keeps distutils importable
}
PROJECT = "pointsman"


def find_pth(site_packages: Path) -> list[str]:
    """`.pth` files that run code, but for those allowed. The project's own only adds a folder to the path."""
    return [
        f"{path.name}: an unknown .pth file that runs code"
        for path in site_packages.glob("*.pth")
        if path.name not in ALLOWED_PTH and any(line.startswith("import") for line in path.read_text().splitlines())
        if not path.name.startswith(f"__editable__.{PROJECT}-")
    ]


def find_changed(distribution: Distribution) -> list[str]:
    """Files of one package that are not what its wheel recorded."""
    changed = []
    for file in distribution.files or ():
        if file.hash is None:
            continue
        path = Path(str(file.locate()))
        digest = hashlib.new(file.hash.mode)
        try:
            digest.update(path.read_bytes())
        except OSError as error:
            changed.append(f"{distribution.name}: {file} cannot be read: {error.strerror}")
            continue
        if base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode() != file.hash.value:
            changed.append(f"{distribution.name}: {file} differs from its RECORD")
    return changed


def main() -> int:
    packages = [package for package in distributions() if package.name != PROJECT]
    sites = {Path(str(package.locate_file(""))) for package in packages}
    problems = [problem for site in sorted(sites) for problem in find_pth(site)]
    problems += [problem for package in packages for problem in find_changed(package)]
    print(*problems, sep="\n", end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
