# Everything a developer runs. `make run` and `make test` are the two that matter on a fresh machine:
# they need python3 >= 3.11, git and a package index, nothing else.

PYTHON ?= python3
# Passed on to the command: make run ARGS=--once, make test ARGS="tests/rules -x".
ARGS ?=
# So many processes run tests at once, a file each, on one server; as CI does, whatever the machine.
WORKERS ?= 2

BIN := .venv/bin
UV_VERSION := 0.13.8
SOURCES := src tests benchmarks

.DEFAULT_GOAL := help
.PHONY: help run test check bench peers faults soak format reference lock clean

help: ## List the targets.
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

run: .venv/.runtime ## Replay the examples through the real claim path, then serve on port 8080.
	$(BIN)/emberkeep demo $(ARGS)

test: .venv/.dev ## Run every test; the tests start their own PostgreSQL.
	$(BIN)/pytest -n $(WORKERS) --dist loadfile $(ARGS)

check: .venv/.dev ## Run what CI runs: format, lint, types, layers, SQL, spelling, tests.
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint --processes 2 src
	$(BIN)/emberkeep migrate lint
	$(BIN)/codespell
	$(BIN)/deptry src
	$(BIN)/pytest -n $(WORKERS) --dist loadfile $(ARGS)

bench: .venv/.dev ## Measure claims, events and simulated player-days a second (ARGS: claims, events, simulation).
	$(BIN)/python -m benchmarks $(ARGS)

peers: .venv/.dev ## Install the event stores that `make bench ARGS=events` then compares ours with.
	$(BIN)/uv export --quiet --frozen --no-emit-project --only-group peers --output-file .venv/peers.txt
	$(BIN)/python -m pip install --quiet --require-hashes -r .venv/peers.txt

faults: .venv/.dev ## Kill servers, cut connections and lose replies; `verify` must stay clean.
	$(BIN)/pytest tests/faults $(ARGS)

soak: .venv/.dev ## The same for hours.
	$(BIN)/pytest tests/faults -m soak --timeout 0 $(ARGS)

format: .venv/.dev ## Rewrite the sources in the house's format.
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/sqlfluff fix --processes 2 src

reference: .venv/.dev ## Draw docs/reference from the code.
	$(BIN)/python -m tests.house.reference

lock: .venv/.uv ## Resolve the dependencies anew into uv.lock.
	$(BIN)/uv lock $(ARGS)

clean: ## Remove what the other targets made, but no data.
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis .import_linter_cache site dist

# The stamps make a warm run skip the installation. uv only translates the lock; pip downloads, so
# that the machine's own pip settings (index, proxy, certificates) are honoured.
.venv/.uv:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, such as: make PYTHON=/usr/bin/python3.11 run" \
		if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv==$(UV_VERSION)
	@touch $@

.venv/.runtime: .venv/.uv pyproject.toml uv.lock
	$(BIN)/uv export --quiet --frozen --no-emit-project --no-default-groups --output-file .venv/runtime.txt
	$(BIN)/python -m pip install --quiet --require-hashes -r .venv/runtime.txt
	$(BIN)/python -m pip install --quiet --no-deps -e .
	@touch $@

.venv/.dev: .venv/.runtime
	$(BIN)/uv export --quiet --frozen --no-emit-project --all-groups --no-group peers --output-file .venv/dev.txt
	$(BIN)/python -m pip install --quiet --require-hashes -r .venv/dev.txt
	@touch $@
