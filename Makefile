# `make demo` and `make test` do all the set-up they need; `make help` lists the rest.
PY := .venv/bin/python
# Tests at once; `make test WORKERS=8` on a large machine.
WORKERS := $(shell n=$$(nproc 2>/dev/null || echo 2); [ $$n -gt 4 ] && n=4; echo $$n)

help:              ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile

.venv/ready: setup.cfg constraints.txt requirements.lock scripts/setup.sh
	@scripts/setup.sh

setup: .venv/ready ## the virtual environment .venv with everything in it

demo: .venv/ready  ## the whole way on a synthetic dataset; pictures and reports in demo/
	@scripts/demo.sh

test: .venv/ready  ## all tests
	@$(PY) -m pytest -n $(WORKERS) --dist loadfile --cov --cov-report=term

lint: .venv/ready  ## style and types
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy

format: .venv/ready ## the code laid out as `make lint` asks for
	@$(PY) -m ruff check --fix . && $(PY) -m ruff format .

clean:             ## removes what demo and tests left behind
	@rm -rf demo build *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache

.PHONY: help setup demo test lint format clean
