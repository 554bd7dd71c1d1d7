# Prompts of telephone exchanges: one recogniser of five languages, and a classifier of the language.

DATA_OF_prompts-language := prompts
WAYS_OF_prompts := lm
OPTIONS_OF_prompts := --by language

.PHONY: prompts prompts-language

prompts: runs/prompts/test.hyp.jsonl runs/prompts/test.lm.hyp.jsonl ## telephone prompts in five languages, 1.7 hours
	@$(call scores,--by language data/prompts/test.jsonl,runs/prompts)

prompts-language: runs/prompts-language/test.accuracy ## which of the five languages a prompt is in
	@cat $<

runs/prompts-language/model.safetensors: recipes/prompts-language/config.yaml data/prompts/train.jsonl | $(READY)
	$(ASR) train --overwrite $<

runs/prompts-language/test.accuracy: runs/prompts-language/model.safetensors
	$(ASR) classify $< data/prompts/test.jsonl -o $(@D)/test.hyp.jsonl --confusion $(@D)/test.confusion.png > $@
