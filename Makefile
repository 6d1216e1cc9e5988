# For a fresh machine: `make demo`. While writing: `make quick`. Before a change is proposed: `make check test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

# Tests run side by side, those that train first; a worker that has nothing left takes tests from another one.
PYTEST = $(BIN)/pytest -n auto --dist worksteal

.PHONY: demo quick test nightly check clean

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

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed pyproject.toml
	$(BIN)/pip install --quiet --editable ".[test]"
	touch $@

clean:
	rm -rf $(VENV)
