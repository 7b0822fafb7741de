# A line a target: `make run` trains the default project, `make test` runs every test.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run test test-fast test-slow check docs search bench-predictor bench-train bench-optimize \
        bench-fewshot bench-estimate bench-imports bench-data bench-serve bench-drift bench-studio \
        serve studio clean

run: .venv/ready                 ## raw text → tested, optimized model, then one screen of results
	dvc repro
	python -m pipeline.summary

test: .venv/tested               ## every test but the slow ones
	python -m pytest -n 2 --dist worksteal -m "not slow"

test-fast: .venv/tested          ## tests without whole programs, in two thirds of the time
	python -m pytest -n 2 --dist worksteal -m "not slow and not e2e"

test-slow: .venv/tested          ## the slow ones: many kills
	python -m pytest -m slow

check: .venv/tested              ## linters and types
	ruff check .
	ruff format --check .
	mypy

docs: .venv/tested               ## what README and catalogue take from dvc.yaml and the source
	python -m tests.contracts.documents
	python -m tests.contracts.messages

serve: .venv/ready               ## answer over HTTP with the promoted release, on 127.0.0.1:8000
	python -m app.service

studio: .venv/ready              ## data to watched service in the browser, on 127.0.0.1:8501
	python -m app.studio

bench-predictor: .venv/ready     ## cold start and memory beside transformers, after `make run`
	python -m benchmarks.predictor

search: .venv/ready              ## try other values of params.yaml on the validation part
	python -m pipeline.search

bench-train: .venv/ready         ## training speed beside transformers, after `make run`
	python -m benchmarks.training

bench-optimize: .venv/ready      ## every variant of the model beside its peers, after `make run`
	python -m benchmarks.optimize

bench-fewshot: .venv/ready .venv-fewshot/ready   ## eight and sixteen records a label, beside SetFit
	python -m benchmarks.fewshot

bench-estimate: .venv/ready      ## estimates of time and memory beside what runs took
	python -m benchmarks.estimate

bench-imports: .venv/ready       ## seconds that all stages together spend importing
	python -m benchmarks.imports

bench-data: .venv/ready .venv-bench/ready   ## clean on a million records, beside its peers
	python -m benchmarks.data

bench-serve: .venv/ready .venv-litserve/ready   ## the service under load, beside three others
	python -m benchmarks.serve

bench-drift: .venv/ready         ## false alarms and found changes over 200 windows of each data set
	python -m benchmarks.drift

bench-studio: .venv/tested       ## how fast every page of the studio answers
	python -m benchmarks.studio

clean:                           ## remove the environment and work files; data and models stay
	rm -rf .venv .venv-bench .venv-fewshot .venv-litserve work .pytest_cache .mypy_cache .ruff_cache

.venv/ready: requirements.txt requirements-service.txt requirements-optimum.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Mofang needs Python 3.11 or newer')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -r requirements.txt
	$(BIN)/python -m pip install --no-deps -r requirements-optimum.txt
	touch $@

.venv/tested: .venv/ready requirements-dev.txt
	$(BIN)/python -m pip install -r requirements-dev.txt
	touch $@

.venv-bench/ready: requirements-bench.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install -r requirements-bench.txt
	touch $@

.venv-fewshot/ready: requirements-fewshot.txt
	$(PYTHON) -m venv .venv-fewshot
	.venv-fewshot/bin/python -m pip install -r requirements-fewshot.txt
	touch $@

.venv-litserve/ready: requirements-litserve.txt
	$(PYTHON) -m venv .venv-litserve
	.venv-litserve/bin/python -m pip install -r requirements-litserve.txt
	touch $@
