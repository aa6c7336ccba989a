# Every verb works on a fresh clone: it makes the virtual environment it needs, once.

PYTHON ?= python3
VENV = .venv
SERVICE_VENV = .venv-service
PEERS_VENV = .venv-peers
GENERATOR_VENV = .venv-generator
SUPPLY_VENV = .venv-supply
TRITON_VENV = .venv-triton

HOST = 127.0.0.1
PORT = 8000
RECIPE = uc-merced
VERSION = 2.2.0
DATA = ../shared/data/ucmerced
WEIGHTS = ../shared/weights
# By file, since a file's tests share what is slow to make.
PARALLEL = -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
TESTS =
# Of each of 19 codecs.
FILES = 55000
# Half an hour altogether, the peers included; each skips what the machine lacks. The others take longer,
# need a GPU or a training run, or redraw a figure of the docs; each says what it takes and needs.
BENCH = serving.limit serving.overhead serving.kernels serving.early_exit serving.page quality.planet_stretch

# What a virtual environment holds when its stamp is newer than the lock files.
SERVING = $(VENV)/.serving
DEVELOPING = $(VENV)/.developing
SERVICE_ONLY = $(SERVICE_VENV)/.testing
COMPARING = $(PEERS_VENV)/.comparing
GENERATING = $(GENERATOR_VENV)/.generating
LISTING = $(SUPPLY_VENV)/.listing
TRITON = $(TRITON_VENV)/.serving

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help serve install test test-service lint format train-default bench fuzz peers generator triton lock prove-image sbom licences pin-images wheels clean distclean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: $(SERVING) ## serve the default bundle (HOST= PORT=); needs no PyTorch
	$(VENV)/bin/chipvote serve --host $(HOST) --port $(PORT)

install: $(DEVELOPING) ## make the virtual environment for training and development

test: $(DEVELOPING) ## run every test
	$(VENV)/bin/python -m pytest $(PARALLEL)

test-service: $(SERVICE_ONLY) ## run the service's tests where PyTorch is not installed (TESTS=)
	@$(SERVICE_VENV)/bin/python -c 'import importlib.util as u, sys; sys.exit("torch is installed here" if u.find_spec("torch") else 0)'
	$(SERVICE_VENV)/bin/python -m pytest $(PARALLEL) --ignore=tests/training --ignore=tests/browser $(TESTS)

lint: $(DEVELOPING) ## check style, format, types and import contracts
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(DEVELOPING) ## rewrite the sources in the project's format
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

train-default: $(DEVELOPING) ## train the default bundle and put it in place (DATA= WEIGHTS=); resumes
	$(VENV)/bin/chipvote-train run --recipe $(RECIPE) --data $(DATA) --weights $(WEIGHTS) --out runs/$(RECIPE) --version $(VERSION)
	$(VENV)/bin/chipvote-train install runs/$(RECIPE) models/$(RECIPE)

bench: $(DEVELOPING) ## print the benchmarks' tables, in half an hour; others by name: BENCH=serving.soak
	@set -e; for name in $(BENCH); do echo "== $$name"; $(VENV)/bin/python -m benchmarks.$$name; done

fuzz: $(DEVELOPING) ## decode a million damaged files, in ten to twenty minutes (FILES= of each codec)
	$(VENV)/bin/python -m benchmarks.serving.fuzz --files $(FILES)

peers: $(COMPARING) ## make the virtual environment of the servers that benchmarks compare with

generator: $(GENERATING) ## make the virtual environment of the generator that proves the API's description

triton: $(TRITON) ## make the virtual environment of Triton, for the test of what is exported for it

COMPILE = uv pip compile --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate --quiet $(LOCK_FLAGS)

lock: ## resolve requirements/*.txt again; LOCK_FLAGS=--upgrade takes newer versions
	@command -v uv >/dev/null || { echo "make lock needs uv: pip install uv"; exit 1; }
	$(COMPILE) pyproject.toml --extra cpu --extra train --extra ray --extra parquet --extra scenes -o requirements/training.txt
	$(COMPILE) pyproject.toml --extra cpu --extra scenes -c requirements/training.txt -o requirements/service-cpu.txt
	$(COMPILE) pyproject.toml --extra gpu --extra scenes -c requirements/training.txt -o requirements/service-gpu.txt
	$(COMPILE) pyproject.toml --extra dev --extra otel -c requirements/training.txt -o requirements/dev.txt
	$(COMPILE) requirements/build.in -c requirements/training.txt -o requirements/build.txt
	$(COMPILE) requirements/peers.in -o requirements/peers.txt
	$(COMPILE) requirements/generator.in -o requirements/generator.txt
	$(COMPILE) requirements/supply.in -o requirements/supply.txt
	$(COMPILE) requirements/triton.in -o requirements/triton.txt

prove-image: ## do the image's steps without a container engine and check that it gets ready
	deploy/prove_image.sh

sbom: $(LISTING) ## list the Python packages of the images for scanners (CycloneDX), in dist/
	@mkdir -p dist
	@sed 's/^dynamic = .*/version = "$(RELEASE)"/' pyproject.toml > dist/pyproject.toml
	@set -e; for variant in cpu gpu; do \
		PYTHONWARNINGS=ignore $(SUPPLY_VENV)/bin/cyclonedx-py requirements --output-reproducible --validate \
			--pyproject dist/pyproject.toml --output-file dist/sbom-$$variant.json requirements/service-$$variant.txt; \
		echo "dist/sbom-$$variant.json"; \
	done
	@rm dist/pyproject.toml

licences: $(LISTING) $(SERVING) ## list the licences of the CPU service's packages, in dist/
	@mkdir -p dist
	@$(SUPPLY_VENV)/bin/pip-licenses --python $(VENV)/bin/python --from mixed --with-urls --format markdown \
		--packages $(call NAMES,service-cpu) > dist/licences.md
	@echo dist/licences.md

pin-images: ## print the images' digests of today, for a file .env beside the compose file; needs docker
	@deploy/pin_images.sh

wheels: $(SERVING) ## build the wheels of the server (with the default bundle) and of the client into dist/
	rm -rf build service/client/build
	$(VENV)/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist . ./service/client
	rm -rf build service/client/build

clean: ## remove caches and the service's test environment
	rm -rf $(SERVICE_VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info build dist service/client/build service/client/*.egg-info
	find service training tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove the virtual environments too; runs/ and models/ stay
	rm -rf $(VENV) $(PEERS_VENV) $(GENERATOR_VENV) $(SUPPLY_VENV) $(TRITON_VENV)

# bin/pip, not bin/python: Debian without python3-venv leaves a folder with a Python and no pip.
%/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Chipvote needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) -V 2>&1); say: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv $*

# Call with a virtual environment and its lock files. The second line adds the project itself:
# with the locked setuptools of the first, since an isolated build would fetch an unpinned one.
define install
@echo "Installing $(2) into $(1)$(if $(findstring training,$(2)), (PyTorch: several GB, minutes))"
$(1)/bin/pip install --quiet --disable-pip-version-check --require-hashes $(patsubst %,-r requirements/%.txt,build $(2))
$(1)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
@touch $@
endef

RELEASE = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' service/contract/version.py)
NAMES = $(shell sed -n 's/^\([A-Za-z0-9._-]*\)==.*/\1/p' requirements/$(1).txt | sort -u)

LOCKS = $(patsubst %,requirements/%.txt,build $(1))

$(SERVING): pyproject.toml $(call LOCKS,service-cpu) | $(VENV)/bin/pip
	$(call install,$(VENV),service-cpu)

$(DEVELOPING): pyproject.toml $(call LOCKS,training dev) | $(VENV)/bin/pip
	$(call install,$(VENV),training dev)

$(SERVICE_ONLY): pyproject.toml $(call LOCKS,service-cpu dev) | $(SERVICE_VENV)/bin/pip
	$(call install,$(SERVICE_VENV),service-cpu dev)

$(COMPARING): pyproject.toml $(call LOCKS,peers) | $(PEERS_VENV)/bin/pip
	$(call install,$(PEERS_VENV),peers)

# Not the project: the generated client and Triton must do without it, and what lists packages is none.
$(GENERATING): requirements/generator.txt | $(GENERATOR_VENV)/bin/pip
$(LISTING): requirements/supply.txt | $(SUPPLY_VENV)/bin/pip
$(TRITON): requirements/triton.txt | $(TRITON_VENV)/bin/pip
$(GENERATING) $(LISTING) $(TRITON):
	$(@D)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@
