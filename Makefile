# Cardex. `make` alone shows what there is.
.DEFAULT_GOAL := help
SHELL := bash
PYTHON ?= python3
APP := .venv
TRITON := .venv-triton
TRAIN := .venv-train
PEERS := .venv-peers
PIP := -m pip install --quiet --disable-pip-version-check --no-compile
LOCKED := $(PIP) --no-deps --require-hashes -r
BIN := $(APP)/bin

.PHONY: browser browser-tools bench-page page-pictures help setup demo up test unit lint format proto proto-release lock bench bench-ceiling bench-hangs bench-kills bench-partitions alerts flames trace load bench-peers bench-search bench-cases bench-signals bench-triton gpu-check train evaluate figures table1 held-out techniques doctor clean distclean capacity bench-capacity

help: ## Show this help
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(APP)/.ready $(TRITON)/.ready ## Make both environments: .venv (Cardex) and .venv-triton (the model server)

demo: setup ## Index 21,837 real reports, find the nearest for real ECGs, stop again
	$(BIN)/cardex demo

up: setup ## Run everything on this machine until Ctrl-C
	$(BIN)/cardex up

SPREAD := -n 2 --dist loadfile
# Where tests wait for parts to start and stop, one process more keeps two cores busy.
WAITING := -n 3 --dist loadfile
# Where nothing that tests share is slow to make, a process that has none left takes some of the other's.
STEAL := -n 2 --dist worksteal

test: setup $(APP)/.dev $(TRAIN)/.ready browser-tools ## Run every test, with the real parts
	$(TRAIN)/bin/python -m pytest tests/training $(STEAL)
	$(BIN)/pytest tests/unit tests/engines $(STEAL) --cov --cov-report=
	@echo "branches and lines of services that the unit tests reach: $$($(BIN)/coverage report --format=total) %"
	$(BIN)/pytest tests/stack $(WAITING)
	$(BIN)/pytest tests/browser $(SPREAD)
	$(BIN)/pytest tests/fault tests/deploy $(WAITING)

unit: $(APP)/.dev ## Run the unit tests only
	$(BIN)/pytest tests/unit $(STEAL)

browser-tools: ## Install Debian's Chromium for `make browser`, if there is none; needs root
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; }
	@chromium --version 2>/dev/null

browser: setup $(APP)/.dev browser-tools ## Test the page in a browser, with gateways made up and with the real parts
	$(BIN)/pytest tests/browser $(SPREAD)

lint: $(APP)/.dev ## ruff, mypy strict, the direction of imports, generated code against proto/
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tools/generate_pb.py --check
	$(BIN)/python -m deploy.alerts --check
	$(BIN)/python -m deploy.dashboards --check
	$(BIN)/buf lint
	$(BIN)/buf breaking --against proto/released.binpb
	$(BIN)/hadolint --config deploy/images/hadolint.yaml deploy/images/*.Dockerfile

format: $(APP)/.dev ## Format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

proto: $(APP)/.dev ## Generate services/cardex/api/pb from proto/
	$(BIN)/python tools/generate_pb.py

proto-release: $(APP)/.dev ## Keep the contract as it is now: later changes may not break it
	$(BIN)/buf build -o proto/released.binpb

bench: setup $(APP)/.dev ## Measure the whole way against the bare encoder
	$(BIN)/python -m loadtest.bench

flames: setup $(APP)/.dev ## Draw flame graphs of gateway and worker under an import
	PATH="$(BIN):$$PATH" $(BIN)/python -m loadtest.flames

trace: setup $(APP)/.dev ## Trace one real ECG from its caller to the last stage, and draw it
	$(BIN)/python -m loadtest.trace

PROFILE ?= mixed

load: setup $(APP)/.dev ## A hospital's traffic: PROFILE=bedside, archive, mixed, spike or soak
	$(BIN)/python -m loadtest.profiles $(PROFILE)

bench-ceiling: setup $(APP)/.dev ## Measure the whole way with an image encoder that costs nothing
	$(BIN)/python -m loadtest.ceiling

HOSPITALS ?= 40

capacity: $(APP)/.dev ## How many of what HOSPITALS=40 need, and what it costs; MORE="--gpu ..." for the rest
	$(BIN)/python -m loadtest.capacity plan --hospitals $(HOSPITALS) $(MORE)

bench-capacity: setup $(APP)/.dev ## Measure how near the simulation of capacity comes to this machine
	$(BIN)/python -m loadtest.capacity check

bench-hangs: setup $(APP)/.dev ## Measure known answers while Milvus or Triton hangs
	$(BIN)/python -m loadtest.hangs

bench-kills: setup $(APP)/.dev ## Send an archive, and kill the client and each part in the midst
	$(BIN)/python -m loadtest.kills

bench-partitions: setup $(APP)/.dev ## Harm the network of seven hosts (namespaces) under traffic: 20 runs by seeds; needs root
	$(BIN)/python -m loadtest.partitions

alerts: setup $(APP)/.dev ## Make every alert fire by a real fault, and keep what Prometheus read for promtool
	$(BIN)/python -m loadtest.alerts

bench-peers: setup $(APP)/.dev $(PEERS)/.ready ## Measure the whole way against LitServe, BentoML, FastAPI and Celery
	$(BIN)/python -m loadtest.peers

bench-search: setup $(APP)/.dev $(PEERS)/.ready ## Measure the index in a Milvus server with 100,000 and 1,000,000 reports
	$(BIN)/python -m loadtest.search_at_size

bench-cases: setup $(APP)/.dev $(PEERS)/.ready ## Measure what 100,000 cases with ECGs in a Milvus server cost an answer
	$(BIN)/python -m loadtest.cases_at_size

bench-page: setup $(APP)/.dev browser-tools ## Measure how fast the page draws, and how smoothly calipers move
	$(BIN)/python -m loadtest.page

page-pictures: setup $(APP)/.dev browser-tools ## Take the pictures of the page for docs/page.md
	$(BIN)/python -m tools.page_pictures

bench-signals: setup $(APP)/.dev ## Measure bytes to image, step by step, and against pyts
	$(BIN)/python -m loadtest.signals

bench-triton: setup $(APP)/.dev ## Measure Triton against the bare encoder, and sweep its batching
	$(BIN)/python -m loadtest.triton

gpu-check: $(APP)/.dev ## On a GPU machine: build the engines, compare their answers with the CPU's, measure
	$(BIN)/python -m loadtest.gpu_check

PTB ?= ../shared/ptbxl
FOLD ?= 9
TRAINING := $(TRAIN)/bin/cardex
COMPILED = $(if $(shell command -v g++),--compile)

train: $(TRAIN)/.ready ## Train all models on PTB=DIR by experiments/shipped.toml and export them
	$(TRAINING) train --ptbxl $(PTB) --jobs 2 $(COMPILED)

evaluate: $(APP)/.ready ## Measure the models in model_repository/ on PTB=DIR, FOLD=9
	$(BIN)/cardex evaluate --ptbxl $(PTB) --fold $(FOLD)

RERANK ?= 32
SHIPPED := experiments/results/shipped.json

figures: $(APP)/.ready ## Measure them with RERANK=32 too, and write the figures into the pages that state them
	$(BIN)/cardex evaluate --ptbxl $(PTB) --fold $(FOLD) --rerank $(RERANK) --json > $(SHIPPED).part
	mv $(SHIPPED).part $(SHIPPED)
	$(BIN)/python -m tools.write_figures

TABLE = $(TRAINING) table --ptbxl $(PTB) --ecgs representative --jobs 2 $(COMPILED)
ENCODINGS := experiments/encodings
OFTEN := $(addprefix $(ENCODINGS)/,raster.toml all-grid-beat.toml simple-plot-beat.toml raster-and-beat.toml)

table1: $(TRAIN)/.ready ## Train and measure every encoding of the first paper alike, four of them three times
	$(TABLE) $(OFTEN) --results experiments/results/encodings.json
	$(TABLE) $(sort $(wildcard $(ENCODINGS)/[a-z]*.toml)) --results experiments/results/encodings.json --seeds 1
	$(TRAIN)/bin/python -m tools.write_figures

held-out: $(TRAIN)/.ready ## Train without each site of PTB-XL and measure the probabilities there
	$(TRAINING) held-out-sites --ptbxl $(PTB)

techniques: $(TRAIN)/.ready ## Train and measure with and without every technique, three seeds each
	$(TABLE) $(sort $(wildcard experiments/techniques/*.toml)) --results experiments/results/techniques.json
	$(TRAIN)/bin/python -m tools.write_figures

doctor: setup ## Say what is missing and what to do
	$(BIN)/cardex doctor

COMPILE = $(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate --python-version 3.11

lock: $(APP)/.dev ## Resolve pyproject.toml anew into requirements/*.lock; UPGRADE=--upgrade takes newer releases
	$(COMPILE) $(UPGRADE) pyproject.toml --extra server --group app -o requirements/app.lock
	$(COMPILE) $(UPGRADE) pyproject.toml --extra cluster --group app -c requirements/app.lock -o requirements/cluster.lock
	$(COMPILE) $(UPGRADE) pyproject.toml --extra server --group app --group dev -c requirements/app.lock -o requirements/dev.lock
	$(COMPILE) $(UPGRADE) --group stores -c requirements/app.lock -o requirements/stores.lock
	$(subst 3.11,3.12,$(COMPILE)) $(UPGRADE) pyproject.toml --extra engines --group app -c requirements/app.lock -o requirements/engines.lock
	$(COMPILE) $(UPGRADE) --group triton -o requirements/triton.lock
	$(COMPILE) $(UPGRADE) pyproject.toml --extra train --group train -c requirements/app.lock --override requirements/torch-apart.txt -o requirements/train.lock
	$(COMPILE) $(UPGRADE) pyproject.toml --extra server --group app --group peers -c <(grep -oE '^[a-z0-9._-]+==[^ ]+' requirements/app.lock | grep -v '^opentelemetry-') -o requirements/peers.lock # BentoML pins OpenTelemetry

clean: ## Remove caches and the stack's data
	rm -rf .cardex .schemathesis .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean ## Remove the environments too
	rm -rf $(APP) $(TRITON) $(TRAIN) $(PEERS)

EDITABLE := --no-deps --no-build-isolation --editable .

$(APP)/.ready: requirements/app.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(APP)
	$(BIN)/python $(LOCKED) requirements/app.lock
	$(BIN)/python $(PIP) $(EDITABLE)
	touch $@

$(APP)/.dev: requirements/dev.lock $(APP)/.ready
	$(BIN)/python $(LOCKED) requirements/dev.lock
	touch $@

$(TRITON)/.ready: requirements/triton.lock
	test -x $(TRITON)/bin/python || $(PYTHON) -m venv $(TRITON)
	$(TRITON)/bin/python $(LOCKED) requirements/triton.lock
	touch $@

$(TRAIN)/.ready: requirements/train.lock requirements/torch.lock pyproject.toml
	test -x $(TRAIN)/bin/python || $(PYTHON) -m venv $(TRAIN)
	$(TRAIN)/bin/python $(PIP) -r requirements/torch.lock
	$(TRAIN)/bin/python $(LOCKED) requirements/train.lock
	$(TRAIN)/bin/python $(PIP) $(EDITABLE)
	touch $@

$(PEERS)/.ready: requirements/peers.lock pyproject.toml
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python $(LOCKED) requirements/peers.lock
	$(PEERS)/bin/python $(PIP) $(EDITABLE)
	touch $@

include deploy/deploy.mk
