#!/usr/bin/env bash
# Redis, PostgreSQL and Prometheus for the tests come from Debian; tests that need one skip, and say so, where it cannot be had.
# A Redis with vector sets, and a PostgreSQL with the extension `vector` where Debian has no package of it, are wheels of the
# dev group.
set -euo pipefail

missing=()
command -v redis-server >/dev/null || missing+=(redis-server)
command -v redis-sentinel >/dev/null || missing+=(redis-sentinel)
{ command -v prometheus && command -v promtool; } >/dev/null || missing+=(prometheus)
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null || missing+=(postgresql)
if ! compgen -G '/usr/share/postgresql/*/extension/vector.control' >/dev/null && command -v apt-cache >/dev/null; then
  pgvector=$(apt-cache search --names-only '^postgresql-[0-9]+-pgvector$' | sort -V | awk 'END {print $1}')
  [[ -z $pgvector ]] || missing+=("$pgvector")
fi
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
