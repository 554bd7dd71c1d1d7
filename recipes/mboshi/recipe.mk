# Mboshi: recognition, and translation of the same recordings into French.

DATA_OF_mboshi-translation := mboshi
WAYS_OF_mboshi := lm
OPTIONS_OF_mboshi-translation := --bleu

.PHONY: mboshi mboshi-translation

mboshi: runs/mboshi/test.hyp.jsonl runs/mboshi/test.lm.hyp.jsonl ## field recordings of a Bantu language, 4 hours
	@$(call scores,data/mboshi/test.jsonl,runs/mboshi)

mboshi-translation: runs/mboshi-translation/test.hyp.jsonl ## Mboshi recordings into French text
	@$(ASR) score --bleu --config recipes/mboshi-translation/config.yaml data/mboshi/test.jsonl $<

runs/mboshi-translation/model.safetensors: recipes/mboshi-translation/config.yaml data/mboshi/train.jsonl | $(READY)
	$(ASR) train --overwrite $<

runs/mboshi-translation/test.hyp.jsonl: runs/mboshi-translation/model.safetensors
	$(ASR) transcribe $< data/mboshi/test.jsonl -o $@
