# Everything there is to do here; `make` alone lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
HOST ?= 127.0.0.1
PORT ?= 8000
export HOST PORT

BIN := $(VENV)/bin
MANAGE := $(BIN)/python manage.py
export PATH := $(abspath $(BIN)):$(PATH)

# What is installed is remembered under the hash of what asked for it.
hash = $(shell cat $(1) | sha256sum | cut -c1-16)
RUNTIME := $(VENV)/.runtime-$(call hash,requirements.txt scripts/install-python.sh scripts/weights/backend.py)
DEV := $(VENV)/.dev-$(call hash,requirements.txt requirements-dev.txt requirements-rag.txt scripts/install-python.sh scripts/weights/backend.py)
NODE := node_modules/.installed-$(call hash,package-lock.json)

##@ Use

.PHONY: run
run: $(RUNTIME) ## the site at http://127.0.0.1:8000 (PORT=, HOST= to change)
	@$(MANAGE) prepare --install --listen $(HOST):$(PORT)
	@$(MANAGE) runserver --noreload $(HOST):$(PORT)

.PHONY: serve
serve: $(RUNTIME) ## the production start: uvicorn, WEB_CONCURRENCY processes
	@$(MANAGE) prepare --install --listen $(HOST):$(PORT)
	@scripts/serve.sh

.PHONY: setup
setup: $(RUNTIME) ## what `make run` installs, without running it

.PHONY: rag
rag: $(RUNTIME) ## what agents with files need; `make run` installs it when there are some
	@scripts/install-python.sh $(VENV) rag

##@ Work on it

.PHONY: dev
dev: $(RUNTIME) ## like run, with DEBUG, and starting again when the code changes
	@DEBUG=1 $(MANAGE) prepare --install --listen $(HOST):$(PORT)
	@DEBUG=1 $(MANAGE) runserver $(HOST):$(PORT)

.PHONY: test
test: $(DEV) $(NODE) system ## both test suites, real browser and servers included
	pytest -n 3 --dist loadfile
	npm test

.PHONY: check
check: $(DEV) $(NODE) system ## everything that must hold, tests included; what CI runs
	@scripts/check.sh

.PHONY: bench
bench: $(DEV) ## what the site costs, beside relays that store nothing
	python -m bench

.PHONY: chaos
chaos: $(DEV) ## break everything while it runs (SEEDS="1 2 3 4 5")
	python -m tests.chaos --seed $(or $(SEEDS),1 2 3 4 5)

.PHONY: screenshots
screenshots: $(DEV) ## photograph the real page into docs/screenshots
	@scripts/install-system.sh fonts
	python scripts/screenshots.py

.PHONY: bench-page
bench-page: $(DEV) system ## measure the page under a long answer: docs/performance-page.md
	python scripts/bench_page.py

.PHONY: fix
fix: $(DEV) $(NODE) ## mend what can mend itself
	-ruff check --fix --quiet .
	ruff format --quiet .
	-djlint templates --reformat --quiet
	npm run --silent fix

.PHONY: hooks
hooks: $(DEV) $(NODE) ## quick checks before every commit
	pre-commit install

.PHONY: lock
lock: $(DEV) ## pin anew what requirements.in and requirements-dev.in ask for
	uv pip compile --quiet --no-header --python-version 3.11 requirements.in -o requirements.txt
	# Without the folder of the weights: a constraint needs a name and a version.
	# openai-agents asks for websockets<17, for voice only: the site's is kept.
	grep -v '^\./' requirements.txt | uv pip compile --quiet --no-header --python-version 3.11 -c - --override <(echo websockets) requirements-dev.in -o requirements-dev.txt
	# What is not installed anyway.
	grep -v '^\./' requirements.txt | uv pip compile --quiet --no-header --no-annotate --python-version 3.11 -c - requirements-rag.in | grep -vxFf requirements.txt > requirements-rag.txt

.PHONY: clean
clean: ## remove what was installed and built; the data folder stays
	rm -rf $(VENV) node_modules .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

# ------------------------------------------------------------ what is installed

$(RUNTIME):
	@scripts/install-python.sh $(VENV) runtime
	@touch $@

$(DEV): $(RUNTIME)
	@scripts/install-python.sh $(VENV) dev
	@touch $@

$(NODE):
	@scripts/install-node.sh
	@touch $@

.PHONY: system
system:
	@scripts/install-system.sh
