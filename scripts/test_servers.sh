#!/usr/bin/env bash
# Redis and PostgreSQL for the tests come from Debian; tests that need one skip, and say so, where it cannot be had.
set -euo pipefail

missing=()
command -v redis-server >/dev/null || missing+=(redis-server)
command -v redis-sentinel >/dev/null || missing+=(redis-sentinel)
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null || missing+=(postgresql)
((${#missing[@]})) || exit 0

if ((EUID == 0)) && command -v apt-get >/dev/null; then
  printf 'installing %s\n' "${missing[*]}"
  # Servers of the system are not wanted: the tests start their own.
  policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
  fi
  { apt-get update -qq && apt-get install -qq --yes --no-install-recommends "${missing[@]}"; } >/dev/null ||
    printf 'that failed; going on without, and some tests will skip\n'
else
  printf 'going on without %s; to have them: sudo apt-get install --yes %s\n' "${missing[*]}" "${missing[*]}"
fi
