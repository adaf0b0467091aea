# amilab. `make demo` runs the main job, `make test` the tests; both install what they need into .venv first.
VENV ?= .venv
BIN := $(VENV)/bin
SCENARIO ?= quickstart
# Tests of whole labs wait much of their time: one more than there are cores.
WORKERS ?= $(shell expr $$(nproc) + 1)

.PHONY: help setup setup-loadtest demo test test-long test-containers check bench editions lock clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    install, then run the scenario 'quickstart' to its verdict (SCENARIO=…)"
	@echo "make test    install, fetch what the tests on TimescaleDB need, run the tests, say what was left out"
	@echo "make test-long  the slow sweeps, which make test leaves out; as root those in containers, too"
	@echo "make test-containers  install, then run the tests of the lab in containers (as root; minutes)"
	@echo "make check   ruff, mypy --strict and the import contracts"
	@echo "make bench   measure, as ratios taken in one run"
	@echo "make editions  fetch the two editions of TimescaleDB that tests and benches can run on; fails without"
	@echo "make setup   install only; make setup-loadtest: with Locust, for amilab loadtest"
	@echo "make lock    renew requirements*.lock from pyproject.toml"

$(VENV)/.runtime: requirements.lock pyproject.toml scripts/setup.sh
	@sh scripts/setup.sh "$(VENV)" requirements.lock && touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.lock
	@sh scripts/setup.sh "$(VENV)" requirements-dev.lock && touch $@

$(VENV)/.loadtest: $(VENV)/.runtime requirements-loadtest.lock
	@sh scripts/setup.sh "$(VENV)" requirements-loadtest.lock && touch $@

setup: $(VENV)/.runtime

setup-loadtest: $(VENV)/.loadtest

demo: $(VENV)/.runtime
	@$(BIN)/amilab run $(SCENARIO)

test: $(VENV)/.dev
	@sh scripts/editions.sh
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

test-long: $(VENV)/.dev
	@sh scripts/editions.sh
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "long and not containers" --timeout=1800
	@if [ "$$(id -u)" = 0 ]; then sh scripts/container-engine.sh && $(BIN)/python -m pytest -m "long and containers" tests/containers; \
	else echo "left out: the slow sweeps in containers (not root)"; fi

test-containers: $(VENV)/.dev
	sh scripts/container-engine.sh
	$(BIN)/python -m pytest -m "containers and not long" tests/containers

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev
	$(BIN)/python -m bench

editions:
	@sh scripts/editions.sh --now

lock:
	sh scripts/lock.sh

clean:
	rm -rf $(VENV) runs build tests/timescale/node_modules *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
