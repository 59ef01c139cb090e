# orcha: `make run` shows it on simulated nodes, `make test` runs the whole suite. `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= auto

.PHONY: help run test check bench bench-decide fuzz-api tools lock format docs pictures clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# The environment is made from the lock (versions and hashes) and made again when the lock changes.
$(VENV)/.installed: requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "orcha needs Python 3.11 or newer; set PYTHON=python3.x" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing orcha into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: $(VENV)/.installed ## simulated nodes, controller, exporter, Prometheus and a live table; Ctrl-C ends all
	@$(BIN)/python scripts/demo.py

tools: $(VENV)/.installed ## fetch what tests need besides Python packages
	@$(BIN)/python scripts/fetch_tools.py

test: tools ## the whole suite, in parallel
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup -q

check: tools ## format, lint, types, import walls, generated files, metrics lint
	@$(BIN)/ruff format --check --quiet . || { echo "ruff format would change files; run make format" >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python scripts/docs.py --check
	@$(BIN)/python scripts/rules.py --check
	@$(BIN)/python -m grafana --check
	@$(BIN)/python scripts/tool.py prometheus promtool check config prometheus/prometheus.yml
	@$(BIN)/python scripts/tool.py prometheus promtool check rules --lint=all --lint-fatal prometheus/rules/*.yaml
	@for f in alertmanager/alertmanager.yml alertmanager/receivers/*.yml; do $(BIN)/python scripts/tool.py prometheus amtool check-config $$f || exit 1; done
	@$(BIN)/orcha validate examples >/dev/null

format: $(VENV)/.installed ## bring the code into shape
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

docs: $(VENV)/.installed ## write the generated pages, rules and dashboards again
	@$(BIN)/python scripts/docs.py
	@$(BIN)/python scripts/rules.py
	@$(BIN)/python -m grafana

pictures: tools ## draw docs/pictures/ again, by Grafana's libraries in a browser, on a simulated week
	@$(BIN)/python scripts/screenshots.py

bench: $(VENV)/.installed ## figures as ratios, all but bench-decide; JSON goes to .cache/bench/
	@mkdir -p .cache/bench
	@for b in $(filter-out %/bench_decide.py,$(wildcard benchmarks/bench_*.py)); do $(BIN)/python $$b --json .cache/bench/$$(basename $$b .py).json || exit 1; done

bench-decide: $(VENV)/.installed ## how good the decisions are: every scenario x 20 seeds; OPTIONS="--quick" for a look
	@mkdir -p .cache/bench
	@$(BIN)/python benchmarks/bench_decide.py --json .cache/bench/bench_decide.json $(OPTIONS)

fuzz-api: $(VENV)/.installed ## 10 000 made-up requests against the API; OPTIONS="--quick" for a look
	@$(BIN)/python benchmarks/fuzz_api.py $(OPTIONS)

lock: $(VENV)/.installed ## lock the newest versions that pyproject.toml allows (versions and hashes, no addresses)
	@$(BIN)/uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q pyproject.toml -o requirements/base.lock
	@$(BIN)/uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q pyproject.toml --group dev -o requirements/dev.lock

clean: ## remove the environment and every cache of this folder
	@rm -rf $(VENV) .cache .orcha .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
