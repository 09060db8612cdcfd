# `make help` explains every target.  The environment .venv is created on first use.
# Another interpreter: make setup PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv
WEIGHTS ?= auto
OUTPUT ?= build
DIST ?= dist
OMZ ?= .venv-omz
ARGS ?=

ifeq ($(OS),Windows_NT)
  BIN := $(VENV)/Scripts
else
  BIN := $(VENV)/bin
endif
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup convert package verify test lint bench bench-model parity fidelity campaign train wheel clean

help:  ## show this list
	@echo "make TARGET, where TARGET is one of:"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)$$/  \1|\2/p' Makefile | awk -F'|' '{printf "%-12s %s\n", $$1, $$2}'
	@echo "convert takes WEIGHTS=auto|upstream|bundled|PATH, OUTPUT=DIR and ARGS='more options';"
	@echo "package and verify take these and DIST=DIR."

setup: $(READY)  ## create .venv with the exact versions of constraints.txt (other targets do it if needed)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make setup PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@$(PYTHON) -c 'import pathlib; pathlib.Path("$(READY)").touch()'

convert: $(READY)  ## checkpoint to verified IR: download, export, convert, validate
	@$(BIN)/matting build --weights "$(WEIGHTS)" --output "$(OUTPUT)" $(ARGS)

package: $(READY)  ## package the results of convert as one archive
	@$(BIN)/matting package --weights "$(WEIGHTS)" --output "$(OUTPUT)" --to "$(DIST)" $(ARGS)

verify: $(READY)  ## check every archive in DIST, and run its sample
	@for package in "$(DIST)"/*.tar.gz; do $(BIN)/matting verify "$$package" --run $(ARGS) || exit; done

test: $(READY)  ## run the tests
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

lint: $(READY)  ## ruff, mypy and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## start-up, download, build, evaluation and model relative to their baselines
	$(BIN)/python -m benchmarks $(ARGS)

bench-model: $(READY)  ## speed of the converted model against Open Model Zoo's graph
	$(BIN)/python -m benchmarks model

parity: $(READY)  ## compare with the Open Model Zoo tools, installed in .venv-omz; fails on unlisted differences
	$(BIN)/python -m parity --omz "$(OMZ)" $(ARGS)

fidelity: $(READY)  ## checkpoints and faults through export, conversion and validation; writes docs/fidelity.md
	$(BIN)/python -m fidelity $(ARGS)

campaign: $(READY)  ## faults from outside, for CAMPAIGN_MINUTES (30); writes docs/faults.md
	$(BIN)/python -m campaign $(ARGS)

train: $(READY)  ## repeat the training of the bundled weights (then: python -m training.card)
	$(BIN)/python -m training.bundled $(ARGS)

wheel: $(READY)  ## build the wheel into dist/
	$(BIN)/python -m build --wheel --outdir dist .

clean:  ## remove build, dist and caches; .venv stays
	$(PYTHON) -c 'import shutil; [shutil.rmtree(p, ignore_errors=True) for p in ("build", "dist", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".import_linter_cache")]'
