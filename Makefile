# Every target makes .venv on first use with nothing but python3 (3.11 or newer), pip and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS := 3
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PEERS := .venv-bench
PEERS_READY := $(PEERS)/.ready
FUZZ := .venv-fuzz
FUZZ_READY := $(FUZZ)/.ready
SECONDS ?= 300
SOURCES := $(wildcard claimnotify tests benchmarks examples fuzz)
LOCK := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet

.PHONY: help venv demo test faults lint format docs bench fuzz lock clean

help: ## Say what the targets do
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 16

venv: $(READY) ## Make .venv with the locked development dependencies

$(READY): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("claimnotify needs Python 3.11 or newer; run: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes --requirement requirements/dev.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $(READY)

demo: $(READY) ## Run two claims through their life with real deliveries on this machine
	$(BIN)/claimnotify demo

# Most tests wait more than they compute, so more of them run at once than there are cores. Those
# with a narrow limit of time run after them. Bytecode is written in any case: a few hundred
# processes of the tests import the package.
test: $(READY) ## Run the tests; PostgreSQL, MariaDB and Redis are used where reachable
ifeq ($(strip $(ARGS)),)
	failed=; \
	$(PYTEST) -n $(WORKERS) -m "not alone" || failed=1; \
	$(PYTEST) -m alone || failed=1; \
	test -z "$$failed"
else
	$(PYTEST) $(ARGS)
endif

faults: $(READY) ## Break things on purpose and see that nothing is lost: RUNS=200 STACK= SEED= FAULT=
	$(BIN)/python -m tests.faults $(if $(RUNS),--runs $(RUNS)) $(if $(STACK),--stack $(STACK)) \
		$(if $(SEED),--seed $(SEED)) $(if $(FAULT),--fault $(FAULT))

lint: $(READY) ## Check style, types and layers
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --no-logo --no-cache

format: $(READY) ## Rewrite the sources in the house style
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

docs: $(READY) ## Build the documentation into site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(PEERS_READY): requirements/bench.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip --disable-pip-version-check --quiet install \
		--require-hashes --requirement requirements/bench.txt
	@touch $(PEERS_READY)

bench: $(READY) $(PEERS_READY) ## Measure against what people would use instead (25 minutes; ARGS=--quick)
	$(BIN)/python benchmarks/run.py $(ARGS)

$(FUZZ_READY): requirements/fuzz.txt
	$(PYTHON) -m venv $(FUZZ)
	$(FUZZ)/bin/python -m pip --disable-pip-version-check --quiet install \
		--require-hashes --requirement requirements/fuzz.txt
	@touch $(FUZZ_READY)

fuzz: $(FUZZ_READY) ## Look for undocumented errors in verify and check_url (10 minutes; SECONDS=300 for each)
	@mkdir -p .fuzz/verify .fuzz/check_url
	$(FUZZ)/bin/python -m fuzz.verify -max_total_time=$(SECONDS) -print_final_stats=1 \
		-artifact_prefix=.fuzz/ .fuzz/verify
	$(FUZZ)/bin/python -m fuzz.check_url -max_total_time=$(SECONDS) -print_final_stats=1 \
		-artifact_prefix=.fuzz/ -dict=fuzz/check_url.dict .fuzz/check_url

lock: ## Pin the dependencies again (needs uv)
	uv pip compile $(LOCK) --all-extras --group dev pyproject.toml --output-file requirements/dev.txt
	uv pip compile $(LOCK) --constraint requirements/dev.txt --no-annotate pyproject.toml --output-file requirements/core.txt
	uv pip compile $(LOCK) --constraint requirements/dev.txt --no-annotate requirements/bench.in --output-file requirements/bench.txt
	uv pip compile $(LOCK) --constraint requirements/dev.txt --no-annotate requirements/fuzz.in --output-file requirements/fuzz.txt

clean: ## Remove what the targets made
	rm -rf $(VENV) $(PEERS) $(FUZZ) .fuzz benchmarks/results site dist build .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
