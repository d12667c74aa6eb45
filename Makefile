# One word per task. Everything runs from .venv, which is built from the hash-locked requirements
# and rebuilt only when they change. Nothing but Python >= 3.11, make and a C library is needed.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
LOCK   := requirements/dev.txt
ARGS   ?=
PIP    := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip --quiet

# An environment that is a symbolic link belongs to somebody else: it is used as it is.
ifeq ($(shell test -L $(VENV) && echo linked),linked)
READY :=
TALLY := $(BIN)/python -c 'from tigertally.cli.main import main; main()'
export PYTHONPATH := $(CURDIR)/src
else
READY := $(VENV)/.installed
TALLY := $(BIN)/tally
endif

# Python starts twice as fast when it may keep what it has compiled.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help venv quickstart test walk check lint types layers bench soak docs requirements lock fmt clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

venv: $(READY) ## build .venv from the hash-locked requirements

# The stamp is a copy of the lock: a newer date with the same content rebuilds nothing.
$(VENV)/.locked: $(LOCK)
	@if cmp -s $(LOCK) $@; then touch $@; else \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "Python 3.11 or newer is needed; say which: make venv PYTHON=python3.12" >&2; exit 2; }; \
	  echo "building $(VENV) from $(LOCK) (about a minute, once)"; \
	  $(PYTHON) -m venv --clear $(VENV) \
	  && $(PIP) install --require-hashes --no-deps -r $(LOCK) \
	  && $(PIP) check \
	  && cp $(LOCK) $@; fi

$(VENV)/.installed: $(VENV)/.locked pyproject.toml
	@$(PIP) install --no-deps --no-build-isolation --editable . && touch $@

quickstart: $(READY) ## the main job for real; FILE=path takes a file of yours
	@$(TALLY) quickstart $(if $(FILE),--file "$(FILE)")

test: $(READY) ## all tests, two at a time; TESTS=path and ARGS=options narrow it
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS) $(TESTS)

walk: $(READY) ## hours: every case of every walk, long fuzzing; TESTS and ARGS narrow it
	@TALLY_WHOLE_WALK=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "walk or hypothesis" \
	  $(ARGS) $(TESTS)

check: lint types layers test docs ## everything a change must pass

lint: $(READY) ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(READY) ## mypy, strict
	@$(BIN)/mypy

layers: $(READY) ## imports point down only
	@PYTHONPATH=$(CURDIR)/src $(BIN)/lint-imports

docs: $(READY) ## build the documentation, warnings are errors
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(READY) ## ratios against peers, printed and kept in docs/performance.md
	@$(BIN)/python bench/run.py $(ARGS)

soak: $(READY) ## ten minutes of a domain at random; SECONDS=60 SEED=7 say otherwise
	@SOAK_SECONDS=$(or $(SECONDS),600) SOAK_SEED=$(SEED) \
	  $(BIN)/python -m pytest -n 0 -q -p no:cacheprovider tests/integration/test_soak.py

requirements: $(READY) ## bring docs/requirements.md up to date with the tests' marks
	@$(BIN)/python tests/requirement_marks.py

fmt: $(READY) ## format and mend what can be mended
	@$(BIN)/ruff check --fix-only --quiet . ; $(BIN)/ruff format .

lock: ## resolve the requirements anew (needs the network and `uv`, installed beside)
	@UV="$$(command -v uv || true)"; \
	if [ -z "$$UV" ]; then \
	  $(PYTHON) -m venv build/uv && build/uv/bin/python -m pip --quiet install uv; UV=build/uv/bin/uv; fi; \
	set -e; common="--universal --python-version 3.11 --generate-hashes --no-annotate \
	  --no-emit-index-url --no-emit-find-links --upgrade --quiet"; \
	UV_CUSTOM_COMPILE_COMMAND="make lock" "$$UV" pip compile pyproject.toml $$common \
	  --output-file requirements/run.txt >/dev/null; \
	UV_CUSTOM_COMPILE_COMMAND="make lock" "$$UV" pip compile pyproject.toml --group dev $$common \
	  --constraints requirements/run.txt --output-file requirements/dev.txt >/dev/null

clean: ## remove what was built, the environment included
	@rm -rf build dist site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	@if [ ! -L $(VENV) ]; then rm -rf $(VENV); fi
