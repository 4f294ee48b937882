# Two commands do all the set-up: `make demo` and `make test`. Neither needs the Hub. `make help` lists the others.

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?= -n 2

PROMPTS = "a person waves the left hand" "a person walks forward and turns left"
DURATION = 5
SEED = 0
OUTPUT = outputs/demo

SHELL := /bin/sh
BIN := $(VENV)/bin

.PHONY: help demo install test lint format bench bench-systems wheel clean
.DELETE_ON_ERROR:

help:
	@echo "make demo     two sentences become BVH, MP4, HTML and PNG files in $(OUTPUT)"
	@echo "make test     the fast test suite; PYTEST_ARGS='-m slow' runs the slow one"
	@echo "make lint     what must hold for code style; make format repairs what can be repaired"
	@echo "make bench    the benchmarks"
	@echo "make bench-systems   seconds and quality of every system; SYSTEMS_ARGS='--dataset ... NAME=FOLDER' adds checkpoints"
	@echo "make wheel    build dist/*.whl"
	@echo "make install  only the environment for development, in $(VENV)"
	@echo "make clean    remove build results and caches, not $(VENV)"
	@echo "PYTHON=$(PYTHON) and VENV=$(VENV) choose the interpreter and the environment."

demo: $(VENV)/.installed-demo
	HF_HUB_OFFLINE=1 $(BIN)/hf-motion generate $(PROMPTS) --seconds $(DURATION) --seed $(SEED) --output $(OUTPUT) \
		--format bvh --format mp4 --format html --format png

install: $(VENV)/.installed-dev

# One thread per worker: two workers with two threads each fight for two cores, and sums keep their order, so golden values hold.
test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m mypy tests/typing

format: $(VENV)/.installed-dev
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

bench: $(VENV)/.installed-dev
	$(BIN)/python tests/benchmarks/run.py

bench-systems: $(VENV)/.installed-dev
	$(BIN)/python tests/benchmarks/systems.py $(SYSTEMS_ARGS)

# pip alone builds it. setuptools packs whatever an earlier build left in build/, so that goes first.
wheel: | $(BIN)/pip
	rm -rf build
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	@ls -l dist

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache
	find hf_motion tests training pipelines -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp per set of extras: pip runs again only after the requirements have changed.
$(VENV)/.installed-%: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing hf_motion[$*] into $(VENV); the first time takes some minutes ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[$*]"
	@touch $@

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hf_motion needs Python 3.11 or newer, this is " \
		+ sys.version.split()[0] + ". Try: make PYTHON=python3.11")'
	@$(PYTHON) -m venv $(VENV)
