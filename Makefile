# Two commands: `make demo` and `make test`. Each sets up what it needs, inside this folder.
#
# Needs Python 3.11 or newer (with venv and pip), make and git. `make demo PYTHON=python3.12`
# chooses another interpreter.

PYTHON ?= python3
UV := .tools/bin/uv
BIN := .venv/bin
JOBS ?= 2
# The servers that stand for warehouses in tests: a folder with requirements each.
EMULATORS := $(patsubst tests/emulators/%/requirements.txt,.venvs/emulator-%/ready,$(wildcard tests/emulators/*/requirements.txt))
# The versions of dbt that are tested beside the one in .venv: a file with requirements each.
DBTS := $(patsubst tests/dbt/versions/%.txt,.venvs/dbt-%/ready,$(wildcard tests/dbt/versions/*.txt))

# uv uses the interpreter that it is told, and downloads none.
export UV_PYTHON_DOWNLOADS := never
export UV_PYTHON := $(PYTHON)
export UV_NO_PROGRESS := 1
# Where Python may keep no bytecode, each of the thousand processes that the tests start would compile
# every library anew.
ifdef PYTHONDONTWRITEBYTECODE
export UV_COMPILE_BYTECODE := 1
endif

.PHONY: demo demo-ui test check test-duckdb1 test-main bench format lock clean
.DEFAULT_GOAL := help

help: ## Show what there is
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: .venv/ready ## Run the main job on real data
	@$(BIN)/dagweave demo $(ARGS)

demo-ui: .venv/ready ## Open Dagster's UI on what `make demo` made
	@$(BIN)/dagweave demo --ui

test: check test-duckdb1 test-main ## Run every check and every test

check: .venv/ready ## Linter, layers, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/basedpyright

test-duckdb1: .venvs/duckdb1/ready ## The warehouse tests, on DuckDB 1.x
	.venvs/duckdb1/bin/python -m pytest -q -n $(JOBS) --dist loadgroup tests/duckdb tests/warehouse

test-main: .venv/ready .venvs/bare/ready $(EMULATORS) $(DBTS) ## Every test, on DuckDB 2.x
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadgroup

bench: .venv/ready .venvs/official/ready ## Side by side with the official packages and the bare tools
	$(BIN)/python -m benchmarks $(ARGS)

format: .venv/ready ## Format the code and mend what the linter can
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

lock: $(UV) ## Renew the lock file
	$(UV) lock --upgrade

clean: ## Remove everything that the other commands made
	rm -rf .tools .venv .venvs .home dagweave-demo dist

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Dagweave needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Choose another: make PYTHON=python3.12 ...")'
	@echo "Setting up uv in .tools/ ..."
	@$(PYTHON) -m venv .tools
	@.tools/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'

# The main environment: every extra, every tool.
.venv/ready: pyproject.toml uv.lock | $(UV)
	@echo "Setting up .venv/ ..."
	@$(UV) sync --quiet --frozen --all-extras
	@touch $@

# DuckDB 1.x, for the warehouse tests.
.venvs/duckdb1/ready: pyproject.toml uv.lock | $(UV)
	@echo "Setting up .venvs/duckdb1/ ..."
	@UV_PROJECT_ENVIRONMENT=.venvs/duckdb1 $(UV) sync --quiet --frozen \
	  --no-default-groups --group test --group duckdb1 --extra duckdb --extra pandas --extra polars
	@touch $@

# No extra at all: importing every integration must work here, and cost next to nothing.
.venvs/bare/ready: pyproject.toml uv.lock | $(UV)
	@echo "Setting up .venvs/bare/ ..."
	@UV_PROJECT_ENVIRONMENT=.venvs/bare $(UV) sync --quiet --frozen --no-default-groups
	@touch $@

# An emulator brings libraries that would not go with ours.
.venvs/emulator-%/ready: tests/emulators/%/requirements.txt | $(UV)
	@echo "Setting up .venvs/emulator-$*/ ..."
	@$(UV) venv --quiet --clear .venvs/emulator-$*
	@$(UV) pip install --quiet --python .venvs/emulator-$*/bin/python -r $<
	@touch $@

.venvs/dbt-%/ready: tests/dbt/versions/%.txt tests/dbt/versions/overrides | $(UV)
	@echo "Setting up .venvs/dbt-$*/ ..."
	@$(UV) venv --quiet --clear .venvs/dbt-$*
	@$(UV) pip install --quiet --python .venvs/dbt-$*/bin/python --override tests/dbt/versions/overrides -r $<
	@touch $@

# The official packages, for the benchmarks only.
.venvs/official/ready: benchmarks/official.txt | $(UV)
	@echo "Setting up .venvs/official/ ..."
	@$(UV) venv --quiet --clear .venvs/official
	@$(UV) pip install --quiet --python .venvs/official/bin/python -r benchmarks/official.txt
	@touch $@
