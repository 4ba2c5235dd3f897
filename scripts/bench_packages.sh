#!/usr/bin/env bash
# nginx (a target, and the cheapest mock) and wrk (the cheapest load) come from Debian; the benchmark does without either.
set -euo pipefail

missing=()
command -v nginx >/dev/null || missing+=(nginx-light)
command -v wrk >/dev/null || missing+=(wrk)
((${#missing[@]})) || exit 0

if ((EUID == 0)) && command -v apt-get >/dev/null; then
  printf 'installing %s\n' "${missing[*]}"
  { apt-get update -qq && apt-get install -qq --yes --no-install-recommends "${missing[@]}"; } >/dev/null ||
    printf 'that failed; going on without\n'
else
  printf 'going on without nginx or wrk; to have them: sudo apt-get install --yes %s\n' "${missing[*]}"
fi
