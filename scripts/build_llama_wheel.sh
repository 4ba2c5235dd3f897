#!/usr/bin/env bash
# Prints the path of a llama-cpp-python wheel compiled for this machine, from a cache where one is there already.
# Usage: [BACKEND=cpu|cuda|metal|vulkan|rocm] build_llama_wheel.sh     progress goes to stderr
# CMAKE_ARGS, CC and CXX are honoured and are part of the cache's key. CUDA_ARCHITECTURES (such as 90, or "80;90") and
# ROCM_TARGETS (such as gfx942) name the GPUs to compile for; without them, those of this machine. SDIST and WHEELS name
# a source archive and a folder of build tools, for machines without a network. --print-flags shows what cmake gets.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
say() { printf '%s\n' "$*" >&2; }
digest() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; } # the latter on macOS

needs() { # TOOL WHAT
  command -v "$1" >/dev/null || {
    say "BACKEND=$BACKEND needs $1: $2"
    return 2
  }
}

# The architecture is always named: what cmake makes of `native` on a machine without a GPU compiles, and does not run.
cuda_architectures() {
  local found=${CUDA_ARCHITECTURES:-}
  if [[ -z $found ]] && command -v nvidia-smi >/dev/null; then
    found=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | tr -d '. ' | sort -u | paste -sd';' -)
  fi
  [[ $found =~ ^[0-9]+[af]?(;[0-9]+[af]?)*$ ]] || {
    say 'no NVIDIA GPU here: set CUDA_ARCHITECTURES, such as 80 (A100), 89 (L4, RTX 4090), 90 (H100), 120 (RTX 5090)'
    return 2
  }
  printf '%s' "$found"
}

rocm_targets() {
  local found=${ROCM_TARGETS:-}
  if [[ -z $found ]] && command -v rocminfo >/dev/null; then
    found=$(rocminfo | grep -oE 'gfx[0-9a-f]+' | sort -u | paste -sd';' -)
  fi
  [[ $found =~ ^gfx[0-9a-f]+(;gfx[0-9a-f]+)*$ ]] || {
    say 'no AMD GPU here: set ROCM_TARGETS, such as gfx942 (MI300), gfx1100 (RX 7900)'
    return 2
  }
  printf '%s' "$found"
}

backend_flags() { # BACKEND
  local gpus
  case $1 in
    cpu) ;;
    cuda)
      needs "${CUDACXX:-nvcc}" 'the CUDA toolkit with cuBLAS' && gpus=$(cuda_architectures) || return 2
      printf '%s' "-DGGML_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES=$gpus"
      ;;
    metal) printf '%s' '-DGGML_METAL=ON -DGGML_METAL_EMBED_LIBRARY=ON' ;;
    vulkan)
      needs glslc 'the Vulkan SDK, or libvulkan-dev, glslc and spirv-headers' || return 2
      printf '%s' '-DGGML_VULKAN=ON'
      ;;
    rocm)
      needs hipconfig 'ROCm 6.1 or later with hipBLAS' && gpus=$(rocm_targets) || return 2
      printf '%s' "-DGGML_HIP=ON -DGPU_TARGETS=$gpus"
      ;;
    *)
      say "BACKEND must be cpu, cuda, metal, vulkan or rocm, and not $1"
      return 2
      ;;
  esac
}

# Both flags of ours drop what the bindings never load: LLAVA the multimodal libraries, LLAMA_BUILD_COMMON the
# command-line tools' library, which alone is a third of the compile. The project's CMakeLists forces the latter ON,
# where no CMAKE_ARGS can reach it, so it is patched. Together: half the time (123 s instead of 263 s on two cores).
flags=$(backend_flags "${BACKEND:-cpu}")
cmake_args="-DLLAVA_BUILD=OFF ${flags:+$flags }${CMAKE_ARGS:-}"
patch_common='s/LLAMA_BUILD_COMMON ON/LLAMA_BUILD_COMMON OFF/'
if [[ ${1:-} == --print-flags ]]; then
  printf '%s\n' "$cmake_args"
  exit
fi
if [[ ${BACKEND:-} == rocm ]]; then
  HIPCXX=${HIPCXX:-$(hipconfig -l)/clang} HIP_PATH=${HIP_PATH:-$(hipconfig -R)}
  export HIPCXX HIP_PATH
fi

# Older GCCs, Debian 12's 12.2 among them, tell their optimiser that loading the tile configuration of AMX reads 8 bytes
# and not 64; so the rest may never be written, and the first matrix product ends in a segmentation fault. It shows in
# the header (later GCCs have a builtin there), and only processors with AMX are hit.
if "${CXX:-c++}" -E -x c++ -include immintrin.h /dev/null 2>/dev/null | grep ldtilecfg | grep -q 'const void \*\*'; then
  no_amx='-mno-amx-tile -mno-amx-int8 -mno-amx-bf16'
  export CFLAGS="${CFLAGS:-} $no_amx" CXXFLAGS="${CXXFLAGS:-} $no_amx"
fi

# The compiler optimises for this very processor, so a wheel is good for its set of features only.
cpu=$(grep -m1 -E '^(flags|Features)' /proc/cpuinfo 2>/dev/null || uname -m)
key=$(
  {
    grep -oE 'llama-cpp-python==[^ ]+|sha256:[0-9a-f]+' locks/llama.lock
    printf '%s\n' "$cmake_args" "$patch_common" "${CFLAGS:-}" "${CXXFLAGS:-}" "$(uname -m)" "$cpu"
    "${CXX:-c++}" --version | head -n 1
  } | digest | cut -c1-16
)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pointsman/wheels/$key

find_wheel() { find "$cache" -maxdepth 1 -name 'llama_cpp_python-*.whl' -print -quit; }

watch_build() { # PID LOG: a line every five seconds, until the process ends
  local seconds=0
  while kill -0 "$1" 2>/dev/null; do
    sleep 1
    seconds=$((seconds + 1))
    ((seconds % 5)) || say "  compiling llama.cpp: $(grep -oE '^ *\[[0-9]+/[0-9]+\]' "$2" | tail -n 1 | tr -d ' ' || true) ${seconds} s"
  done
  wait "$1"
}

mkdir -p "$cache"
exec 9>"$cache/lock"
if command -v flock >/dev/null; then
  flock 9 # two makes at once: the second waits, then finds the wheel
fi
wheel=$(find_wheel)
if [[ -n $wheel ]]; then
  say "llama.cpp: already compiled ($wheel)"
  printf '%s\n' "$wheel"
  exit
fi

say "llama.cpp: compiling for this machine (${BACKEND:-cpu}), once (2 to 5 minutes, for a GPU more; kept for later installs)"
work=$(mktemp -d "${TMPDIR:-/tmp}/pointsman-llama.XXXXXX")
trap 'jobs -p | xargs -r kill 2>/dev/null; rm -rf "$work"' EXIT
venv=$work/venv
"$python" -m venv "$venv"
offline=(${WHEELS:+--no-index --find-links "$WHEELS"})
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${offline[@]}" --require-hashes --only-binary :all: \
  --no-deps -r locks/build.lock
export PATH="$venv/bin:$PATH" # cmake and ninja

if [[ -z ${SDIST:-} ]]; then
  say '  fetching the source (77 MB)'
  "$venv/bin/python" -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps --no-binary :all: \
    --no-build-isolation --dest "$work" -r locks/llama.lock
  SDIST=$(find "$work" -maxdepth 1 -name 'llama_cpp_python-*.tar.gz' -print -quit)
fi
tar -xzf "$SDIST" -C "$work"
source=$(find "$work" -maxdepth 1 -type d -name 'llama_cpp_python-*' -print -quit)
grep -q 'LLAMA_BUILD_COMMON ON' "$source/CMakeLists.txt" || say '  note: nothing to patch in CMakeLists.txt, so this takes twice as long'
sed -i.before "$patch_common" "$source/CMakeLists.txt"

CMAKE_ARGS=$cmake_args "$venv/bin/python" -m pip wheel --verbose --disable-pip-version-check --no-deps --no-build-isolation \
  --no-cache-dir --wheel-dir "$work/out" "$source" >"$work/log" 2>&1 9>&- &
if ! watch_build $! "$work/log"; then
  cp "$work/log" "$cache/failed.log"
  tail -n 40 "$cache/failed.log" >&2
  say "llama.cpp did not compile; the whole log is in $cache/failed.log"
  exit 1
fi
mv "$work"/out/llama_cpp_python-*.whl "$cache/"
wheel=$(find_wheel)
say "llama.cpp: compiled into $wheel"
printf '%s\n' "$wheel"
