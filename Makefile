# Needs Python 3.11 or newer and make, nothing else: everything is installed into .venv from uv.lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTHON_BIN := $(BIN)/python
STAMP := $(VENV)/.synced
CODE := libs services tests docs
COMPOSE := docker compose

.DEFAULT_GOAL := help
.PHONY: help setup demo check fix test test-nats-cluster test-slow test-postgres test-kubernetes soak bench up down openapi asyncapi nats-users revision clean

help: ## Show this help
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Use

setup: $(STAMP) ## Install everything into .venv

demo: $(STAMP) ## Run everything against four simulated clusters; PORT=3101 for another port
	@exec $(BIN)/summit-connect demo $(if $(PORT),--port $(PORT))

up: .env ## Run everything in containers with docker compose
	$(COMPOSE) up --build --detach --wait

down: ## Stop the containers and keep their data
	$(COMPOSE) --profile demo --profile observe down

##@ Develop

check: $(STAMP) ## Check style, types, imports and the rendered files
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/interrogate --quiet tests
	@$(PYTHON_BIN) -m summit_api.openapi.document | diff -u docs/openapi.json - >&2 || { \
	  echo "docs/openapi.json is not what the api renders: run make openapi" >&2; exit 1; }
	@$(PYTHON_BIN) -m summit_api.asyncapi.document | diff -u docs/asyncapi.json - >&2 || { \
	  echo "docs/asyncapi.json is not what the api renders: run make asyncapi" >&2; exit 1; }

fix: $(STAMP) ## Format the code and fix what ruff can fix
	$(BIN)/ruff check --fix-only $(CODE)
	$(BIN)/ruff format $(CODE)

# One worker takes a whole file, since its tests may share what is slow to start. The longest files come first. Tests
# wait for servers most of the time, so four workers fit on two cores; and they start hundreds of processes, each of
# which would compile every module again where Python is forbidden to write bytecode.
test test-nats-cluster test-slow: export PYTHONDONTWRITEBYTECODE =
test: $(STAMP) ## Run the tests on embedded servers
	$(BIN)/pytest -m "not slow and not kubectl and not observe" --numprocesses 4 --dist loadfile --no-loadscope-reorder

# Watcher and projector go on when the leader of the log dies, so their tests run in a storm. Others expect an answer at
# once, which no cluster gives while it elects a leader: they show that replicas which are behind do no harm.
STORM := $(addprefix tests/integration/,leases projector watcher)
test-nats-cluster: $(STAMP) ## Run what concerns NATS on three servers that lose their leader
	$(BIN)/pytest --nats-cluster storm --numprocesses 2 --dist loadfile $(STORM)
	$(BIN)/pytest --nats-cluster calm --numprocesses 2 --dist loadfile tests/integration

test-slow: $(STAMP) ## Run the tests that take longest, as a soak of a minute
	$(BIN)/pytest -m slow --numprocesses 2 --dist load

# Its tests are those of `make test` that need a database; the servers are those of `apt install postgresql pgbouncer`.
test-postgres: export PYTHONDONTWRITEBYTECODE =
test-postgres: $(STAMP) ## Run the tests of the tables on Debian's PostgreSQL behind PgBouncer
	$(BIN)/pytest --postgres=pgbouncer -m "not slow" --numprocesses 4 --dist loadfile --no-loadscope-reorder tests/integration

test-kubernetes: $(STAMP) ## Render deploy/ with kubectl and check every object; needs no cluster
	$(BIN)/pytest -m kubectl tests/integration/deployment

.PHONY: test-observe
test-observe: export PYTHONDONTWRITEBYTECODE =
test-observe: $(STAMP) ## Ask a real Prometheus each expression of the dashboard and the alerts
	@command -v prometheus >/dev/null || { \
	  echo "make test-observe needs a Prometheus: sudo apt install prometheus" >&2; exit 1; }
	$(BIN)/pytest -m observe tests/observe

.PHONY: test-compose
test-compose: $(STAMP) ## Run everything in containers of a project of its own, and break it; needs docker compose 2.24
	@PYTHONPATH=tests exec $(PYTHON_BIN) -m compose

# The same SEED gives the same schedule of faults and the same changes in the clusters.
MINUTES ?= 10
soak: $(STAMP) ## Break parts at random for MINUTES=10, then compare all with the clusters
	@PYTHONPATH=tests exec $(PYTHON_BIN) -m soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

bench: $(STAMP) ## Measure against the budgets; ONLY=api, pipeline, operations, leases or edge for a part, ONLY=fences for a decision
	@PYTHONPATH=tests exec $(PYTHON_BIN) tests/bench/run.py $(ONLY)

openapi: $(STAMP) ## Write docs/openapi.json from the api
	$(PYTHON_BIN) -m summit_api.openapi.document > docs/openapi.json.partial
	@mv docs/openapi.json.partial docs/openapi.json

asyncapi: $(STAMP) ## Write docs/asyncapi.json from the events' fields
	$(PYTHON_BIN) -m summit_api.asyncapi.document > docs/asyncapi.json.partial
	@mv docs/asyncapi.json.partial docs/asyncapi.json

nats-users: $(STAMP) ## Write config/nats-users.conf from the rights of each role
	$(PYTHON_BIN) -m summit_runtime.nats.rights > config/nats-users.conf.partial
	@mv config/nats-users.conf.partial config/nats-users.conf

revision: $(STAMP) ## Write the migration that changed tables need: MESSAGE="cpu model"
	@test -n "$(MESSAGE)" || { echo 'what does the migration do? make revision MESSAGE="cpu model"' >&2; exit 1; }
	$(PYTHON_BIN) -m summit_standalone.revision "$(MESSAGE)"

clean: ## Remove .venv and all caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

# uv.lock decides every version; pip installs only uv. --inexact keeps uv itself.
$(STAMP): pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) --version 2>&1): make PYTHON=/path/to/python3.12 setup" >&2; \
	  exit 1; }
	@test -x $(PYTHON_BIN) || $(PYTHON) -m venv $(VENV)
	@$(PYTHON_BIN) -m pip install --quiet --disable-pip-version-check 'uv>=0.13,<0.14'
	@$(PYTHON_BIN) -m uv sync --frozen --inexact --quiet
	@touch $@

# It is written once, since the volumes are made with these passwords. For root the image's user stays, see .env.example.
.env:
	@umask 077; random() { od -An -N$$1 -tx1 /dev/urandom | tr -d ' \n'; }; secret() { printf s; random 24; }; \
	owner=$$(id -u):$$(id -g); test $$(id -u) -ne 0 || owner=10001:10001; \
	sed -e "s/^NATS_PASSWORD=.*/NATS_PASSWORD=$$(secret)/" \
	    -e "s/^NATS_WATCHER_PASSWORD=.*/NATS_WATCHER_PASSWORD=$$(secret)/" \
	    -e "s/^NATS_PROJECTOR_PASSWORD=.*/NATS_PROJECTOR_PASSWORD=$$(secret)/" \
	    -e "s/^NATS_API_PASSWORD=.*/NATS_API_PASSWORD=$$(secret)/" \
	    -e "s/^NATS_FEED_PASSWORD=.*/NATS_FEED_PASSWORD=$$(secret)/" \
	    -e "s/^NATS_LIVE_PASSWORD=.*/NATS_LIVE_PASSWORD=$$(secret)/" \
	    -e "s/^POSTGRES_PASSWORD=.*/POSTGRES_PASSWORD=$$(secret)/" \
	    -e "s/^POSTGRES_API_PASSWORD=.*/POSTGRES_API_PASSWORD=$$(secret)/" \
	    -e "s/^API_ADMIN_TOKEN=.*/API_ADMIN_TOKEN=summit_$$(random 32)/" \
	    -e "s/^API_TICKET_KEY=.*/API_TICKET_KEY=$$(random 32)/" \
	    -e "s/^KUBECONFIG_OWNER=.*/KUBECONFIG_OWNER=$$owner/" .env.example > $@.partial && mv $@.partial $@
	@echo "wrote .env with new passwords and an admin token"
