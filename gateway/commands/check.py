"""`pointsman check FILE`: every problem of a policy file in one run, without serving."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gateway.config import examine
from gateway.config.compile import held_keys, limits_of

OK = 0
REFUSED = 2


def run(path: str) -> int:
    """0 when the file is good, else 2. Findings go to standard output, one a line.

    What the file needs around it may differ where it is served: files and extras that are missing here are warnings,
    and whether the ports are free, the ledger opens and a model loads is found out by `pointsman serve`.
    """
    config, problems = examine(Path(path), os.environ)
    for problem in problems:
        sys.stdout.write(f"{problem}\n")
    if config is None:
        sys.stderr.write(f"{path}: cannot be used\n")
        return REFUSED
    counts = [(len(config.routes), "route"), (len(config.deployments), "deployment"), (len(config.keys), "key")]
    if limits := len(limits_of(config)) + sum(len(key.limits) for key in held_keys(config)):
        counts.append((limits, "limit"))
    told = ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts)
    sys.stdout.write(f"{path}: ok ({told})\n")
    return OK
