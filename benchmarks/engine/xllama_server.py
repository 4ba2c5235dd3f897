"""PyPI's xllamacpp as a server: `python -m benchmarks.engine.xllama_server MODEL PORT SLOTS CONTEXT_TOKENS THREADS`."""

from __future__ import annotations

import importlib
import signal
import sys


def main(model: str, port: int, slots: int, context_tokens: int, threads: int) -> None:
    library = importlib.import_module("xllamacpp")
    parameters = library.CommonParams()
    parameters.model.path = model
    parameters.hostnames, parameters.port = ["127.0.0.1"], port
    parameters.n_parallel, parameters.n_ctx = slots, slots * context_tokens
    parameters.n_batch = parameters.n_ubatch = 512
    parameters.kv_unified = False
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    server = library.Server(parameters)
    print(server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
