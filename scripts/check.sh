#!/usr/bin/env bash
# Finds what can be found without running the gateway; every check runs, and all that failed are named at the end.
# Usage: BIN=.venv/bin check.sh SHELL_SCRIPT...
set -uo pipefail
cd "$(dirname "$0")/.." || exit

BIN=$(realpath "${BIN:-.venv/bin}")
code=(gateway policies adapters dashboards tests scripts benchmarks)
failed=()

check() { # TITLE COMMAND...
  local title=$1
  shift
  printf -- '-- %s\n' "$title"
  "$@" || failed+=("$title")
}

forbidden_words() {
  # Assembled here, so that this very line is not a find.
  ! git grep -nIE "\b(TO""DO|FIX""ME|X""XX)\b" -- . ':!LICENSE' ':!locks' ':!config/tiktoken'
}

schema_is_current() {
  "$BIN/python" -c 'import sys; from gateway.config.json_schema import written; sys.stdout.write(written())' |
    diff --unified=0 config/gateway.schema.json - || {
    printf 'config/gateway.schema.json is not what the code says; write it: python -m gateway.config.json_schema\n'
    return 1
  }
}

shipped_configurations() { # with made-up secrets in a copy, since the real ones are nobody's business here
  local copy file name status=0
  copy=$(mktemp -d)
  cp -R config "$copy/config"
  mkdir "$copy/.run"
  printf 'made-up-secret-of-thirty-two-characters\n' >"$copy/.run/key"
  while read -r name; do
    export "$name=made-up-${name,,}-of-thirty-two-characters"
  done < <(grep -ohE '\$\{env:[A-Za-z_0-9]+' config/*.yaml | cut -d: -f2 | sort -u)
  for file in config/*.yaml; do
    (cd "$copy" && "$BIN/pointsman" check "$file") || status=1
  done
  rm -rf "$copy"
  return $status
}

check 'ruff: lint' "$BIN/ruff" check --quiet "${code[@]}"
check 'ruff: format' "$BIN/ruff" format --quiet --check "${code[@]}"
check 'mypy: strict' "$BIN/mypy"
check 'shell scripts' "$BIN/shellcheck" "$@"
check 'Dockerfile' "$BIN/hadolint" Dockerfile
check 'lock files' "$BIN/python" -m scripts.check_locks
check 'installed packages' "$BIN/python" -m scripts.check_environment
check 'configuration schema' schema_is_current
check 'shipped configurations' shipped_configurations
check 'dashboards: up to date' "$BIN/python" -m dashboards.write --check
check 'dashboards: lint' "$BIN/python" -m dashboards.lint
check 'forbidden words' forbidden_words
"$BIN/python" -m tests.test_architecture

if ((${#failed[@]})); then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
printf 'all checks passed\n'
