"""Runs the scenarios and prints their tables: `python -m tests.end_to_end.failover [--profile full] [--into FILE]`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from benchmarks.sections import put_into
from tests.end_to_end.failover.running import ALIGN, DEFAULTS, RESUME, WHOLE, run
from tests.end_to_end.failover.scenarios import SCALED, TRUE
from tests.end_to_end.failover.table import rendered

PROFILES = {profile.name: profile for profile in (TRUE, SCALED)}
VARIANTS = {variant.name: variant for variant in (DEFAULTS, RESUME, ALIGN, WHOLE)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.end_to_end.failover", description=__doc__)
    parser.add_argument("--profile", choices=PROFILES, default=SCALED.name)
    parser.add_argument("--variant", action="append", choices=VARIANTS, help="only this one (may be repeated)")
    parser.add_argument("--into", type=Path, help="put the tables into this file of markdown, in place of earlier ones")
    options = parser.parse_args()
    profile = PROFILES[options.profile]
    variants = tuple(VARIANTS[name] for name in options.variant or (DEFAULTS.name, RESUME.name))
    with tempfile.TemporaryDirectory(prefix="pointsman-failover-") as folder:
        results = asyncio.run(run(profile, variants, Path(folder)))
    text = rendered(profile, results)
    sys.stdout.write(text)
    if options.into is not None:
        put_into(options.into, text)


if __name__ == "__main__":
    main()
