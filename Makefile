PYTHON ?= python3
BIN := .venv/bin
BENCH := .venv-bench

.PHONY: run test test-all test-warnings bench bench-quick lint format

# Settings go along: make run SLUICE_BIND=127.0.0.1:8081
run: .venv/installed
	@exec $(BIN)/gunicorn -c gunicorn.conf.py app:app

# Tests wait for half of their time, so four run at a time on two cores. Those that measure run alone.
PARALLEL := --numprocesses 4 --dist worksteal

# Three minutes: what a change may break. The tests that take long and rarely fail, those in a browser too, are left to test-all.
test: .venv/installed-dev tests/node/node_modules/installed
	@$(BIN)/python -m pytest -m "not (measures or slow)" $(PARALLEL)
	@$(BIN)/python -m pytest -m "measures and not slow"

# Ten minutes: all tests, as CI runs them.
test-all: .venv/installed-dev tests/node/node_modules/installed
	@$(BIN)/python -m pytest -m "not measures" $(PARALLEL)
	@$(BIN)/python -m pytest -m measures

# Deprecation warnings of our own modules are errors, also in the servers that tests start.
test-warnings: .venv/installed-dev tests/node/node_modules/installed
	@PYTHONPATH="$(CURDIR)/tests/support/warnings_as_errors$${PYTHONPATH:+:$$PYTHONPATH}" $(BIN)/python -m pytest \
		-m "not (measures or slow)" $(PARALLEL) \
		-o "filterwarnings=error::DeprecationWarning:flask_sluice"

# Ten minutes; writes benchmarks/RESULTS.md. Needs nginx, and for two of its peers Go and Redis:
# apt-get install nginx golang-go redis-server
bench: $(BENCH)/installed
	@$(BENCH)/bin/python -m benchmarks

# Two minutes, for a first look; writes nothing.
bench-quick: $(BENCH)/installed
	@$(BENCH)/bin/python -m benchmarks --quick

lint: .venv/installed-dev tests/node/node_modules/installed
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@cd tests/node && node_modules/.bin/tsc -p tsconfig.json

format: .venv/installed-dev
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

MAKE_VENV = $(PYTHON) -c 'import sys; sys.exit("Sluice needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)' \
	&& $(PYTHON) -m venv

.venv/bin/python:
	@$(MAKE_VENV) .venv

.venv/installed: requirements.txt | .venv/bin/python
	@echo "Installing into .venv ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/installed-dev: requirements.txt requirements-dev.txt | .venv/bin/python
	@echo "Installing into .venv ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch .venv/installed $@

# Its own, so that what is compared with is neither needed nor seen by anything else.
$(BENCH)/installed: requirements.txt benchmarks/requirements.txt
	@echo "Installing Sluice and its peers into $(BENCH) ..."
	@$(MAKE_VENV) $(BENCH)
	@$(BENCH)/bin/pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	@touch $@

# What the tests start, and what checks the JavaScript's types.
tests/node/node_modules/installed: tests/node/package.json tests/install-system-packages
	@tests/install-system-packages
	@cd tests/node && npm install --silent --no-audit --no-fund --no-package-lock
	@touch $@
