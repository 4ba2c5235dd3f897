#!/usr/bin/env bash
# Finds what can be found without running the gateway; every check runs, and all that failed are named at the end.
# Usage: BIN=.venv/bin check.sh SHELL_SCRIPT...
set -uo pipefail
cd "$(dirname "$0")/.." || exit

code=(gateway policies adapters tests scripts benchmarks)
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

shipped_configurations() {
  local file status=0
  for file in config/*.yaml; do
    "$BIN/pointsman" check "$file" || status=1
  done
  return $status
}

check 'ruff: lint' "$BIN/ruff" check --quiet "${code[@]}"
check 'ruff: format' "$BIN/ruff" format --quiet --check "${code[@]}"
check 'mypy: strict' "$BIN/mypy"
check 'shell scripts' "$BIN/shellcheck" "$@"
check 'Dockerfile' "$BIN/hadolint" Dockerfile
check 'lock files' "$BIN/python" -m scripts.check_locks
check 'installed packages' "$BIN/python" -m scripts.check_environment
check 'configuration schema' "$BIN/python" -m scripts.write_schema --check
check 'shipped configurations' shipped_configurations
check 'forbidden words' forbidden_words

if ((${#failed[@]})); then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
printf 'all checks passed\n'
