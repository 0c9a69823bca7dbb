# Everything below works from a bare checkout: it needs make and a Python of 3.11 or later, named by PYTHON.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.stamp

.DEFAULT_GOAL := setup
.PHONY: setup run demo test lint wheel lock clean

setup: $(STAMP)

$(STAMP): requirements-dev.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=…")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# The router on its embedded server, with data in ./data; Ctrl-C ends it.
run: setup
	exec $(BIN)/event-router up

demo: setup
	exec $(BIN)/event-router demo

test: setup
	$(BIN)/python -m pytest -n auto --cov --cov-report=term-missing:skip-covered

lint: setup
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

wheel: setup
	rm -rf dist
	$(BIN)/python -m hatchling build --target wheel

# Pins every package with its hashes for every platform: what runs, and what builds and tests it. uv comes and goes.
UV = "$$tmp/bin/uv" pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 \
	--custom-compile-command 'make lock'

lock:
	set -e; tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; \
	$(PYTHON) -m venv "$$tmp"; \
	"$$tmp/bin/pip" install --quiet --disable-pip-version-check uv; \
	$(UV) pyproject.toml -o requirements.lock; \
	printf 'hatchling>=1.27\neditables>=0.5\n' | \
	$(UV) - pyproject.toml --group dev --constraints requirements.lock -o requirements-dev.lock

# All that was made here except ./data.
clean:
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.*
