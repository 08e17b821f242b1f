# Two commands do everything on a fresh machine, creating their own virtual environment:
#   make demo   segment the example images with the bundled model
#   make test   run the checks and the fast tests
# And one opens the window on an example:
#   make window
# make serve shows the page for the browser with the examples; make space puts together a Space of Hugging Face.
# make docs builds the site of the documents: build/site/index.html, which can be opened from the disk.
# make web builds the page that segments in the browser alone, which `cellpose serve` shows at /local; it needs Node 20.
# make texts writes the texts of the window into the catalogue that translations begin with, and brings these up to date.
# make test-napari makes an environment with napari and runs the tests of the plugin, which skip elsewhere.
# make test-browser builds that page and runs the tests of both pages in Chromium.
# make test-avx2 runs the tests as on a processor without AVX-512.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
DOCS   := .venv-docs

.PHONY: demo window serve space web texts docs test test-browser test-avx2 test-napari slow lint benchmarks clean

demo: $(STAMP)
	$(BIN)/python examples/demo.py --out demo

window: $(STAMP)
	$(BIN)/python examples/window.py

serve: $(STAMP)
	$(BIN)/python -m cellpose serve --examples examples

space: $(STAMP)
	rm -rf build/space
	mkdir -p build/space/examples
	$(BIN)/python -m hatchling build --target wheel --directory build/space
	cp deploy/huggingface/* build/space
	cp $(filter-out %_masks.png,$(wildcard examples/*.png)) build/space/examples
	@echo "push the content of build/space to a Space"

LOCALE := src/cellpose/gui/locale
texts: $(STAMP)
	$(BIN)/pybabel --quiet extract --no-default-keywords --keywords="tr tr_n:1,2 mark" --add-location=file --sort-by-file \
	  --project=cellpose --output-file=$(LOCALE)/cellpose.pot src/cellpose/gui
	$(if $(wildcard $(LOCALE)/*/LC_MESSAGES/cellpose.po),\
	  $(BIN)/pybabel --quiet update --no-fuzzy-matching --domain=cellpose --input-file=$(LOCALE)/cellpose.pot --output-dir=$(LOCALE) && \
	  $(BIN)/pybabel --quiet compile --domain=cellpose --directory=$(LOCALE))

# The libraries of the site are in an environment of their own; the package writes its reference pages from $(VENV).
docs: $(STAMP) $(DOCS)/.installed
	CELLPOSE_PYTHON=$(BIN)/python NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --quiet --strict
	@echo "open build/site/index.html"

$(DOCS)/.installed: requirements-docs.lock
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/pip install --quiet --disable-pip-version-check -r requirements-docs.lock
	touch $@

# Type checks, tests, and the page itself: src/cellpose/serve/local, and with the weights, for any web server, build/web.
web: web/node_modules/.package-lock.json
	cd web && npm run --silent kernels && npm run --silent check && npm test && npm run --silent build && npm run --silent site

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	cd web && npm ci
	touch $@

test: $(STAMP) lint
	$(BIN)/python -m pytest -m "not slow" -n auto

test-browser: $(STAMP) web
	$(BIN)/python -m pytest tests/web tests/serve/test_page.py -n 2

test-avx2: $(STAMP)
	$(BIN)/python benchmarks/as_processor.py avx2 python -m pytest -m "not slow" -n auto

# napari brings many libraries, so it has an environment of its own. No screen is needed.
test-napari:
	$(PYTHON) -m venv $(VENV)-napari
	$(VENV)-napari/bin/pip install --quiet --disable-pip-version-check ".[napari,measure]" pytest pytest-xdist pytest-timeout pytest-qt
	QT_QPA_PLATFORM=offscreen $(VENV)-napari/bin/python -m pytest tests/napari_plugin

slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# PYTHON_V3 and PYTHON_V4: interpreters with versions 3.1.1.3 and 4.2.1.1 of the original; one may be left out.
benchmarks: $(STAMP)
	$(BIN)/python benchmarks/goals.py $(if $(PYTHON_V3),--python-v3 $(PYTHON_V3)) $(if $(PYTHON_V4),--python-v4 $(PYTHON_V4)) $(FLAGS)

$(STAMP): pyproject.toml requirements-dev.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	-$(BIN)/python -m cellpose doctor --warm
	touch $(STAMP)

clean:
	rm -rf $(VENV) $(DOCS) build demo
