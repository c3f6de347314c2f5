PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test bench lint format

# Settings go along: make run SLUICE_BIND=127.0.0.1:8081
run: .venv/installed
	@exec $(BIN)/gunicorn -c gunicorn.conf.py app:app

test: .venv/installed-dev
	@tests/install-system-packages
	@$(BIN)/python -m pytest -m "not measures" --numprocesses 2 --dist loadfile
	@$(BIN)/python -m pytest -m measures

# Needs nginx: apt-get install nginx
bench: .venv/installed
	@$(BIN)/python -m benchmarks.relay

lint: .venv/installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: .venv/installed-dev
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Sluice needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv .venv

.venv/installed: requirements.txt | .venv/bin/python
	@echo "Installing into .venv ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/installed-dev: requirements.txt requirements-dev.txt | .venv/bin/python
	@echo "Installing into .venv ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch .venv/installed $@
