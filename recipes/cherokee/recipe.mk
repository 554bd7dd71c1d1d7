# Cherokee: the training speakers with other texts (test), and two speakers who are not in training (speakers).

CHEROKEE_TESTS := test speakers
WAYS_OF_cherokee := lm
RUNS_OF_cherokee-speakers := cherokee
TEST_OF_cherokee-speakers := data/cherokee/speakers.jsonl
WAYS_OF_cherokee-speakers := lm
CHEROKEE_SCORE := score --config recipes/cherokee/config.yaml --tones áàǎâa̋ā

.PHONY: cherokee

cherokee: $(CHEROKEE_TESTS:%=runs/cherokee/%.hyp.jsonl) $(CHEROKEE_TESTS:%=runs/cherokee/%.lm.hyp.jsonl) ## tone-marked words and sentences, 1 hour
	@for test in $(CHEROKEE_TESTS); do \
	  echo "$$test, best path:"; \
	  $(ASR) $(CHEROKEE_SCORE) data/cherokee/$$test.jsonl runs/cherokee/$$test.hyp.jsonl; \
	  echo "$$test, with language models of the training texts:"; \
	  $(ASR) $(CHEROKEE_SCORE) data/cherokee/$$test.jsonl runs/cherokee/$$test.lm.hyp.jsonl; \
	done

runs/cherokee/speakers.hyp.jsonl: runs/cherokee/model.safetensors
	$(ASR) transcribe $< data/cherokee/speakers.jsonl -o $@

runs/cherokee/speakers.lm.hyp.jsonl: runs/cherokee/model.lm.safetensors
	$(ASR) transcribe $< data/cherokee/speakers.jsonl -o $@
