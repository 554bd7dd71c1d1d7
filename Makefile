# `make help` lists every target. All of them set up .venv by themselves when it is missing or out of date.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SECONDARY:
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON ?= python3
# Not .venv/bin/asr: a script's first line cannot name an interpreter in a folder with spaces on every system.
ASR := .venv/bin/python -m asr
READY := .venv/ready
SEEDS := 0 1 2
FSDD_RUNS := fsdd $(SEEDS:%=fsdd-seed%)
FSDD_SPEAKERS := george jackson lucas nicolas theo yweweler
FSDD_CLASSIFIERS := fsdd-words fsdd-speaker-id
export PYTHONUTF8 := 1

.PHONY: help setup demo fsdd fsdd-seeds fsdd-speakers fsdd-words fsdd-speaker-id yesno mboshi mboshi-translation an4 \
  librispeech-mini librispeech ljspeech commonvoice family test test-slow lint bench clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' Makefile | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: $(READY) ## make .venv with the pinned packages (needs the network once)

demo: runs/demo/test.hyp.jsonl ## synthesise, train, decode and score spoken digit strings in unseen voices
	@$(ASR) score data/demo/test.jsonl $<
	@echo
	@echo "One recording, data/demo/test/0000.wav, is transcribed as:"
	@$(ASR) transcribe runs/demo/model.safetensors data/demo/test/0000.wav 2>/dev/null
	@cat recipes/demo/next.txt

# Best path, then language models of the training texts: `$(call scores,references,folder of the run)`.
scores = echo "best path:"; $(ASR) score $(1) $(2)/test.hyp.jsonl; \
  echo "with language models of the training texts:"; $(ASR) score $(1) $(2)/test.lm.hyp.jsonl

# The same, and among the ten digits, which is all that can be said in fsdd.
fsdd_scores = $(call scores,$(1),$(2)); \
  echo "one of the ten digits, or nothing:"; $(ASR) score $(1) $(2)/test.phrases.hyp.jsonl
FSDD_HYPOTHESES := test.hyp.jsonl test.lm.hyp.jsonl test.phrases.hyp.jsonl

fsdd: $(FSDD_HYPOTHESES:%=runs/fsdd/%) ## Free Spoken Digit Dataset, official split
	@$(call fsdd_scores,data/fsdd/test.jsonl,runs/fsdd)

fsdd-seeds: $(foreach seed,$(SEEDS),$(FSDD_HYPOTHESES:%=runs/fsdd-seed$(seed)/%)) ## the same with three seeds
	@for seed in $(SEEDS); do echo "seed $$seed"; $(call fsdd_scores,data/fsdd/test.jsonl,runs/fsdd-seed$$seed); done

fsdd-speakers: $(foreach name,$(FSDD_SPEAKERS),$(FSDD_HYPOTHESES:%=runs/fsdd-without-$(name)/%)) ## the same, each speaker unseen in turn
	@mkdir -p runs/fsdd-speakers
	@for file in $(FSDD_HYPOTHESES); do cat $(FSDD_SPEAKERS:%=runs/fsdd-without-%/$$file) > runs/fsdd-speakers/$$file; done
	@$(call fsdd_scores,--by speaker data/fsdd/speakers.jsonl,runs/fsdd-speakers)

fsdd-words: runs/fsdd-words/test.accuracy ## which digit is said: one class for each recording of fsdd
	@cat $<

fsdd-speaker-id: runs/fsdd-speaker-id/test.accuracy ## who of the six speakers of fsdd says it
	@cat $<

yesno: runs/yesno/test.hyp.jsonl ## 60 recordings of eight Hebrew words each
	@$(ASR) score data/yesno/test.jsonl $<

mboshi: runs/mboshi/test.hyp.jsonl runs/mboshi/test.lm.hyp.jsonl ## field recordings of a Bantu language, 4 hours
	@$(call scores,data/mboshi/test.jsonl,runs/mboshi)

mboshi-translation: runs/mboshi-translation/test.hyp.jsonl ## the same recordings into French text
	@$(ASR) score --bleu --config recipes/mboshi-translation/config.yaml data/mboshi/test.jsonl $<

an4: runs/an4/test.hyp.jsonl ## names, addresses and numbers, spelled; under an hour
	@$(ASR) score --config recipes/an4/config.yaml data/an4/test.jsonl $<

librispeech-mini: runs/librispeech-mini/test.hyp.jsonl ## 5 hours of read English books; the whole test-clean
	@$(ASR) score --config recipes/librispeech-mini/config.yaml data/librispeech-mini/test.jsonl $<

librispeech: runs/librispeech/test.hyp.jsonl ## 100 hours of read English books
	@$(ASR) score --config recipes/librispeech/config.yaml data/librispeech/test.jsonl $<

ljspeech: runs/ljspeech/test.hyp.jsonl ## one reader of English, 24 hours
	@$(ASR) score --config recipes/ljspeech/config.yaml data/ljspeech/test.jsonl $<

commonvoice: runs/commonvoice/test.hyp.jsonl ## any language, from a downloaded archive: SOURCE=FILE
	@$(ASR) score --config recipes/commonvoice/config.yaml data/commonvoice/test.jsonl $<

family: data/fsdd/train.jsonl data/mboshi/train.jsonl ## every cell, direction and decoder compared: docs/family.md
	.venv/bin/python bench/family.py recipes/fsdd/config.yaml --minutes 2 --parameters 500000 \
	  --set model.subsampling=2 --set model.channels=48 --set model.dropout=0.3 --set model.dropout_mask=utterance \
	  --set augment.frequency_warp=0.2
	.venv/bin/python bench/family.py recipes/mboshi/config.yaml --minutes 4 --parameters 1000000 \
	  --set features.window_ms=25 --set model.subsampling=4 --set model.channels=32 \
	  --set model.dropout=0.2 --set model.dropout_mask=utterance --set augment.frequency_warp=0 \
	  --set augment.tempo=0 --set augment.frequency_masks=0 --set augment.time_masks_per_second=0

test: $(READY) ## the quick tests
	.venv/bin/python -m pytest

test-slow: $(READY) ## the tests that train on real speech
	.venv/bin/python -m pytest -m slow

lint: $(READY) ## style and types
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy

bench: $(READY) ## speed of each stage beside its baseline, one JSON line a result; those that need a model aside
	@set -e; export GOMP_SPINCOUNT=2000; \
	for script in $(filter-out %_peers.py bench/decode.py bench/family.py,$(wildcard bench/*.py)); do .venv/bin/python "$$script"; done

clean: ## remove what recipes made; .venv stays
	rm -rf runs
	find data -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +

# Set-up, once, and again when the pinned versions change. Without uv it is installed into .venv; where even that
# fails, plain pip does the same, slowly.
$(READY): pyproject.toml requirements.txt
	@command -v uv >/dev/null || $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make virtual environments; on Debian: apt install python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is too old: Python 3.11 or newer is needed; name one with make PYTHON=…" >&2; exit 1; }
	@if command -v uv >/dev/null; then \
	  [ -x .venv/bin/python ] || uv venv --quiet --python "$$(command -v $(PYTHON))" .venv; \
	  uv pip install --python .venv/bin/python -r requirements.txt -e '.[dev]'; \
	else \
	  [ -x .venv/bin/pip ] || $(PYTHON) -m venv .venv; \
	  if .venv/bin/python -m pip install --quiet uv; then \
	    .venv/bin/python -m uv pip install --python .venv/bin/python -r requirements.txt -e '.[dev]'; \
	  else \
	    .venv/bin/python -m pip install -r requirements.txt -e '.[dev]'; \
	  fi; \
	fi
	@touch $@

# Any recipe: recipes/NAME/{prepare.py,config.yaml} -> data/NAME -> runs/NAME. SOURCE=PATH is a local copy of the
# corpus, folder or archive. Two steps never run at once, since
# training takes the whole machine.
.NOTPARALLEL:

data/%/train.jsonl: recipes/%/prepare.py | $(READY)
	.venv/bin/python $< $(if $(SOURCE),--source "$(SOURCE)")
	@touch $@

runs/%/model.safetensors: recipes/%/config.yaml data/%/train.jsonl | $(READY)
	$(ASR) train $<

runs/%/test.hyp.jsonl: runs/%/model.safetensors
	$(ASR) transcribe $< data/$*/test.jsonl -o $@

runs/%/model.lm.safetensors: runs/%/model.safetensors
	$(ASR) tune $< data/$*/validation.jsonl --lm-text data/$*/train.jsonl -o $@

runs/%/test.lm.hyp.jsonl: runs/%/model.lm.safetensors
	$(ASR) transcribe $< data/$*/test.jsonl -o $@

runs/mboshi-translation/model.safetensors: recipes/mboshi-translation/config.yaml data/mboshi/train.jsonl | $(READY)
	$(ASR) train $<

runs/mboshi-translation/test.hyp.jsonl: runs/mboshi-translation/model.safetensors
	$(ASR) transcribe $< data/mboshi/test.jsonl -o $@

runs/fsdd-seed%/model.safetensors: recipes/fsdd/config.yaml data/fsdd/train.jsonl | $(READY)
	$(ASR) train $< --set training.seed=$* --out runs/fsdd-seed$*

runs/fsdd-seed%/test.hyp.jsonl: runs/fsdd-seed%/model.safetensors
	$(ASR) transcribe $< data/fsdd/test.jsonl -o $@

runs/fsdd-seed%/model.lm.safetensors: runs/fsdd-seed%/model.safetensors
	$(ASR) tune $< data/fsdd/validation.jsonl --lm-text data/fsdd/train.jsonl -o $@

runs/fsdd-seed%/test.lm.hyp.jsonl: runs/fsdd-seed%/model.lm.safetensors
	$(ASR) transcribe $< data/fsdd/test.jsonl -o $@

$(FSDD_RUNS:%=runs/%/test.phrases.hyp.jsonl): runs/%/test.phrases.hyp.jsonl: \
  runs/%/model.safetensors recipes/fsdd/digits.txt
	$(ASR) transcribe $< data/fsdd/test.jsonl --phrases recipes/fsdd/digits.txt -o $@

# Classifiers of what fsdd has prepared; beside the accuracy, hypotheses and the picture of confusions.
$(FSDD_CLASSIFIERS:%=runs/%/model.safetensors): runs/%/model.safetensors: \
  recipes/%/config.yaml data/fsdd/train.jsonl | $(READY)
	$(ASR) train $<

$(FSDD_CLASSIFIERS:%=runs/%/test.accuracy): runs/%/test.accuracy: runs/%/model.safetensors
	$(ASR) classify $< data/fsdd/test.jsonl -o $(@D)/test.hyp.jsonl --confusion $(@D)/test.confusion.png > $@

# Half the epochs, and one dropout mask for all frames of an utterance: better for a speaker unheard.
runs/fsdd-without-%/model.safetensors: recipes/fsdd/config.yaml data/fsdd/train.jsonl | $(READY)
	$(ASR) train $< --out runs/fsdd-without-$* --set features.equalize=true --set training.epochs=12 \
	  --set model.dropout_mask=utterance \
	  --set data.train=data/fsdd/without-$*.train.jsonl --set data.validation=data/fsdd/without-$*.validation.jsonl

runs/fsdd-without-%/test.hyp.jsonl: runs/fsdd-without-%/model.safetensors
	$(ASR) transcribe $< data/fsdd/$*.jsonl -o $@

runs/fsdd-without-%/model.lm.safetensors: runs/fsdd-without-%/model.safetensors
	$(ASR) tune $< data/fsdd/without-$*.validation.jsonl --lm-text data/fsdd/without-$*.train.jsonl -o $@

runs/fsdd-without-%/test.lm.hyp.jsonl: runs/fsdd-without-%/model.lm.safetensors
	$(ASR) transcribe $< data/fsdd/$*.jsonl -o $@

runs/fsdd-without-%/test.phrases.hyp.jsonl: runs/fsdd-without-%/model.safetensors recipes/fsdd/digits.txt
	$(ASR) transcribe $< data/fsdd/$*.jsonl --phrases recipes/fsdd/digits.txt -o $@
