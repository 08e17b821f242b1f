# Two commands do everything on a fresh machine, creating their own virtual environment:
#   make demo   segment the example images with the bundled model
#   make test   run the checks and the fast tests
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test slow lint clean

demo: $(STAMP)
	$(BIN)/python examples/demo.py --out demo

test: $(STAMP) lint
	$(BIN)/python -m pytest -m "not slow" -n auto

slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(STAMP): pyproject.toml requirements-dev.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	-$(BIN)/python -m cellpose doctor --warm
	touch $(STAMP)

clean:
	rm -rf $(VENV) demo
