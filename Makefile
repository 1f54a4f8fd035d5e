# The tasks of the house: make demo | test | check | bench | soak | clean.
# Everything is installed in .venv, with the versions of deploy/constraints.txt.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
# An editable installation knows where it lies: a copied or moved folder must install again.
PLACE := $(shell pwd | cksum | cut -d ' ' -f 1)
INSTALLED := $(VENV)/.qorch-all-$(PLACE)
DEVELOPED := $(VENV)/.qorch-dev-$(PLACE)

# What a user's shell may have set for another project.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
# Without its compiled sources every process starts a second later.
unexport PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DELETE_ON_ERROR:
.PHONY: demo test check bench soak clean

demo: $(INSTALLED)
	@mkdir -p out
	$(RUN) -m qorch.cli.main train digits --db out/demo.db

test: $(DEVELOPED)
	$(RUN) -m pytest -n 2 -m "not serial and not soak"
	$(RUN) -m pytest -m "serial and not soak"

check: $(DEVELOPED)
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy -n 2
	$(RUN) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

bench: $(DEVELOPED)
	$(RUN) -m qorch.cli.main bench --kinds api,engine,gradient

# Tests in a real browser are skipped without Chromium (on Debian: apt-get install chromium).
soak: $(DEVELOPED)
	$(RUN) -m pytest -m soak -rP
	$(RUN) -m pytest -n 2 -m "not serial and not soak" --hypothesis-profile=searching tests/unit tests/wire tests/property

clean:
	rm -rf $(VENV) out build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml deploy/constraints.txt
	$(call install,all)
	@touch $@

$(DEVELOPED): pyproject.toml deploy/constraints.txt
	$(call install,all$(comma)dev)
	@touch $@ $(INSTALLED)

comma := ,

# A leftover .venv whose interpreter is gone, too old or without pip is made anew.
define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "qorch needs Python 3.11 or newer, and $(PYTHON) is not; try: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(RUN) -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(RUN) -m pip install --quiet -c deploy/constraints.txt -e '.[$(1)]'
endef
