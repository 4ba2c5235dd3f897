#!/usr/bin/env bash
# Checks, before anything is installed, that this machine has what an installation needs; names the one apt line if not.
# Usage: preflight.sh [compiler]   PYTHON, CC and CXX are honoured.
set -euo pipefail

python=${PYTHON:-python3}
missing=()
packages=()

lacks() { # WHAT, then the Debian packages that bring it
  missing+=("$1")
  shift
  packages+=("$@")
}

compiles() { # COMPILER LANGUAGE HEADER
  printf '#include <%s>\nint main() { return 0; }\n' "$3" | "$1" -x "$2" -o /dev/null - 2>/dev/null
}

command -v make >/dev/null || lacks "make" make
if ! command -v "$python" >/dev/null; then
  lacks "$python (3.11 to 3.14)" python3 python3-venv
elif ! "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))'; then
  # Beyond 3.14 some of what is locked has no wheels yet.
  printf 'Pointsman needs Python 3.11 to 3.14, and %s is %s.\nName another one: make PYTHON=/path/to/python3\n' \
    "$(command -v "$python")" "$("$python" -c 'import platform; print(platform.python_version())')" >&2
  exit 1
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  lacks "$python's venv and ensurepip" python3-venv
fi
if [[ ${1:-} == compiler ]]; then
  compiles "${CC:-cc}" c stdio.h || lacks "a C compiler that links (${CC:-cc})" gcc libc6-dev
  compiles "${CXX:-c++}" c++ vector || lacks "a C++ compiler that links (${CXX:-c++})" g++
fi

if ((${#missing[@]})); then
  {
    printf 'Missing on this machine:\n'
    printf '  - %s\n' "${missing[@]}"
    printf 'On Debian or Ubuntu this brings it:\n  %sapt-get install --yes %s\n' "$( ((EUID)) && printf 'sudo ' || true)" "${packages[*]}"
  } >&2
  exit 1
fi
