# kernelhub: `make help` lists what can be made.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help serve install image test check lint types layers unit e2e faults bench format clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

serve: $(VENV)/.installed ## install, build the kernel image if it is missing, start everything
	@$(BIN)/kernelhub image build --if-needed
	@$(BIN)/kernelhub serve $(ARGS)

install: $(VENV)/.installed ## make the virtual environment and install kernelhub in it

image: $(VENV)/.installed ## build the kernel images
	$(BIN)/kernelhub image build

$(VENV)/.installed: pyproject.toml
	@echo "Making the virtual environment $(VENV) and installing kernelhub in it: a few minutes the first time."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@

test: $(VENV)/.installed-dev ## the whole test suite, with what it needs (installs it, when root on Debian)
	@bash tests/prepare.sh
	@$(MAKE) --no-print-directory check

check: lint types layers ## everything that CI runs, on a machine that has what it needs
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.installed-dev ## ruff: lint and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev ## mypy --strict
	$(BIN)/mypy

layers: $(VENV)/.installed-dev ## import-linter: who may import whom
	$(BIN)/lint-imports

unit: $(VENV)/.installed-dev ## only the fast tests
	$(BIN)/python -m pytest tests/unit $(ARGS)

e2e: $(VENV)/.installed-dev ## only the browser tests
	$(BIN)/python -m pytest tests/e2e $(ARGS)

faults: $(VENV)/.installed-dev ## break everything on purpose, five times; takes hours and writes docs/explanation/reliability.md
	@bash tests/prepare.sh
	$(BIN)/python -m tests.faults $(ARGS)

bench: $(VENV)/.installed-dev ## measure: first output, round trip, memory
	$(BIN)/python -m tests.bench $(ARGS)

format: $(VENV)/.installed-dev ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the virtual environment and caches; data/ stays
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
