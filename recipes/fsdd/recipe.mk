# The Free Spoken Digit Dataset: one model, each speaker unseen in turn, and two classifiers.

FSDD_SPEAKERS := george jackson lucas nicolas theo yweweler
FSDD_CLASSIFIERS := fsdd-words fsdd-speaker-id
DATA_OF_fsdd-words := fsdd
DATA_OF_fsdd-speaker-id := fsdd
WAYS_OF_fsdd := lm phrases
PHRASES_OF_fsdd := recipes/fsdd/digits.txt
WAYS_OF_fsdd-speakers := lm phrases
PHRASES_OF_fsdd-speakers := recipes/fsdd/digits.txt
FSDD_HYPOTHESES := test.hyp.jsonl test.lm.hyp.jsonl test.phrases.hyp.jsonl

.PHONY: fsdd fsdd-speakers fsdd-speakers-receipts fsdd-words fsdd-speaker-id

# Print the scores of best path, of language models, and of the ten digits as the only phrases.
fsdd_scores = $(call scores,$(1),$(2)); \
  echo "one of the ten digits, or nothing:"; $(ASR) score $(1) $(2)/test.phrases.hyp.jsonl

fsdd: $(FSDD_HYPOTHESES:%=runs/fsdd/%) ## Free Spoken Digit Dataset, official split
	@$(call fsdd_scores,data/fsdd/test.jsonl,runs/fsdd)

fsdd-speakers: $(foreach name,$(FSDD_SPEAKERS),$(FSDD_HYPOTHESES:%=runs/fsdd-without-$(name)/%)) ## fsdd, each speaker unseen in turn
	@mkdir -p runs/fsdd-speakers
	@for file in $(FSDD_HYPOTHESES); do cat $(FSDD_SPEAKERS:%=runs/fsdd-without-%/$$file) > runs/fsdd-speakers/$$file; done
	@$(call fsdd_scores,--by speaker data/fsdd/speakers.jsonl,runs/fsdd-speakers)

fsdd-speakers-receipts: $(FSDD_SPEAKERS:%=runs/fsdd-without-%/model.safetensors)
	@$(foreach name,$(FSDD_SPEAKERS),$(call receipts,fsdd-speakers,runs/fsdd-without-$(name),data/fsdd/$(name).jsonl,$(name)))
	.venv/bin/python recipes/tables.py

fsdd-words: runs/fsdd-words/test.accuracy ## which digit is said: one class for each recording of fsdd
	@cat $<

fsdd-speaker-id: runs/fsdd-speaker-id/test.accuracy ## who of the six speakers of fsdd says it
	@cat $<

runs/fsdd/test.phrases.hyp.jsonl: runs/fsdd/model.safetensors recipes/fsdd/digits.txt
	$(ASR) transcribe $< data/fsdd/test.jsonl --phrases recipes/fsdd/digits.txt -o $@

# Classifiers train on the corpus of fsdd. They leave the accuracy, hypotheses and a picture of confusions.
$(FSDD_CLASSIFIERS:%=runs/%/model.safetensors): runs/%/model.safetensors: \
  recipes/%/config.yaml data/fsdd/train.jsonl | $(READY)
	$(ASR) train --overwrite $<

$(FSDD_CLASSIFIERS:%=runs/%/test.accuracy): runs/%/test.accuracy: runs/%/model.safetensors
	$(ASR) classify $< data/fsdd/test.jsonl -o $(@D)/test.hyp.jsonl --confusion $(@D)/test.confusion.png > $@

# Half the epochs, and one dropout mask for all frames of an utterance, suit speakers that are not in training.
runs/fsdd-without-%/model.safetensors: recipes/fsdd/config.yaml data/fsdd/train.jsonl | $(READY)
	$(ASR) train --overwrite $< --out runs/fsdd-without-$* --set features.equalize=true --set training.epochs=12 \
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
