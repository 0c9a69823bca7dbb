# Everything below works from a bare checkout: it needs make and a Python of 3.11 or later, named by PYTHON.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.stamp
LOWEST := build/lowest
QUIETLY := --quiet --disable-pip-version-check

.DEFAULT_GOAL := setup
.PHONY: setup run demo test test-all test-long campaign lowest browser coverage faults fuzz bench containers lint audit docs alerts consumers wheel lock clean

setup: $(STAMP)

$(STAMP): requirements-dev.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=…")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install $(QUIETLY) --no-compile --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install $(QUIETLY) --no-deps --no-build-isolation -e .
	touch $@

# The router on its embedded server, with data in ./data; Ctrl-C ends it.
run: setup
	exec $(BIN)/event-router up

demo: setup
	exec $(BIN)/event-router demo

# Bytecode is kept even where the environment says otherwise, out of the checkout: the tests start hundreds of processes,
# and one that compiles all it imports takes twice the time.
KEEPING = PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX="$(CURDIR)/$(1)/pycache" $(1)/bin/python

# Six at once, whatever the processors: most of the time of the longest tests is spent waiting.
PYTEST = $(call KEEPING,.venv) -m pytest -n 6 --dist worksteal
test: setup
	$(PYTEST) -m "not long and not campaign"

# What `test` runs, and the tests that take long and prove the same once more, harder or in more variants: docs/faults.md says
# which.
test-all: setup
	$(PYTEST) -m "not campaign"

# Only those that take long.
test-long: setup
	$(PYTEST) -m "long and not campaign"

# The full size of what takes minutes: a thousand kills, a whole quota, most steps of an erasure.
campaign: setup
	$(PYTEST) -m campaign

# Installs the oldest version of every package that pyproject.toml allows, apart from all else, and runs the unit tests, the
# whole system once, and lint's tools there.
lowest:
	rm -rf $(LOWEST)
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install $(QUIETLY) --no-compile --require-hashes -r requirements-lowest.lock
	$(LOWEST)/bin/python -m pip install $(QUIETLY) --no-deps --no-build-isolation -e .
	$(call KEEPING,$(LOWEST)) -m pytest -n 6 --dist worksteal -p no:cacheprovider -m "not long and not campaign" tests/unit
	$(LOWEST)/bin/event-router demo
	$(LOWEST)/bin/python -m ruff check --no-cache .
	$(LOWEST)/bin/python -m ruff format --no-cache --check .
	$(LOWEST)/bin/python -m mypy --cache-dir $(LOWEST)/mypy

# The console in a real browser: the Chromium of the system, or the one that CHROMIUM names. Leaves pictures in build/browser.
browser: setup
	$(call KEEPING,.venv) -m pytest tests/browser

# The same as `test-all`, counting the lines that no test reaches; takes half as long again.
coverage: setup
	$(PYTEST) -m "not campaign" --cov --cov-report=term-missing:skip-covered

# Breaks a whole system on purpose and counts what is lost: docs/faults.md. RUN is random faults for MINUTES, made again
# by their SEED, or one of the scenarios, of some LENGTH.
RUN ?= random
MINUTES ?= 30
faults: setup
	PYTHONPATH=tests $(BIN)/python -m faults $(RUN) --minutes $(MINUTES) $(SEED:%=--seed %) $(LENGTH:%=--length %) \
		--report build/faults-$(RUN).json

# Plays CASES bad bodies and bad requests, made again by their SEED, or one that failed, by its file as REPLAY:
# docs/bad-input.md.
CASES ?= 20000
fuzz: setup
	PYTHONPATH=tests $(BIN)/python -m fuzz --cases $(CASES) $(SEED:%=--seed %) $(REPLAY:%=--replay %)

# Measures it all beside others of its kind, or one PART; ROUNDS says how often, QUICK=1 for short rounds, FULL=1 for large
# sizes: docs/performance.md.
ROUNDS ?= 5
bench: setup
	PYTHONPATH=benchmarks $(BIN)/python -m bench $(PART) --rounds $(ROUNDS) $(QUICK:%=--quick) $(FULL:%=--full)

# Brings compose.yaml up and restarts all of it under load, with COMPOSE and ENGINE: docs/deploy.md.
COMPOSE ?= docker compose
ENGINE ?= docker
containers: setup
	PYTHONPATH=tests $(BIN)/python -m containers --compose "$(COMPOSE)" --engine "$(ENGINE)"

lint: setup
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

# The consumers of docs/streams.md and the receivers of docs/forward-receivers.md in other languages, each built and run with
# its own tools: CONSUMERS names them, by default all of csharp, go, php and typescript.
consumers: setup
	$(call KEEPING,.venv) -m pytest tests/consumers

# Asks an advisory service about every locked package; 3 says that it could not be asked about all of them.
audit:
	$(PYTHON) .ci/audit requirements.lock requirements-dev.lock

# Writes the pages of docs/ that follow from the code; a test fails while one is stale.
docs: setup
	$(BIN)/python docs/generate.py
	PYTHONPATH=tests $(BIN)/python -m support.metric_tables
	PYTHONPATH=tests $(BIN)/python -m support.import_graph

# What Prometheus makes of the alerts; PROMTOOL comes with it.
PROMTOOL ?= promtool
alerts:
	$(PROMTOOL) check config --syntax-only config/prometheus/prometheus.yml
	$(PROMTOOL) check rules config/prometheus/alerts.yml
	$(PROMTOOL) test rules config/prometheus/alerts_test.yml

wheel: setup
	rm -rf dist
	$(BIN)/python -m hatchling build --target wheel

# Pins every package with its hashes for every platform: what runs, what builds and tests it, and the same in the oldest
# versions that pyproject.toml allows. What each pin requires is written down for the tests. uv comes and goes.
UV = "$$tmp/bin/uv" pip compile --quiet --upgrade --universal --no-strip-extras --generate-hashes --python-version 3.11 \
	--custom-compile-command 'make lock'

lock:
	set -e; tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; \
	$(PYTHON) -m venv "$$tmp"; \
	"$$tmp/bin/pip" install $(QUIETLY) uv; \
	$(UV) pyproject.toml -o requirements.lock; \
	printf 'hatchling>=1.27\neditables>=0.5\n' | \
	$(UV) - pyproject.toml --group dev --constraints requirements.lock -o requirements-dev.lock; \
	$(UV) pyproject.toml --extra otel --extra parquet --extra s3 --constraints requirements-dev.lock -o requirements-extras.lock; \
	printf 'hatchling>=1.27\neditables>=0.5\n' | \
	$(UV) - pyproject.toml --group dev --extra otel --extra parquet --extra s3 --resolution lowest-direct -o requirements-lowest.lock; \
	for peers in python arq docket; do $(UV) benchmarks/peers/$$peers.in -o benchmarks/peers/$$peers.txt; done; \
	"$$tmp/bin/python" .ci/metadata requirements*.lock benchmarks/peers/*.txt

# All that was made here except ./data.
clean:
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.*
