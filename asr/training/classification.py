"""Training a classifier: cross-entropy on whole utterances and their classes, which stand in place of texts."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from asr.batching import Joined
from asr.classification import Classifier
from asr.config import Config
from asr.errors import TrainingError
from asr.figures.training import classification_picture
from asr.run_log import Row
from asr.training import watch
from asr.training.data import Corpora
from asr.training.speech import SAMPLES, SpeechTask

_UNSEEN = -1  # in place of a class that training never shows


def learn_classes(config: Config, data: Corpora, say: Callable[[str], None]) -> list[str]:
    """The classes of training, sorted; those that only validation has are said.

    Raises TrainingError if there is only one, or if validation has none of them.
    """
    corpora = data.training, data.validation
    classes, held_out = (Counter(utterance.text or "" for utterance in corpus.utterances) for corpus in corpora)
    if len(classes) == 1:
        raise TrainingError(
            f"{', '.join(config.data.train)}: every utterance is of one class, {next(iter(classes))!r}; there must be "
            f"two or more to tell apart; data.text_field is {config.data.text_field}, the field that holds the class"
        )
    unseen = ", ".join(f"{name!r} {count} times" for name, count in held_out.items() if name not in classes)
    if not held_out.keys() & classes.keys():
        raise TrainingError(f"validation has no class of training, but {unseen}; divide the data so that both have all")
    if unseen:
        say(f"warning: validation has classes never seen in training, all of which count as errors: {unseen}")
    return sorted(classes)


class ClassificationTask(SpeechTask[Classifier, Corpora]):
    """Targets are the classes of utterances."""

    target = "utterance"
    criterion = "error_rate"
    errors = ("error_rate",)

    def __init__(self, config: Config, data: Corpora, device: torch.device) -> None:
        """Learns the classes and draws the first weights, or takes those of `training.start_from`."""
        classes = learn_classes(config, data, watch.say)
        super().__init__(config, data, Classifier(config, classes).to(device))
        index = {name: number for number, name in enumerate(classes)}
        self.targets, self.held_out = (
            torch.tensor([index.get(utterance.text or "", _UNSEEN) for utterance in corpus.utterances])
            for corpus in (data.training, data.validation)
        )
        self.not_listening = torch.distributions.Categorical(self.targets.bincount().float()).entropy().item()

    def num_targets(self, batch: list[Joined]) -> int:
        return len(batch)

    def load(self, batch: list[Joined]) -> tuple[Tensor, Tensor, Tensor]:
        """Audio `(B, N)`, lengths `(B,)` in samples, targets `(B,)`."""
        return *self.load_audio(batch), self.targets[[index for (index,) in batch]].to(self.model.device)

    def loss(self, model: nn.Module, data: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        audio, lengths, targets = data
        log_probs = model(*self.features(audio, lengths, torch.ones_like(lengths)))
        return nn.functional.nll_loss(log_probs, targets, reduction="sum")

    def evaluate(self) -> Row:
        """The loss leaves out classes never seen in training; they count as errors."""
        validation = self.data.validation
        log_probs = self.model.log_probs(validation.num_samples, validation.audio)
        best = log_probs.argmax(1)
        pairs = zip(validation.utterances, best.tolist(), strict=True)
        return {
            "validation_loss": nn.functional.nll_loss(log_probs, self.held_out, ignore_index=_UNSEEN).item(),
            "no_listening_loss": self.not_listening,
            "error_rate": 100 * (best != self.held_out).double().mean().item(),
            "samples": [[utterance.text, self.model.classes[heard]] for utterance, heard in pairs][:SAMPLES],
        }

    def line(self, row: Row) -> str:
        return (
            f"validation loss {row['validation_loss']:.3f}  errors {row['error_rate']:6.2f} %  "
            f"{watch.listening_line(row, epochs=self.config.training.epochs)}"
        )

    def picture(self, path: Path, log: Sequence[Row]) -> None:
        classification_picture(path, log, self.model, self.data.validation)
