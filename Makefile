# make demo   install, then run the published method on real yeast data (a simulated clade offline)
# make test   install, then run the tests
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Where the simulated clade goes when the real data cannot be had.
SIMULATED ?= build/simulated

.PHONY: help demo test test-all check modules docs dist clean

help:
	@sed -n 's/^# make /make /p' Makefile
	@echo 'make test-all  all tests, the slow ones as well'
	@echo 'make check  ruff and mypy'
	@echo 'make modules  renew docs/modules.md'
	@echo 'make docs  the documentation site, in build/site'
	@echo 'make dist   build the sdist and the wheel, into dist/'
	@echo 'make clean  delete the environment and everything the demo made'

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "crosslabel needs Python 3.11 to 3.13 (TensorFlow has no newer build);" \
	       "call: make PYTHON=python3.12 …" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "$(PYTHON) cannot make environments (Debian: install python3-venv)" >&2; exit 2; }

# A stamp per kind of installation: a second call starts work at once.
$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo 'Installing (some minutes the first time) …'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo 'Installing with the tools of development (some minutes the first time) …'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.installed

demo: $(VENV)/.installed
	@$(BIN)/crosslabel fetch examples/yeast; code=$$?; \
	if [ $$code -eq 0 ]; then \
	  $(BIN)/crosslabel run examples/yeast; \
	elif [ $$code -eq 3 ]; then \
	  echo 'The yeast data cannot be had here: the same job on a simulated clade with known truth.'; \
	  { [ -f $(SIMULATED)/truth.npz ] \
	    || { rm -rf $(SIMULATED); $(BIN)/crosslabel init --simulated $(SIMULATED); }; } \
	  && $(BIN)/crosslabel run $(SIMULATED); \
	else exit $$code; fi
	@echo 'The command crosslabel is in $(VENV); to use it in this shell:  . $(VENV)/bin/activate'

# Two processes: a file's tests stay together, so its fixtures are made once.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile

test: $(VENV)/.installed-dev
	$(PYTEST)

test-all: $(VENV)/.installed-dev
	$(PYTEST) -m 'slow or not slow'

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# docs/modules.md, from the docstrings.
modules: $(VENV)/.installed-dev
	$(BIN)/python tests/tools/module_page.py

docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# From a clean build folder: what an earlier build left there would be packed again.
dist: $(VENV)/.installed-dev
	rm -rf dist build/lib
	$(BIN)/python -m build --no-isolation

clean:
	rm -rf $(VENV) build dist examples/yeast/data examples/yeast/store examples/yeast/runs *.egg-info
