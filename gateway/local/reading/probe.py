"""`python -m gateway.local.reading.probe`: what the installed build of llama.cpp can do and finds, as JSON.

A process of its own, since a build that lacks a library or faults on this processor ends the process that asks it.
"""

from __future__ import annotations

import json
import sys


def probe() -> dict[str, object]:
    """Importing the bindings loads the library; the first look at a GPU opens it."""
    import llama_cpp  # noqa: PLC0415 - only whoever probes pays for it
    from llama_cpp import llama_cpp as llama  # noqa: PLC0415 - as above

    from gateway.local.reading.devices import find_devices, load_ggml  # noqa: PLC0415 - as above

    llama.llama_backend_init()
    build = find_devices(load_ggml())
    return {
        "version": llama_cpp.__version__,
        "supports_gpu_offload": bool(llama.llama_supports_gpu_offload()),
        "system_info": llama.llama_print_system_info().decode(errors="replace").strip(),
        "max_devices": llama.LLAMA_MAX_DEVICES,
        "backends": build.backends,
        "devices": [device._replace(handle=0)._asdict() for device in build.devices],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(probe()))
