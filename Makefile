# The first two targets are all that a new machine needs: they set everything up and start within seconds afterwards.
SHELL := /bin/sh
BIN := .venv/bin
DEMO_OUT ?= fac-demo
# A process a core, each with some of the files, which share their servers and models.
SIDE_BY_SIDE := --numprocesses logical --maxprocesses 8 --dist loadfile

.PHONY: demo test test-core kills lint format dist help setup embedded argilla olah embedded-sae

demo: embedded  ## run the main job on the embedded model and real conversations
	$(BIN)/python -m fac_datasets.demo --out $(DEMO_OUT)

test: lint embedded argilla olah  ## everything
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not alone and not kills"
	$(BIN)/python -m pytest -m alone

test-core: lint  ## the part for every change: no embedded model, nothing slow
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not embedded and not slow and not alone"

kills: setup  ## kill runs at twenty random moments each (ten minutes)
	$(BIN)/python -m pytest -m kills

lint: setup  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup  ## bring the style in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

dist: setup  ## build sdist and wheel into dist/ and check both, each in an environment of its own
	@.ci/dist

help:  ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' Makefile | expand -t 14

setup:  ## make or update .venv
	@.ci/venv

embedded: setup  ## fetch and convert the embedded backbone, once
	@$(BIN)/python -m fac_datasets.backbone.bundled

argilla: setup  ## install the server that reviews are tested against, once
	@.ci/argilla

olah: setup  ## install the mirror of the Hub that reads what the tests push, once
	@.ci/olah

# Trains, calibrates, judges, describes and names the SAE that ships with the package (three hours on two cores). Killed,
# it continues.
CORPUS ?= build/corpus
SAE_OUT ?= build/embedded-sae
TRAIN := $(CORPUS)/train/texts.jsonl $(CORPUS)/train/chats.jsonl
CALIBRATION := $(CORPUS)/calibration/texts.jsonl $(CORPUS)/calibration/chats.jsonl
HELD_OUT := $(CORPUS)/held_out/texts.jsonl $(CORPUS)/held_out/chats.jsonl
KINDS := chats, instructions, questions, encyclopedia, news, code and requests (tests/benchmarks/embedded_corpus.py)
embedded-sae: embedded  ## train, calibrate, judge, describe and name the SAE that ships with the package
	$(BIN)/python -m tests.benchmarks.embedded_corpus --out $(CORPUS)
	$(BIN)/fac-datasets sae train $(TRAIN) --layer 15 --tokens 2500000 --passes 3 \
		--chunk-tokens 131072 --cache build/activations-l15 --dtype bfloat16 --save-dtype float16 \
		--name smollm2-135m-l15-8k --corpus "$(KINDS)" --seed 0 --out $(SAE_OUT)
	$(BIN)/fac-datasets sae calibrate $(CALIBRATION) --sae $(SAE_OUT)
	$(BIN)/fac-datasets sae evaluate $(HELD_OUT) --sae $(SAE_OUT) --kind-column kind --out $(SAE_OUT)
	$(BIN)/python -m tests.benchmarks.interpretability --sae $(SAE_OUT) --corpus $(CORPUS)
	grep -E '"kind": "(encyclopedia|code)"' $(CORPUS)/train/texts.jsonl > $(CORPUS)/named.jsonl
	$(BIN)/fac-datasets extract $(CORPUS)/named.jsonl --sae $(SAE_OUT) --column text --threshold 0 --out build/named
	$(BIN)/python -m tests.benchmarks.name_features --features build/named --sae $(SAE_OUT)
	$(BIN)/python -m tests.benchmarks.embed_sae --sae $(SAE_OUT)
