# `make demo` shows the tool on a trained model; `make test` runs the tests. Both set up .venv once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint bench docs fixtures clean
.DEFAULT_GOAL := demo

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("nllcheck needs Python 3.11 or later; try: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP)
	@$(BIN)/nllcheck demo

test: $(STAMP)
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python benchmarks/sweep.py
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/density.py
	$(BIN)/python benchmarks/peers.py
	$(BIN)/python -m benchmarks.programs
	$(BIN)/python benchmarks/detect

docs: $(STAMP)
	$(BIN)/python docs/make.py

fixtures: $(STAMP)
	for d in fixtures/*/train.py; do $(BIN)/python $$d || exit 1; done

clean:
	rm -rf $(VENV)
