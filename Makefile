# orcha: `make run` shows it on simulated nodes, `make test` runs the whole suite. `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One more than there are processors: who tests real programs waits for them half of the time.
JOBS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')

.PHONY: help run test check bench bench-decide bench-dashboards bench-fleet bench-newcomer fuzz-api release tools lock format docs pictures clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# The environment is made from locks (versions and hashes) and made again when they change: what orcha needs itself, for `run`,
# is a quarter of what its tests need.
$(VENV)/.runs: requirements/run.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "orcha needs Python 3.11 or newer; set PYTHON=python3.x" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing orcha into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed: requirements/dev.lock $(VENV)/.runs
	@echo "installing what the tests need ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@touch $@

run: $(VENV)/.runs ## simulated nodes, controller, exporter, Prometheus and a live table; Ctrl-C ends all
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
	@$(BIN)/python scripts/chart.py --check
	@$(BIN)/python scripts/release.py --check
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
	@$(BIN)/python scripts/chart.py

pictures: tools ## draw docs/pictures/ again, by Grafana's libraries in a browser, on a simulated week
	@$(BIN)/python scripts/screenshots.py

bench: $(VENV)/.installed ## figures as ratios, all but bench-decide, bench-dashboards and bench-newcomer; JSON goes to .cache/bench/
	@mkdir -p .cache/bench
	@for b in $(filter-out %/bench_decide.py %/bench_dashboards.py %/bench_newcomer.py,$(wildcard benchmarks/bench_*.py)); do $(BIN)/python $$b --json .cache/bench/$$(basename $$b .py).json || exit 1; done

bench-fleet: tools ## agents that share what they know: saturation, merging, convergence, nine of them alone and over NATS
	@mkdir -p .cache/bench
	@$(BIN)/python benchmarks/bench_fleet.py --json .cache/bench/bench_fleet.json $(OPTIONS)
	@$(BIN)/python benchmarks/bench_fleet_nats.py $(OPTIONS)

bench-dashboards: $(VENV)/.installed ## every query of every dashboard on 1 000 workloads; half an hour, OPTIONS="--tsdb DIR" keeps the data
	@mkdir -p .cache/bench
	@$(BIN)/python benchmarks/bench_dashboards.py --json .cache/bench/bench_dashboards.json $(OPTIONS)

bench-newcomer: $(VENV)/.installed ## from a clone to the first plan, and to one's own first readings
	@mkdir -p .cache/bench
	@$(BIN)/python benchmarks/bench_newcomer.py --json .cache/bench/bench_newcomer.json $(OPTIONS)

bench-decide: $(VENV)/.installed ## how good the decisions are: every scenario x 20 seeds; OPTIONS="--quick" for a look
	@mkdir -p .cache/bench
	@$(BIN)/python benchmarks/bench_decide.py --json .cache/bench/bench_decide.json $(OPTIONS)

fuzz-api: $(VENV)/.installed ## 10 000 made-up requests against the API; OPTIONS="--quick" for a look
	@$(BIN)/python benchmarks/fuzz_api.py $(OPTIONS)

COMPILE = $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q

lock: $(VENV)/.installed ## lock the newest versions that pyproject.toml allows (versions and hashes, no addresses)
	@$(COMPILE) --upgrade pyproject.toml --group dev -o requirements/dev.lock
	@$(COMPILE) -c requirements/dev.lock pyproject.toml -o requirements/base.lock
	@$(COMPILE) -c requirements/dev.lock pyproject.toml --group install -o requirements/run.lock
	@$(COMPILE) -c requirements/dev.lock pyproject.toml --extra fleet --extra kubernetes --extra postgres -o requirements/image.lock
	@$(COMPILE) -c requirements/dev.lock requirements/build.in -o requirements/build.lock

release: tools ## wheel, sdist, chart, SBOM and checksums into dist/
	@$(BIN)/python scripts/release.py

clean: ## remove the environment and every cache of this folder
	@rm -rf $(VENV) .cache .orcha .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
