# Needs Python 3.11 or newer and make, nothing else: everything is installed into .venv from uv.lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTHON_BIN := $(BIN)/python
STAMP := $(VENV)/.synced
CODE := libs services tests
COMPOSE := docker compose

.DEFAULT_GOAL := help
.PHONY: help setup demo check fix test soak bench up down openapi asyncapi clean

help: ## Show this help
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Use

setup: $(STAMP) ## Install everything into .venv

demo: $(STAMP) ## Run everything against four simulated clusters
	@exec $(BIN)/summit-connect demo

up: .env ## Run everything in containers (docker compose)
	$(COMPOSE) up --build --detach --wait

down: ## Stop the containers; their data stays
	$(COMPOSE) --profile demo down

##@ Develop

check: $(STAMP) ## Lint, types, import contracts, rendered files
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/interrogate --quiet tests
	@$(PYTHON_BIN) -m summit_api.openapi | diff -u docs/openapi.json - >&2 || { \
	  echo "docs/openapi.json is not what the api renders: run make openapi" >&2; exit 1; }
	@$(PYTHON_BIN) -m summit_models.asyncapi | diff -u docs/asyncapi.json - >&2 || { \
	  echo "docs/asyncapi.json is not what the models render: run make asyncapi" >&2; exit 1; }

fix: $(STAMP) ## Format, and mend what ruff can
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

# By file: tests of one file may share what is dear to make. In their order: the longest files come first.
test: $(STAMP) ## Run all tests on embedded servers
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# The same SEED makes the same schedule of faults and the same life of the fleets.
MINUTES ?= 10
soak: $(STAMP) ## Break everything at random for MINUTES=10, then compare all with the truth
	@PYTHONPATH=tests exec $(PYTHON_BIN) -m soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

bench: $(STAMP) ## Measure against the budgets; ONLY=api or ONLY=pipeline a part of them
	$(PYTHON_BIN) tests/bench/run.py $(ONLY)

openapi: $(STAMP) ## Render docs/openapi.json anew
	$(PYTHON_BIN) -m summit_api.openapi > docs/openapi.json.partial
	@mv docs/openapi.json.partial docs/openapi.json

asyncapi: $(STAMP) ## Render docs/asyncapi.json anew
	$(PYTHON_BIN) -m summit_models.asyncapi > docs/asyncapi.json.partial
	@mv docs/asyncapi.json.partial docs/asyncapi.json

clean: ## Remove .venv and all caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

# The lock decides every version; uv is the one thing pip has to fetch. --inexact keeps uv itself.
$(STAMP): pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) --version 2>&1): make PYTHON=/path/to/python3.12 setup" >&2; \
	  exit 1; }
	@test -x $(PYTHON_BIN) || $(PYTHON) -m venv $(VENV)
	@$(PYTHON_BIN) -m pip install --quiet --disable-pip-version-check 'uv>=0.13,<0.14'
	@$(PYTHON_BIN) -m uv sync --frozen --inexact --quiet
	@touch $@

# Written once and kept: the volumes were made with these passwords. Root keeps the image's user, see .env.example.
.env:
	@umask 077; random() { od -An -N$$1 -tx1 /dev/urandom | tr -d ' \n'; }; secret() { printf s; random 24; }; \
	owner=$$(id -u):$$(id -g); test $$(id -u) -ne 0 || owner=10001:10001; \
	sed -e "s/^NATS_PASSWORD=.*/NATS_PASSWORD=$$(secret)/" \
	    -e "s/^POSTGRES_PASSWORD=.*/POSTGRES_PASSWORD=$$(secret)/" \
	    -e "s/^API_ADMIN_TOKEN=.*/API_ADMIN_TOKEN=summit_$$(random 32)/" \
	    -e "s/^KUBECONFIG_OWNER=.*/KUBECONFIG_OWNER=$$owner/" .env.example > $@.partial && mv $@.partial $@
	@echo "wrote .env with new passwords and an admin token"
