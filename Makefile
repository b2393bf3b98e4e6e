# `make run` serves, `make test` proves. Both set up what they need; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SDKS := $(VENV)-openai1/.ready $(VENV)-genai1/.ready tests/node/.ready
COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host

.PHONY: help run venv test check prove bench lock dev screenshots

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

run: $(VENV)/.runtime ## Set up everything and serve on http://127.0.0.1:8000
	$(BIN)/flask db upgrade
	exec $(BIN)/gunicorn wsgi:app

venv: $(VENV)/.runtime ## The set-up alone

test: $(VENV)/.dev $(SDKS) ## Lint, types and the whole suite
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest

check: $(VENV)/.dev ## Lint and types alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

prove: $(VENV)/.dev $(SDKS) ## The suite at full size
	PROVE=1 $(BIN)/pytest

bench: $(VENV)/.runtime ## Measure against the upstream itself and a bare proxy
	$(BIN)/python -m bench $(BENCH)

lock: $(VENV)/.dev ## Renew the hashed requirements from the .in files
	$(COMPILE) -o requirements.txt requirements.in
	$(COMPILE) -o requirements-dev.txt requirements-dev.in
	$(COMPILE) -o tests/requirements-openai1.txt tests/requirements-openai1.in
	$(COMPILE) -o tests/requirements-genai1.txt tests/requirements-genai1.in

# ---------------------------------------------------------------- environments, made once each

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.txt | $(VENV)/bin/python
	$(PIP) install --quiet --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.runtime
	$(PIP) install --quiet --require-hashes -r requirements-dev.txt
	@touch $@

# Older lines of the SDKs, which exclude the newest ones.
$(VENV)-%/.ready: tests/requirements-%.txt
	$(PYTHON) -m venv $(VENV)-$*
	$(VENV)-$*/bin/python -m pip --disable-pip-version-check install --quiet \
		--require-hashes -r $<
	@touch $@

# Without node and npm the tests that need them say so and are skipped, except under CI=true.
tests/node/.ready: tests/node/package-lock.json
	@if command -v npm >/dev/null; then \
		cd tests/node && npm ci --silent --no-audit --no-fund; \
	else echo "npm is not installed: the Node tests will be skipped"; fi
	@touch $@
