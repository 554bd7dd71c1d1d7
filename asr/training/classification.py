"""The task of training a classifier, with cross-entropy on whole utterances; their classes replace their texts."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from asr.batching import Joined
from asr.classifier import Classifier
from asr.config import Config
from asr.corpus.corpus import Corpus
from asr.corpus.streamed import StreamedCorpus
from asr.errors import TrainingError
from asr.figures.training import classification_picture
from asr.run_log import Row
from asr.training import watch
from asr.training.data import Corpora
from asr.training.speech import SAMPLES, SpeechTask
from asr.wording import counted

_UNSEEN = -1  # index of every class that only validation data has


def learn_classes(config: Config, data: Corpora, say: Callable[[str], None]) -> list[str]:
    """Return the sorted classes of the training data; report the classes that only validation data has.

    Raises TrainingError if there is only one class, or if validation data has none of the classes.
    """
    classes, held_out = class_counts(data.training), class_counts(data.validation)
    if len(classes) == 1:
        raise TrainingError(
            f"{', '.join(config.data.train)}: all utterances have the same class, {next(iter(classes))!r}; a "
            f"classifier needs two or more classes. Check data.text_field={config.data.text_field}, the field of them"
        )
    unseen = ", ".join(
        f"{name!r} {counted('{} time<s>', count)}" for name, count in held_out.items() if name not in classes
    )
    if not held_out.keys() & classes.keys():
        raise TrainingError(
            f"{', '.join(config.data.validation)}: no class of the validation data occurs in the training data; found "
            f"{unseen}; split the data so that both parts have all classes"
        )
    if unseen:
        say(f"warning: validation data has classes that training data does not have; they count as errors: {unseen}")
    return sorted(classes)


def class_counts(corpus: Corpus) -> Counter[str]:
    """Return how often each class occurs in a corpus."""
    if isinstance(corpus, StreamedCorpus):
        return corpus.symbols
    return Counter(utterance.text or "" for utterance in corpus.utterances)


class ClassificationTask(SpeechTask[Classifier, Corpora]):
    """Training of a classifier; the targets are the classes of the utterances."""

    target = "utterance"
    criterion = "error_rate"
    errors = ("error_rate",)

    def __init__(self, config: Config, data: Corpora, device: torch.device) -> None:
        """Learn the classes and create a model with fresh weights, or with the weights of `training.start_from`."""
        classes = learn_classes(config, data, watch.say)
        super().__init__(config, data, Classifier(config, classes).to(device))
        index = {name: number for number, name in enumerate(classes)}
        self.index = index
        self.held_out = torch.tensor([index.get(one.text or "", _UNSEEN) for one in data.validation.utterances])
        counts = class_counts(data.training)
        sizes = torch.tensor([counts[name] for name in classes])
        self.baseline_loss = torch.distributions.Categorical(sizes.float()).entropy().item()

    def num_targets(self, batch: list[Joined]) -> int:
        return len(batch)

    def load(self, batch: list[Joined]) -> tuple[Tensor, Tensor, Tensor]:
        """Load audio `(B, N)`, lengths `(B,)` in samples, and classes `(B,)`."""
        found, audio, lengths = self.load_audio(batch)
        texts = (self.data.training.utterances[joined.parts[0]].text or "" for joined in found)
        return audio, lengths, torch.tensor([self.index[text] for text in texts], dtype=torch.long).to(audio.device)

    def loss(self, model: nn.Module, data: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        audio, lengths, targets = data
        log_probs = model(*self.features(audio, lengths, torch.ones_like(lengths)))
        if not len(targets):  # no recording of the batch can be read: silence, without weight
            return 0 * log_probs.sum()
        return nn.functional.nll_loss(log_probs, targets, reduction="sum")

    def evaluate(self) -> Row:
        """Compute the loss over classes that training data has; other classes count as errors."""
        validation = self.data.validation
        log_probs = torch.from_numpy(self.model.log_probs(validation.num_samples, validation.audio))
        best = log_probs.argmax(1)
        self.hypotheses = [self.model.classes[index] for index in best.tolist()]

        def measure(indices: Sequence[int]) -> tuple[float, float]:
            """Return the loss in nats and the error rate in percent of some utterances."""
            loss = nn.functional.nll_loss(log_probs[indices], self.held_out[indices], ignore_index=_UNSEEN)
            return loss.item(), 100 * (best[indices] != self.held_out[indices]).double().mean().item()

        loss, error_rate = measure(range(len(validation)))
        by_corpus = [
            {"name": part.name, "error_rate": error_rate, "loss": loss}
            for part in self.validation_parts
            for loss, error_rate in [measure(part.indices)]
        ]
        return {
            "validation_loss": loss,
            "no_listening_loss": self.baseline_loss,
            "error_rate": error_rate,
            **({"validation": by_corpus} if by_corpus else {}),
            "samples": [
                [utterance.text, found] for utterance, found in zip(validation.utterances, self.hypotheses, strict=True)
            ][:SAMPLES],
        }

    def line(self, row: Row) -> str:
        return f"validation loss {watch.format_loss(row['validation_loss'])}  errors {row['error_rate']:.2f} %"

    def picture(self, path: Path, log: Sequence[Row]) -> None:
        classification_picture(path, log, self.model, self.data.validation)
