# For a fresh machine: `make demo`. While writing: `make quick`. Before a change is proposed: `make check test`. The
# documentation as a site: `make site`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

# Tests run side by side, those that train first; a worker that has nothing left takes tests from another one.
PYTEST = $(BIN)/pytest -n auto --dist worksteal

.PHONY: demo quick test nightly check site clean

demo: $(VENV)/.installed
	$(BIN)/simbench run quick

# Neither trains networks nor starts processes or a browser.
quick: $(VENV)/.installed-test
	$(PYTEST) -m "not trains and not process and not browser and not slow"

test: $(VENV)/.installed-test
	$(PYTEST)

# Everything, the last test first: none may depend on one before it.
nightly: $(VENV)/.installed-test
	$(PYTEST) --backwards

check: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Warnings are errors (`strict`), notebooks are run, and nothing is loaded from elsewhere. NO_MKDOCS_2_WARNING silences an
# announcement of mkdocs-material.
site: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed pyproject.toml
	$(BIN)/pip install --quiet --editable ".[test]"
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed pyproject.toml
	$(BIN)/pip install --quiet --editable ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) build/site
