# `make` alone says what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup setup-test demo clean lint format check test test-openstack faults bench locks

# Without compiled Python files every start of Ansible would compile its own again.
unexport PYTHONDONTWRITEBYTECODE
export PYTHON
PY := .venv/bin/python

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

setup: ## the control machine's virtual environment, .venv
	@requirements/setup.sh control

setup-test:
	@requirements/setup.sh test

demo: setup ## three bare machines, the stack on them, a training run logged through it
	@$(PY) testbed/demo.py

clean: ## remove all that the other commands made
	@python3 testbed/testbed.py purge
	@rm -rf .venv .build .ansible .cache .coverage .pytest_cache .ruff_cache tests/output
	@rm -rf inventories/testbed/{hosts.yml,.secrets}
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "Clean. What stays: Debian packages that were installed (Docker with its service, mmdebstrap), and download caches in $$HOME."

lint: setup-test ## lint alone
	@$(PY) tests/run.py lint

format: setup-test ## put Python files into the shape that lint asks for
	@.venv/bin/ruff check --quiet --fix . ; .venv/bin/ruff format --quiet .

check: setup-test ## lint and unit tests, under 2 minutes
	@$(PY) tests/run.py lint unit

test: setup-test ## the whole suite
	@$(PY) tests/run.py

test-openstack: setup-test ## the Chameleon way against OpenStack's own services in one node, about 15 minutes
	@.venv/bin/pytest --quiet tests/openstack

faults: setup-test ## inject every fault of docs/faults.md many times, hours; TRIES=1 once each, GO_ON=1 after an interruption
	@$(PY) tests/faults/run.py --tries $(or $(TRIES),20) $(and $(GO_ON),--go-on)

bench: setup-test ## measure; NAMES="no_change s3_bucket_1000" measures some
	@$(PY) tests/bench/run.py $(NAMES)

locks: setup ## pin the newest versions of the packages anew
	@cd requirements && export UV_SYSTEM_CERTS=true UV_CUSTOM_COMPILE_COMMAND="make locks" && \
	../.venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes control.in -o control.txt && \
	../.venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes -c control.txt test.in -o test.txt
