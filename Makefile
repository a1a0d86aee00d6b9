# The first two targets are all that a new machine needs: they set everything up and start within seconds afterwards.
SHELL := /bin/sh
BIN := .venv/bin
DEMO_OUT ?= fac-demo

.PHONY: demo test test-core lint setup embedded embedded-sae

demo: embedded  ## run the main job on the embedded model and real conversations
	$(BIN)/python -m fac_datasets.demo --out $(DEMO_OUT)

test: lint embedded  ## everything
	$(BIN)/python -m pytest

test-core: lint  ## the part for every change: no embedded model
	$(BIN)/python -m pytest -m "not embedded"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

setup:
	@.ci/venv

embedded: setup  ## fetch and convert the embedded backbone, once
	@$(BIN)/python -m fac_datasets.embedded

# Trains, calibrates and writes the SAE that ships with the package (half an hour on two cores).
SAE_OUT ?= build/embedded-sae
CORPUS ?= build/corpus
CORPUS_NAME := "news, answers, instructions, writing briefs, software and refusable requests (embedded_corpus.py)"
embedded-sae: embedded
	$(BIN)/python tests/benchmarks/embedded_corpus.py --out $(CORPUS)
	$(BIN)/fac-datasets sae train $(CORPUS)/train.jsonl --out $(SAE_OUT) --layer 15 --tokens 1000000 --dtype bfloat16 \
		--save-dtype float16 --name smollm2-135m-l15-8k --seed 0 --corpus $(CORPUS_NAME)
	$(BIN)/fac-datasets sae calibrate $(CORPUS)/calibration.jsonl --sae $(SAE_OUT)
