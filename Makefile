PYTHON ?= python3
BIN := .venv/bin
BENCH := .venv-bench

.PHONY: run test test-all test-deployment test-warnings bench bench-quick lint format

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
	@$(BIN)/python -m pytest -m "not (measures or deployment)" $(PARALLEL)
	@$(BIN)/python -m pytest -m measures

# Walks through docs/deployment.md on a fresh Debian and builds the container. It takes ten minutes, and needs root, systemd-nspawn,
# podman, and the ports 80, 443 and 9180. CI does not run it, since its machine may lack these.
test-deployment: .venv/installed-dev tests/node/node_modules/installed
	@tests/install-system-packages deployment
	@$(BIN)/python -m pytest -m deployment

# Deprecation warnings of our own modules are errors, also in the servers that tests start.
test-warnings: .venv/installed-dev tests/node/node_modules/installed
	@PYTHONPATH="$(CURDIR)/tests/support/warnings_as_errors$${PYTHONPATH:+:$$PYTHONPATH}" $(BIN)/python -m pytest \
		-m "not (measures or slow)" $(PARALLEL) \
		-o "filterwarnings=error::DeprecationWarning:flask_sluice"

# Takes ten minutes and writes benchmarks/RESULTS.md. It needs nginx, Go and Redis:
# apt-get install nginx golang-go redis-server
bench: $(BENCH)/installed
	@$(BENCH)/bin/python -m benchmarks

# Takes two minutes and writes nothing.
bench-quick: $(BENCH)/installed
	@$(BENCH)/bin/python -m benchmarks --quick

.PHONY: chaos
SECONDS := 600
SEED := 1

# Ten minutes, or make chaos SECONDS=60 SEED=7: 100 readers through nginx while workers, Redis, nginx, the upstream and the disk
# fail. It fails if an event is lost or doubled, or if the readers' accounts, the log and the metrics differ.
chaos: .venv/installed-dev
	@$(BIN)/python -m tests.system.chaos --seconds $(SECONDS) --seed $(SEED)

.PHONY: servers-table

# Two minutes: streams on each of the WSGI servers, and writes what they gave into docs/servers.md.
servers-table: .venv/installed-dev tests/node/node_modules/installed
	@PYTHONPATH="$(CURDIR)/wsgi:$(CURDIR)" $(BIN)/python -m tests.servers.table

.PHONY: failover-table

# Six minutes: what readers are given while Redis fails, and writes that into docs/redis.md.
failover-table: .venv/installed-dev
	@PYTHONPATH="$(CURDIR)/wsgi:$(CURDIR)" $(BIN)/python -m tests.failover.table

.PHONY: test-pythons test-prereleases

# Tests of the built wheel with the oldest and the newest versions of its dependencies, on each Python of 3.10 to 3.13 that is
# on PATH or installed by pyenv. Two of them must be there.
WHEEL := --numprocesses 2 --dist loadgroup tests/wheel

test-pythons: .venv/installed-dev tests/node/node_modules/installed
	@$(BIN)/python -m pytest $(WHEEL)

# The same with the newest pre-releases of the dependencies. It tells what will break; CI does not run it.
test-prereleases: .venv/installed-dev tests/node/node_modules/installed
	@$(BIN)/python -m pytest --prereleases $(WHEEL)

lint: .venv/installed-dev tests/node/node_modules/installed
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@cd tests/node && node_modules/.bin/tsc -p tsconfig.json

format: .venv/installed-dev
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

MAKE_VENV = $(PYTHON) -c 'import sys; sys.exit("Sluice needs Python 3.10 or newer" if sys.version_info < (3, 10) else 0)' \
	&& $(PYTHON) -m venv
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
# The package itself, editable: the code of this checkout is imported by the name that it has when it is installed.
PACKAGE := --no-deps --editable .

.venv/bin/python:
	@$(MAKE_VENV) .venv

.venv/installed: requirements.txt pyproject.toml | .venv/bin/python
	@echo "Installing into .venv ..."
	@$(BIN)/python $(PIP_INSTALL) -r requirements.txt
	@$(BIN)/python $(PIP_INSTALL) $(PACKAGE)
	@touch $@

.venv/installed-dev: requirements.txt requirements-dev.txt benchmarks/requirements.txt pyproject.toml | .venv/bin/python
	@echo "Installing into .venv ..."
	@$(BIN)/python $(PIP_INSTALL) -r requirements-dev.txt
	@$(BIN)/python $(PIP_INSTALL) $(PACKAGE)
	@touch .venv/installed $@

# An environment of its own, so that the servers that Sluice is compared with change nothing else.
$(BENCH)/installed: requirements.txt benchmarks/requirements.txt pyproject.toml
	@echo "Installing Sluice and the servers that it is compared with into $(BENCH) ..."
	@$(MAKE_VENV) $(BENCH)
	@$(BENCH)/bin/python $(PIP_INSTALL) -r benchmarks/requirements.txt
	@$(BENCH)/bin/python $(PIP_INSTALL) $(PACKAGE)
	@touch $@

# Programs that the tests start, and the type checker of the JavaScript.
tests/node/node_modules/installed: tests/node/package.json tests/install-system-packages
	@tests/install-system-packages
	@cd tests/node && npm install --silent --no-audit --no-fund --no-package-lock
	@touch $@
