# The commands of the README and of CI. Each target creates what it needs by itself:
# Python 3.11 or newer and make are all that a machine must have.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python
PURE_TESTS := tests/policy tests/provenance tests/classify tests/audit tests/protocols tests/identity \
  $(addprefix tests/test_,$(addsuffix .py,approvals breakers canonical errors forecasts fulfilment governed_log \
  governor_admit governor_approvals governor_breakers governor_evaluate governor_information_flow governor_log governor_sessions governor_settle \
  governor_stops model obligations observation outlook remits sessions signing standing stops text))
PURE_TESTS += tests/inspection $(filter-out %/test_overspend.py,$(wildcard tests/budgets/test_*.py))

.PHONY: console screenshots evals demo test edges static test-adapters lock-frameworks check coverage bench bench-peers fix soak fuzz bare lock setup peers clean

demo: setup  ## A hijacked agent, first ungoverned, then governed; 20 seconds
	$(BIN)/remit demo

test: setup  ## All tests
	$(RUN) -m pytest -n 2 --dist loadfile

edges: setup  ## The tests that `make coverage` does not run
	$(RUN) -m pytest -n 2 --dist loadfile $(addprefix --ignore=,$(PURE_TESTS))

check: bare coverage static  ## Style, types, layers, coverage of the pure core, bare install

static: setup  ## Style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports

coverage: setup  ## Every branch of the pure layers, by the tests of the pure layers
	$(RUN) -m pytest -n 2 --dist loadfile --cov --cov-config=tests/pure.coveragerc \
	  --cov-report=term:skip-covered $(PURE_TESTS)

soak: setup  ## Hours: a million admissions, memory flat; 100 faults of a fleet; 100,000 requests to models with random faults
	env -u PYTHONDONTWRITEBYTECODE $(RUN) -m benchmarks.soak
	REMIT_FAULT_ROUNDS=20 $(RUN) -m pytest -s tests/postgres/test_postgres_faults.py
	REMIT_SOAK_MODELS=100000 $(RUN) -m pytest tests/model_gateway/test_model_soak.py

fuzz: setup  ## The API, the MCP relay, model APIs, legacy APIs and the forward proxy under many more made-up messages than in CI
	REMIT_FUZZ_EXAMPLES=500 $(RUN) -m pytest tests/server/test_openapi.py \
	  tests/protocols/test_model_properties.py
	$(RUN) tests/mcp_gateway/fuzz_mcp.py 300
	REMIT_FUZZ_EXAMPLES=5000 $(RUN) -m pytest tests/legacy/test_legacy_fuzz.py \
	  tests/egress/test_forward_fuzz.py

bare: setup  ## The built wheel, alone in a fresh environment
	PYTHON=$(RUN) bash tests/bare_install.sh

bench: setup  ## Ratios against a floor or a peer measured in the same run
	env -u PYTHONDONTWRITEBYTECODE $(RUN) -m benchmarks

evals: setup  ## A fully hijacked agent on AgentDojo, with and without an approver; minutes
	test -x .bench-peers/agentdojo/bin/python || $(PYTHON) -m venv .bench-peers/agentdojo
	$(BIN)/uv pip install -q --python .bench-peers/agentdojo/bin/python agentdojo==0.1.35 -e .
	cd evals && for approver in none ideal; do \
	  for attack in important_instructions direct paraphrased; do \
	    ../.bench-peers/agentdojo/bin/python agentdojo_replay.py --guard remit_guard:RemitGuard \
	      --approver $$approver --attack $$attack || exit 1; done; done

fix: setup  ## Format and repair what can be repaired mechanically
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: setup  ## Resolve requirements.lock anew (no index address is written into it)
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
	  --group dev --all-extras pyproject.toml -o requirements.lock

peers: setup  ## What the MCP gateway is tested against, into .peers (tests install it themselves)
	$(RUN) tests/mcp_gateway/installing.py

test-adapters: setup  ## The contracts of all adapters and coding agents, in the real programs
	REMIT_ADAPTERS=all $(RUN) -m pytest tests/adapters tests/hooks

lock-frameworks: setup  ## Resolve the frameworks that adapters are tested with anew
	$(RUN) tests/adapters/environments.py --lock

bench-peers: setup  ## What `make bench` compares the gateways with, into .bench-peers
	$(RUN) benchmarks/peers/installing.py

console: setup  ## The console's scripts and styles, from npm, into the package

screenshots: setup  ## docs/screenshots, anew, from a server with made-up work
	$(RUN) tests/console/screenshots.py

setup: $(VENV)/.ready
	@$(RUN) console-assets/build.py >/dev/null

$(VENV)/.ready: pyproject.toml requirements.lock
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install -q --disable-pip-version-check uv
	$(BIN)/uv pip install -q --python $(RUN) --require-hashes -r requirements.lock
	$(BIN)/uv pip install -q --python $(RUN) --no-deps -e .
	touch $@

clean:
	rm -rf $(VENV) console-assets/node_modules src/remit/console/static/vendor build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .coverage*
