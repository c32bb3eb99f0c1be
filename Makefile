# Everything runs from a fresh clone with Python 3.11 or newer and pip.
PYTHON ?= python3
BIN := .venv/bin
# The exact versions the tests ran with; unset to install the newest that pyproject.toml allows.
CONSTRAINTS ?= constraints/cpu.txt
PIP := $(BIN)/pip --disable-pip-version-check

.PHONY: demo test lint format results proof-ranks proof-crash proof-stages proof-eval proof-serve proof-vllm clean help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

.venv/base: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv .venv
	# torch first and by its exact version: a plain name may bring gigabytes of CUDA packages
	$(PIP) install -q $(shell grep '^torch==' $(CONSTRAINTS))
	$(PIP) install -q -c $(CONSTRAINTS) -e .
	@touch $@

.venv/dev: .venv/base
	$(PIP) install -q -c $(CONSTRAINTS) -e '.[dev,train,eval,serve]'
	@touch $@

demo: .venv/base  ## ask the embedded model about a card, a clip and a photograph
	HF_HUB_OFFLINE=1 $(BIN)/python examples/demo.py

test: .venv/dev  ## all tests, in parallel, offline
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest

lint: .venv/dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/dev  ## rewrite the code in the house style
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

results: .venv/dev .venv-vllm  ## measure again and write docs/results.md
	HF_HUB_OFFLINE=1 $(BIN)/python benchmarks/results.py

proof-ranks: .venv/dev  ## two processes train as one does, for 20 steps and on every line
	RANKS_PROOF=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 1 tests/train/test_ranks.py

proof-crash: .venv/dev  ## a training killed at 20 random moments equals one left alone
	CRASH_KILLS=20 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 0 -rP tests/train/test_loop.py -k killed

proof-eval: .venv/dev  ## an evaluation of nano killed at 10 random moments equals one left alone
	EVAL_PROOF=nano HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 0 -rP tests/evaluate/test_runner.py -k killed

proof-serve: .venv/dev  ## 10,000 fuzzed requests, then 64 clients and 10,000 mixed ones
	FUZZ_EXAMPLES=3400 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 1 --timeout 3600 tests/serve/test_fuzz.py
	HF_HUB_OFFLINE=1 $(BIN)/python benchmarks/serving.py

proof-stages: .venv/dev  ## a tiny model through every stage of training, three seeds
	HF_HUB_OFFLINE=1 $(BIN)/python benchmarks/stages.py

.venv-vllm: constraints/vllm.txt
	$(PYTHON) -m venv .venv-vllm
	# a list of all that is needed: vLLM would bring torchvision, torchaudio and torchcodec
	.venv-vllm/bin/pip --disable-pip-version-check install -q --no-deps -r constraints/vllm.txt -e .
	@touch $@

proof-vllm: .venv-vllm  ## vLLM with two tensor-parallel processes says what one says
	HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 .venv-vllm/bin/python -m pytest -n 0 --timeout 1800 tests/with_vllm/parallel.py

clean:  ## remove the environment and caches
	rm -rf .venv .venv-vllm .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build
