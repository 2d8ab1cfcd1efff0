# Two commands on a fresh machine: `make book` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST_ARGS ?=
# Another processor rounds otherwise, and a training ends elsewhere: what is learnt is tested on an old one too.
OLD_CPU := ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41

.DEFAULT_GOAL := help
.PHONY: help env book test verify lint bench lock lock-upgrade clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(STAMP) ## the environment alone: .venv with the locked requirements

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "avlib needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + "; name another one with make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

book: $(STAMP) ## execute the stale chapters, then build the site at book/_build/html/index.html
	$(BIN)/avlib book execute --stale
	$(BIN)/avlib book build

test: $(STAMP) ## every test: the library, the chapters in their smallest form, and whether what is committed is current
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_ARGS)
	OMP_NUM_THREADS=1 $(OLD_CPU) $(BIN)/python -m pytest -m learns
	$(BIN)/avlib book test
	$(BIN)/avlib book verify --stale
	$(BIN)/avlib book check $(if $(GITHUB_ACTIONS),--github)

verify: $(STAMP) ## the strict checks: stale chapters and claims, and all committed outputs (minutes)
	$(BIN)/avlib book check --strict
	$(BIN)/avlib book verify

lint: $(STAMP) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP) ## the performance table: each row beside a peer measured in the same run (bench/on_gpu.py is for a card)
	@for script in $(filter-out bench/on_gpu.py,$(wildcard bench/*.py)); do echo "== $$script"; $(BIN)/python $$script || exit 1; done

# The lock is made from pyproject.toml alone; pins that still fit are kept, `lock-upgrade` renews them all.
LOCK = $(VENV)-lock/bin/uv pip compile pyproject.toml --extra book --extra data --extra dev --universal \
	--generate-hashes --no-header --no-annotate --python-version 3.11 --quiet --output-file requirements.lock

$(VENV)-lock/bin/uv:
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet --disable-pip-version-check uv

lock: $(VENV)-lock/bin/uv ## regenerate requirements.lock from pyproject.toml
	$(LOCK)

lock-upgrade: $(VENV)-lock/bin/uv ## the same with the newest versions
	$(LOCK) --upgrade

clean: ## remove what was built (not the environment)
	rm -rf book/_build build dist .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
