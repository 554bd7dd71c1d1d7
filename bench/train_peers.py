"""SpeechBrain's parts trained on the data of a run of ours, for as long as that took: validation CER and WER of both.

    python bench/train_peers.py runs/mboshi

Its features, normalisation, speed perturbation, dynamic batches, convolutions, LSTM, CTC loss and Brain, in the shape
and with the optimiser's settings that stand in the run's `config.yaml`; the learning rate comes down exactly when the
time is up. `--set model.hidden=320` gives SpeechBrain another setting. Waveforms stay in memory, already decoded, and
nothing is validated before the end: its time goes to training alone. Give both the same threads and an idle machine.

Imports nothing of ours and needs an environment of its own:

    uv venv peers && uv pip install --python peers/bin/python torch==2.11.* torchaudio==2.11.* speechbrain soundfile
"""

import argparse
import itertools
import json
import math
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import soundfile
import speechbrain
import torch
import yaml
from speechbrain.augment.time_domain import SpeedPerturb
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataloader import SaveableDataLoader
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.dataio.encoder import CTCTextEncoder
from speechbrain.dataio.sampler import DynamicBatchSampler
from speechbrain.decoders import ctc_greedy_decode
from speechbrain.lobes.features import Fbank
from speechbrain.lobes.models.convolution import ConvolutionFrontEnd
from speechbrain.nnet.linear import Linear
from speechbrain.nnet.losses import ctc_loss
from speechbrain.nnet.RNN import LSTM
from speechbrain.processing.features import InputNormalization
from speechbrain.utils.metric_stats import ErrorRateStats

STRIDES = {1: (1, 1), 2: (2, 1), 3: (3, 1), 4: (2, 2)}
Config = dict[str, dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of a finished training of ours")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for SpeechBrain only")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of SpeechBrain")
    arguments = parser.parse_args()
    log = [json.loads(line) for line in (arguments.run / "log.jsonl").read_text().splitlines()]
    epochs = [line for line in log if "cer" in line]
    kept = min(reversed(epochs), key=lambda line: line["cer"])
    report("asr", kept["cer"], kept["wer"], epochs[-1]["seconds"], epochs[-1]["epoch"])

    config = yaml.safe_load((arguments.run / "config.yaml").read_text())
    for key, _, value in (override.partition("=") for override in arguments.set):
        section, name = key.split(".")
        config[section][name] = yaml.safe_load(value)
    torch.manual_seed(config["training"]["seed"])
    encoder = CTCTextEncoder()
    encoder.insert_blank(index=0)
    rate = config["features"]["sample_rate"]
    train, validation = (dataset(config["data"][part], rate, encoder) for part in ("train", "validation"))
    brain = make_brain(config, encoder, epochs[-1]["seconds"], arguments.precision)
    longest = config["training"]["batch_utterances"] * sum(train.data[key]["duration"] for key in train.data_ids)
    sampler = DynamicBatchSampler(
        train, max_batch_length=longest / len(train), num_buckets=20, seed=config["training"]["seed"]
    )
    loaders = (
        SaveableDataLoader(train, batch_sampler=sampler, collate_fn=PaddedBatch),
        SaveableDataLoader(validation, batch_size=16, collate_fn=PaddedBatch),
    )
    started = time.perf_counter()
    brain.fit(brain.until_time_is_up(), loaders[0], progressbar=False)
    spent = time.perf_counter() - started
    brain.evaluate(loaders[1], progressbar=False)
    errors = brain.cer.summarize("error_rate"), brain.wer.summarize("error_rate")
    report(f"SpeechBrain {version('speechbrain')}", *errors, spent, brain.optimizer_step / len(loaders[0]))


def report(side: str, cer: float, wer: float, seconds: float, epochs: float) -> None:
    threads = torch.get_num_threads()
    line = {"bench": "train_peers", "side": side, "cer": round(cer, 2), "wer": round(wer, 2)}
    print(json.dumps({**line, "seconds": round(seconds), "epochs": round(epochs, 1), "threads": threads}), flush=True)


def dataset(manifests: list[str], sample_rate: int, encoder: CTCTextEncoder) -> DynamicItemDataset:
    """Return utterances by id, and add their characters to `encoder`."""
    utterances: dict[str, dict[str, Any]] = {}
    for path in map(Path, manifests):
        for line in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            waveform, rate = soundfile.read(path.parent / line["audio_filepath"], dtype="float32")
            if rate != sample_rate:
                raise SystemExit(
                    f"{line['audio_filepath']}: has {rate} Hz, the model {sample_rate}; this resamples nothing"
                )
            utterances[line["id"]] = {
                "waveform": torch.from_numpy(waveform),
                "text": line["text"],
                "duration": line["duration"],
            }
    data = DynamicItemDataset(utterances, output_keys=["id", "waveform", "text", "targets"])
    encoder.update_from_iterable(utterance["text"] for utterance in utterances.values())
    data.add_dynamic_item(lambda text: torch.tensor(encoder.encode_sequence(text)), takes="text", provides="targets")
    return data


class Recognizer(speechbrain.Brain):
    """Character CTC in SpeechBrain, as its recipes' `train.py` write it."""

    encoder: CTCTextEncoder
    training: dict[str, Any]
    seconds: float

    def until_time_is_up(self) -> Iterator[int]:
        self.started = time.perf_counter()
        return itertools.count(1)

    def compute_forward(self, batch: PaddedBatch, stage: speechbrain.Stage) -> Any:
        audio, lengths = batch.waveform
        if stage == speechbrain.Stage.TRAIN:
            audio = self.modules.perturb(audio)
        features = self.modules.features(audio)
        features = self.modules.normalize(features, lengths, epoch=self.epoch)
        x, _ = self.modules.lstm(self.modules.front(features))
        return self.modules.output(x).log_softmax(-1), lengths

    def compute_objectives(self, predictions: Any, batch: PaddedBatch, stage: speechbrain.Stage) -> torch.Tensor:
        log_probs, lengths = predictions
        targets, target_lengths = batch.targets
        if stage == speechbrain.Stage.TEST:
            heard = ["".join(self.encoder.decode_ndim(one)) for one in ctc_greedy_decode(log_probs, lengths, 0)]
            self.cer.append(batch.id, list(map(list, heard)), list(map(list, batch.text)))
            self.wer.append(batch.id, list(map(str.split, heard)), list(map(str.split, batch.text)))
        return ctc_loss(log_probs, targets, lengths, target_lengths, blank_index=0)

    def on_stage_start(self, stage: speechbrain.Stage, epoch: int | None = None) -> None:
        self.epoch = epoch
        self.cer, self.wer = ErrorRateStats(), ErrorRateStats()

    def on_fit_batch_start(self, batch: PaddedBatch, should_step: bool) -> None:
        """Return the learning rate after a linear rise, then half a cosine, over the training time."""
        done = (time.perf_counter() - self.started) / self.seconds
        warmup = self.training["warmup"]
        share = done / warmup if done < warmup else 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))
        for group in self.optimizer.param_groups:
            group["lr"] = self.training["learning_rate"] * max(share, 1e-3)
        if done >= 1:
            self.optimizer_step_limit = self.optimizer_step


def make_brain(config: Config, encoder: CTCTextEncoder, seconds: float, precision: str) -> Recognizer:
    features, model, training = config["features"], config["model"], config["training"]
    rate = features["sample_rate"]
    n_fft = 2 ** math.ceil(math.log2(rate * features["window_ms"] / 1000))
    front = ConvolutionFrontEnd(
        (None, None, features["bins"]),
        num_blocks=2,
        num_layers_per_block=1,
        out_channels=[model["channels"]] * 2,
        kernel_sizes=[3, 3],
        strides=list(STRIDES[model["subsampling"]]),
        residuals=[False, False],
        dropout=0.0,
    )
    shape = front(torch.zeros(1, 100, features["bins"])).shape
    modules = {
        "perturb": SpeedPerturb(rate),
        "features": Fbank(
            sample_rate=rate,
            n_fft=n_fft,
            n_mels=features["bins"],
            win_length=features["window_ms"],
            hop_length=features["hop_ms"],
        ),
        "normalize": InputNormalization(norm_type="global"),
        "front": front,
        "lstm": LSTM(
            model["hidden"],
            input_shape=shape,
            num_layers=model["layers"],
            dropout=model["dropout"],
            bidirectional=True,
        ),
        "output": Linear(len(encoder), input_size=2 * model["hidden"]),
    }
    brain = Recognizer(
        modules,
        lambda parameters: torch.optim.AdamW(parameters, weight_decay=training["weight_decay"]),
        run_opts={"max_grad_norm": training["gradient_clip"], "device": "cpu", "precision": precision},
    )
    brain.encoder, brain.training, brain.seconds = encoder, training, seconds
    return brain


if __name__ == "__main__":
    main()
