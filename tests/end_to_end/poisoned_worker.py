"""The engine's worker, but for prompts that end it: `python poisoned_worker.py FD`.

`poison of preparing` ends it while the prompt is made ready, `poison of computing` in the batch, beside others.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from gateway.local import worker
from gateway.local.preparing import prepare
from gateway.local.scheduling import computing

if TYPE_CHECKING:
    from adapters.llama_cpp_job import Job

PREPARING, COMPUTING = "poison of preparing", "poison of computing"


def holds(job: Job, poison: str) -> bool:
    return poison in json.dumps(job.messages)


def main() -> int:
    prepare_well, flush_well = prepare.Preparer.prepare, computing.Computing.flush

    def prepare_or_die(self: prepare.Preparer, handle: prepare.Handle) -> prepare.Work:
        if holds(handle.job, PREPARING):
            os.abort()
        return prepare_well(self, handle)

    def flush_and_die(self: computing.Computing) -> None:
        flush_well(self)
        if any(holds(run.work.handle.job, COMPUTING) for _, run in self._slots.runs()):
            os.abort()

    prepare.Preparer.prepare = prepare_or_die  # type: ignore[method-assign]
    computing.Computing.flush = flush_and_die  # type: ignore[method-assign]
    return worker.main()


if __name__ == "__main__":
    sys.exit(main())
