#!/usr/bin/env bash
# Installs one layer of what Pointsman needs into a virtual environment, and says so in one line.
# Usage: install.sh VENV lock NAME | install.sh VENV project | install.sh VENV llama
set -euo pipefail
cd "$(dirname "$0")/.."

venv=$1
layer=$2
pip=("$venv/bin/python" -m pip --disable-pip-version-check --quiet)

# Only wheels whose hashes are in the lock file: no code of a package runs while it installs.
install_lock() {
  local lock=locks/$1.lock
  printf 'installing %s into %s\n' "$lock" "$venv"
  PYTHONUNBUFFERED=1 "$venv/bin/python" -m pip --disable-pip-version-check install --progress-bar off \
    --require-hashes --only-binary :all: --no-deps -r "$lock" |
    awk -v all="$(grep -c '^[a-z0-9]' "$lock")" '
      /^(Collecting|Processing|Requirement already)/ && ++seen % 10 == 0 { printf "  %d of %d packages\n", seen, all; fflush() }
      /^Installing collected/ { print "  unpacking"; fflush() }'
}

case $layer in
  venv)
    "${PYTHON:-python3}" -m venv "$venv"
    ;;
  lock)
    install_lock "$3"
    ;;
  project)
    printf 'installing pointsman into %s\n' "$venv"
    "${pip[@]}" install --no-deps --no-build-isolation --no-index --editable .
    ;;
  llama)
    wheel=$(scripts/build_llama_wheel.sh)
    "${pip[@]}" install --no-deps --no-index --force-reinstall "$wheel"
    # A library that this processor cannot run shows it here, not at the first request.
    "$venv/bin/python" scripts/try_llama.py || {
      printf 'llama.cpp was compiled but does not run here; try: CMAKE_ARGS=-DGGML_NATIVE=OFF make run\n' >&2
      exit 1
    }
    ;;
  *)
    printf 'install.sh: no layer named %s\n' "$layer" >&2
    exit 2
    ;;
esac
