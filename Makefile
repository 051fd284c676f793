# The commands of the README and of CI. Each target creates what it needs by itself:
# Python 3.11 or newer and make are all that a machine must have.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python

.PHONY: demo test check bench fix soak bare lock setup clean

demo: setup  ## A hijacked agent, first ungoverned, then governed; 20 seconds
	$(BIN)/remit demo

test: setup  ## All tests; measures the coverage that check looks at
	$(RUN) -m pytest -n 2 --dist loadfile --cov --cov-config=tests/pure.coveragerc --cov-report=

check: setup bare  ## Style, types, layers, coverage of the pure core, bare install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports
	test -e .coverage || $(MAKE) test
	$(BIN)/coverage report --rcfile=tests/pure.coveragerc --skip-covered

bare: setup  ## The built wheel, alone in a fresh environment
	PYTHON=$(RUN) bash tests/bare_install.sh

bench: setup  ## Ratios against a floor or a peer measured in the same run
	env -u PYTHONDONTWRITEBYTECODE $(RUN) -m benchmarks

fix: setup  ## Format and repair what can be repaired mechanically
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: setup  ## Resolve requirements.lock anew (no index address is written into it)
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
	  --group dev --all-extras pyproject.toml -o requirements.lock

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml requirements.lock
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install -q --disable-pip-version-check uv
	$(BIN)/uv pip install -q --python $(RUN) --require-hashes -r requirements.lock
	$(BIN)/uv pip install -q --python $(RUN) --no-deps -e .
	touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .coverage*
