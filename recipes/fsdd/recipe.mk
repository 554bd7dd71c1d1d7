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

.PHONY: fsdd fsdd-speakers fsdd-speakers-adapted fsdd-speakers-receipts fsdd-words fsdd-speaker-id

# Print the scores of best path, of language models, and of the ten digits as the only phrases.
fsdd_scores = $(call scores,$(1),$(2)); \
  echo "one of the ten digits, or nothing:"; $(ASR) score $(1) $(2)/test.phrases.hyp.jsonl

fsdd: $(FSDD_HYPOTHESES:%=runs/fsdd/%) ## Free Spoken Digit Dataset, official split
	@$(call fsdd_scores,data/fsdd/test.jsonl,runs/fsdd)

# Join the hypotheses of all speakers in one folder, and print their scores. $(1) begins the names of the runs.
define fsdd_speaker_scores
@mkdir -p runs/$(2)
@for file in $(FSDD_HYPOTHESES); do cat $(FSDD_SPEAKERS:%=runs/$(1)-%/$$file) > runs/$(2)/$$file; done
@$(call fsdd_scores,--by speaker data/fsdd/speakers.jsonl,runs/$(2))
endef

fsdd-speakers: $(foreach name,$(FSDD_SPEAKERS),$(FSDD_HYPOTHESES:%=runs/fsdd-without-$(name)/%)) ## fsdd, each speaker unseen in turn
	$(call fsdd_speaker_scores,fsdd-without,$@)

fsdd-speakers-adapted: $(foreach name,$(FSDD_SPEAKERS),$(FSDD_HYPOTHESES:%=runs/fsdd-adapted-$(name)/%)) ## the same, adapted to the speaker's recordings without texts
	$(call fsdd_speaker_scores,fsdd-adapted,$@)

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

# The name of a run without a speaker ends in the speaker.
FSDD_WITHOUT := $(FSDD_SPEAKERS:%=fsdd-without-%)
FSDD_ADAPTED := $(FSDD_SPEAKERS:%=fsdd-adapted-%)
FSDD_UNSEEN := $(FSDD_WITHOUT) $(FSDD_ADAPTED)
fsdd_speaker = $(lastword $(subst -, ,$(1)))

# Half the epochs, and one dropout mask for all frames of an utterance, suit speakers that are not in training.
fsdd_train = $(ASR) train --overwrite $< --out $(@D) --set features.equalize=true --set training.epochs=12 \
  --set model.dropout_mask=utterance --set data.train=data/fsdd/without-$(1).train.jsonl \
  --set data.validation=data/fsdd/without-$(1).validation.jsonl

$(FSDD_WITHOUT:%=runs/%/model.safetensors): recipes/fsdd/config.yaml data/fsdd/train.jsonl | $(READY)
	$(call fsdd_train,$(call fsdd_speaker,$(@D)))

# The model that never heard the speaker transcribes the speaker's recordings; a new model learns from these texts too.
$(FSDD_ADAPTED:%=runs/%/model.safetensors): runs/fsdd-adapted-%/model.safetensors: \
  recipes/fsdd/config.yaml runs/fsdd-without-%/model.lm.safetensors
	$(call fsdd_train,$*) --untranscribed data/fsdd/$*.jsonl --teacher runs/fsdd-without-$*/model.lm.safetensors

$(FSDD_UNSEEN:%=runs/%/test.hyp.jsonl): runs/%/test.hyp.jsonl: runs/%/model.safetensors
	$(ASR) transcribe $< data/fsdd/$(call fsdd_speaker,$*).jsonl -o $@

$(FSDD_UNSEEN:%=runs/%/model.lm.safetensors): runs/%/model.lm.safetensors: runs/%/model.safetensors
	$(ASR) tune $< data/fsdd/without-$(call fsdd_speaker,$*).validation.jsonl \
	  --lm-text data/fsdd/without-$(call fsdd_speaker,$*).train.jsonl -o $@

$(FSDD_UNSEEN:%=runs/%/test.lm.hyp.jsonl): runs/%/test.lm.hyp.jsonl: runs/%/model.lm.safetensors
	$(ASR) transcribe $< data/fsdd/$(call fsdd_speaker,$*).jsonl -o $@

$(FSDD_UNSEEN:%=runs/%/test.phrases.hyp.jsonl): runs/%/test.phrases.hyp.jsonl: runs/%/model.safetensors \
  recipes/fsdd/digits.txt
	$(ASR) transcribe $< data/fsdd/$(call fsdd_speaker,$*).jsonl --phrases recipes/fsdd/digits.txt -o $@
