#!/usr/bin/env bash
# Prints the path of a llama-server compiled from the very source that llama-cpp-python brings along, with the same
# flags: what benchmarks/engine.md compares with. From a cache where it is there already; progress goes to stderr.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
say() { printf '%s\n' "$*" >&2; }

cmake_args=(
  -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF
  -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF
)
read -ra more <<<"${CMAKE_ARGS:-}"
cmake_args+=("${more[@]}")
# See build_llama_wheel.sh: the same compilers, the same fault.
if "${CXX:-c++}" -E -x c++ -include immintrin.h /dev/null 2>/dev/null | grep ldtilecfg | grep -q 'const void \*\*'; then
  no_amx='-mno-amx-tile -mno-amx-int8 -mno-amx-bf16'
  export CFLAGS="${CFLAGS:-} $no_amx" CXXFLAGS="${CXXFLAGS:-} $no_amx"
fi

cpu=$(grep -m1 -E '^(flags|Features)' /proc/cpuinfo || uname -m)
key=$(
  {
    grep -oE 'llama-cpp-python==[^ ]+|sha256:[0-9a-f]+' locks/llama.lock
    printf '%s\n' "${cmake_args[@]}" "${CFLAGS:-}" "$(uname -m)" "$cpu"
    "${CXX:-c++}" --version | head -n 1
  } | sha256sum | cut -c1-16
)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pointsman/llama-server/$key
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [[ -x $cache/llama-server ]]; then
  printf '%s\n' "$cache/llama-server"
  exit
fi

say 'llama-server: compiling, once (4 to 10 minutes on two cores)'
work=$(mktemp -d "${TMPDIR:-/tmp}/pointsman-llama.XXXXXX")
trap 'rm -rf "$work"' EXIT
venv=$work/venv
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: --no-deps -r locks/build.lock
export PATH="$venv/bin:$PATH" # cmake and ninja
"$venv/bin/python" -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps --no-binary :all: \
  --no-build-isolation --dest "$work" -r locks/llama.lock
tar -xzf "$work"/llama_cpp_python-*.tar.gz -C "$work"
source=$(find "$work" -maxdepth 1 -type d -name 'llama_cpp_python-*' -print -quit)/vendor/llama.cpp

if ! { cmake -S "$source" -B "$work/build" -G Ninja "${cmake_args[@]}" && cmake --build "$work/build" --target llama-server; } \
  >"$cache/build.log" 2>&1 9>&-; then
  tail -n 40 "$cache/build.log" >&2
  say "llama-server did not compile; the whole log is in $cache/build.log"
  exit 1
fi
mv "$work/build/bin/llama-server" "$cache/llama-server"
printf '%s\n' "$cache/llama-server"
