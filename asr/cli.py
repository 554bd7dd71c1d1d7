"""The command line: parses, calls the library, prints. Heavy imports wait inside the commands."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from asr.errors import AsrError

if TYPE_CHECKING:
    from asr.decoding.ngram import NGram

app = typer.Typer(
    help="Train your own speech recogniser, and use it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: importing rich would double its time
    pretty_exceptions_enable=False,
)

Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override, e.g. training.epochs=20.")]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A model file: runs/NAME/model.safetensors.")]
Formats = Annotated[
    str | None,
    typer.Option("-f", "--format", metavar="A,B…", help="txt, json, jsonl, srt, vtt, tsv, ctm, TextGrid, eaf."),
]
Eaf = Annotated[
    Path | None,
    typer.Option(help="With -f eaf: the ELAN file that gets a tier more; by default the one beside the recording."),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 …; by default a GPU if there is one.")]


def main() -> None:
    """Runs the command line."""
    run(app)


def run(program: Callable[[], None]) -> None:
    """Runs a program: exit status 0, 1 for an error said on stderr, 2 for a wrong call. Recipes use it too."""
    try:
        program()
    except AsrError as error:
        print(f"asr: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("asr: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `asr … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


@app.command()
def prepare(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A folder with recordings and texts, or a table.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the manifests, such as data/NAME.")],
    split: Annotated[
        str | None,
        typer.Option(
            metavar="SHARES",
            help="Shares of train, validation, test; 0.8,0.1,0.1 where the source has no splits. "
            "Where it has, taken out of its train.",
        ),
    ] = None,
    by: Annotated[
        str, typer.Option(help="What stays together in one split: id (one utterance), speaker or text.")
    ] = "id",
    format: Annotated[str | None, typer.Option(help="Read it as this; by default what is recognised.")] = None,
    tier: Annotated[
        str | None, typer.Option(help="Tier with the transcript, in ELAN and Praat files; a pattern for several: tx@*.")
    ] = None,
    text_suffix: Annotated[str | None, typer.Option(help="End of the text files' names, such as .txt.")] = None,
    pattern: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help="Takes text, speaker, split from the names of recordings: (?P<speaker>[a-z]+)_(?P<text>.+).",
        ),
    ] = None,
) -> None:
    """Make manifests of any usual corpus: recognise it, show three rows, divide it into splits.

    Nothing is copied or cut. Splits of the source are kept; without any, each utterance falls to one by its hash, so
    that adding data moves none. Recordings without text go to untranscribed.jsonl; texts whose recording is not there
    to missing.jsonl, and the exit status is then 1. Formats: see docs/prepare.md.
    """
    import logging

    from asr.corpus.prepare import describe, parse_fractions
    from asr.corpus.prepare import prepare as prepare_corpus

    logging.basicConfig(format="%(message)s")
    fractions = None if split is None else parse_fractions(split)
    options = {"tier": tier, "text_suffix": text_suffix, "pattern": pattern}
    prepared = prepare_corpus(source, output, format=format, fractions=fractions, by=by, **options)
    for line in describe(prepared, output):
        print(line)
    if prepared.missing:
        raise AsrError(f"{prepared.missing} texts have no recording; they are listed in {output / 'missing.jsonl'}")


@app.command()
def check(
    manifests: Annotated[list[Path], typer.Argument(metavar="MANIFEST…", help="One a split: train.jsonl test.jsonl …")],
    config: Annotated[
        Path | None, typer.Option(metavar="CONFIG", help="The model it is to train; without it, one of defaults.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write all findings, figures and characters as JSON Lines.")
    ] = None,
) -> None:
    """Check a corpus before training: every recording decoded to its end, every text looked through.

    The manifest named train…, else the first, is training. Exit status 1 if a line is unusable: training would leave
    it out.
    """
    from asr.config import Config
    from asr.corpus.check import check as check_corpus
    from asr.corpus.check import name_splits, settings_of
    from asr.corpus.check_report import summary, write_table

    settings = Config.load(config) if config else Config.model_validate({"data": {"train": "", "validation": ""}})
    splits, training = name_splits(manifests)
    report = check_corpus(splits, training=training, **settings_of(settings))
    if output is not None:
        write_table(report, output)
    features = f"{settings.features.sample_rate} Hz, {settings.features.hop_ms:g} ms, subsampling"
    for line in summary(report, f"{config or 'the default model'} ({features} {settings.model.subsampling})"):
        print(line.encode("utf-8", "backslashreplace").decode())  # a name may hold what UTF-8 cannot
    if report.unusable:
        lines = {(finding.manifest, finding.line) for finding in report.unusable}
        raise AsrError(f"{len(lines)} lines are unusable; training leaves them out")


@app.command()
def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file, such as recipes/fsdd/config.yaml.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Where results go; by default runs/NAME, NAME being the recipe's folder."),
    ] = None,
    start: Annotated[
        Path | None, typer.Option("--from", metavar="MODEL", help="Begin with the weights of this model.")
    ] = None,
    override: Set = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse if anything is unusable; see `asr check`.")] = False,
) -> None:
    """Train a recogniser; its one file is OUT/model.safetensors.

    The data is checked first; what is unusable is named and left out. The same command goes on where an interrupted
    one stopped.
    """
    from asr.config import Config

    settings = Config.load(config, [*(override or []), *([f"training.start_from={start}"] if start else [])])
    from asr.training.loop import train as train_recognizer

    name = config.resolve().parent.name if config.stem == "config" else config.stem
    train_recognizer(settings, out or Path("runs") / name, strict=strict)


@app.command()
def selftest(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="What you mean to train on.")],
) -> None:
    """Is it my data or the program? In about a minute: do texts fit their recordings, can a few be learned by heart?"""
    from asr.training.selftest import selftest as run_selftest

    run_selftest(manifest, print)


@app.command()
def transcribe(
    model: Model,
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT…", help="Recordings, folders, globs, manifests (.jsonl .csv .tsv), - for stdin."),
    ],
    formats: Formats = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder for files, or NAME.jsonl for a manifest with hypotheses."),
    ] = None,
    channels: Annotated[
        str, typer.Option(metavar="mix|split|N", help="Average all, transcribe each by itself, or take number N.")
    ] = "mix",
    skip_existing: Annotated[bool, typer.Option(help="Leave out recordings whose files are all there.")] = False,
    eaf: Eaf = None,
    device: Device = None,
) -> None:
    """Transcribe recordings: the text of each on stdout, after its name where there are several, or files.

    A recording that cannot be read is named on stderr, the rest go on, and the exit status is 1.
    """
    import logging
    import tempfile

    from asr.corpus.manifest import with_hypothesis, write_manifest
    from asr.inputs import find_recordings, parse_channels, require_distinct
    from asr.writers import output_path, parse_formats, write

    manifest = output if output is not None and output.suffix == ".jsonl" and not output.is_dir() else None
    if manifest is not None and (formats or skip_existing):
        raise AsrError(f"-o {manifest}: is one manifest; for -f and --skip-existing name a folder")
    which = parse_channels(channels)
    kinds = () if manifest is not None or not (formats or output) else parse_formats(formats or "txt")
    with tempfile.TemporaryDirectory(prefix="asr-") as temporary:
        found = find_recordings(inputs, Path(temporary))
        stems = {id(utterance): (output or Path()) / name for utterance, name in found}
        if kinds:
            require_distinct(found)
        if eaf is not None and (len(found) != 1 or "eaf" not in kinds):
            raise AsrError("--eaf FILE: goes with -f eaf and one recording")
        utterances = [utterance for utterance, _ in found]
        if skip_existing and kinds:
            first = 1 if which == "split" else None
            utterances = [u for u in utterances if not all(output_path(stems[id(u)], k, first).exists() for k in kinds)]
            print(f"{len(found) - len(utterances)} of {len(found)} recordings have their files", file=sys.stderr)
            if not utterances:
                return

        from asr.model import load
        from asr.progress import ProgressBar
        from asr.transcribe import transcribe as transcribe_all
        from asr.transcribe import with_channel
        from asr.transcript import Transcript

        logging.basicConfig(format="%(message)s")
        logging.getLogger("asr").setLevel(logging.INFO)  # channels averaged, levels changed: said, not hidden
        recognizer = load(model, device)
        rows, failed = [], []
        with ProgressBar("transcribing", len(utterances)) as bar:
            for utterance, result in transcribe_all(recognizer, utterances, which):
                bar.advance()
                channel = result.channel if which == "split" and isinstance(result, Transcript) else None
                try:
                    if not isinstance(result, Transcript):
                        raise result
                    if kinds:
                        write(result, utterance.audio, stems[id(utterance)], kinds, channel=channel, eaf=eaf)
                except AsrError as error:
                    failed.append(utterance.id)
                    bar.print(f"asr: {error}")
                    continue
                named = with_channel(utterance, channel)
                if not result.text:
                    bar.print(f"{named.id}: no speech found")
                if kinds:
                    continue
                if manifest is not None:
                    rows.append(with_hypothesis(named, result.text))
                else:
                    print(result.text if len(utterances) == 1 and channel is None else f"{named.id}\t{result.text}")
    if manifest is not None:
        write_manifest(manifest, rows)
    if failed:
        names = "\n  ".join(failed)
        raise AsrError(f"{len(failed)} of {len(utterances)} recordings could not be transcribed:\n  {names}")


@app.command()
def align(
    model: Model,
    audio: Annotated[Path, typer.Argument(metavar="AUDIO", help="A recording of any length.")],
    text: Annotated[Path, typer.Argument(metavar="TEXT", help="What is said in it, as plain text in UTF-8.")],
    formats: Formats = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the files of -f.")] = Path(),
    make_corpus: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write DIR/AUDIO.jsonl, a manifest of the well-aligned segments.")
    ] = None,
    eaf: Eaf = None,
    device: Device = None,
) -> None:
    """Find when each word of a text is said: start, end, confidence and word on stdout, or files.

    Words that are not said and speech that is not written are passed over, and named on stderr.
    """
    from asr.writers import parse_formats, write

    kinds = parse_formats(formats or "")
    if eaf is not None and "eaf" not in kinds:
        raise AsrError("--eaf FILE: goes with -f eaf")
    try:
        content = text.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise AsrError(f"{text}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise AsrError(f"{text}: is not UTF-8 (byte {error.start}); save it as UTF-8") from None

    from asr.align import align as align_text
    from asr.align import well_aligned
    from asr.corpus.manifest import write_manifest
    from asr.model import load
    from asr.writers.tsv import render

    alignment = align_text(load(model, device), audio, content)
    write(alignment.transcript, audio, output / audio.stem, kinds, eaf=eaf)
    if not kinds and make_corpus is None:
        print(render(alignment.transcript, audio), end="")
    for line in alignment.report():
        print(line, file=sys.stderr)
    if make_corpus is not None:
        segments = well_aligned(alignment, audio, audio.stem)
        if not segments:
            raise AsrError(f"{audio}: no segment is aligned well enough to train on; is {text} its text?")
        write_manifest(make_corpus / f"{audio.stem}.jsonl", segments)
        seconds = sum(segment.duration or 0.0 for segment in segments)
        print(f"{len(segments)} segments, {seconds:.1f} s of {alignment.transcript.duration:.1f} s", file=sys.stderr)


@app.command()
def score(
    reference: Annotated[
        Path, typer.Argument(metavar="REF", help="Manifest, plain text, Kaldi text, CTM or STM: docs/score.md.")
    ],
    hypothesis: Annotated[Path, typer.Argument(metavar="HYP", help="What `asr transcribe -o` wrote, or any of these.")],
    other: Annotated[
        Path | None, typer.Argument(metavar="HYP2", help="Another system's, to compare: is it better than HYP?")
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Also for each value of a field: --by speaker.")
    ] = None,
    lower: Annotated[bool, typer.Option(help="Score in lower case.")] = False,
    config: Annotated[
        Path | None,
        typer.Option(metavar="YAML", help="Normalise as this configuration's text: section: runs/NAME/config.yaml."),
    ] = None,
    tones: Annotated[
        str | None, typer.Option(metavar="LETTERS", help="Also the CER without the marks on these: --tones áà.")
    ] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Confused words and characters, most missed words.")] = False,
    anatomy: Annotated[bool, typer.Option("--anatomy", help="Errors by length and by signal level.")] = False,
    training: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Training texts: errors in words known and unknown from them.")
    ] = None,
    alignments: Annotated[bool, typer.Option("--alignments", help="The texts with errors, word under word.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A row for each utterance: .jsonl, .csv or .tsv.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="All of it as one page for a browser.")] = None,
) -> None:
    """Score hypotheses against references: WER and CER with counts and a 95 % bootstrap interval.

    Texts are matched by id, plain texts line by line, a CTM with an STM by time.
    """
    import logging

    from asr.config import Config
    from asr.scoring.summary import summarise
    from asr.scoring.tables import write_rows
    from asr.text import Normalizer

    if lower and config is not None:
        raise typer.BadParameter("give --lower or --config, not both")
    logging.basicConfig(format="asr: %(message)s")
    summary = summarise(
        reference,
        [hypothesis] if other is None else [hypothesis, other],
        Normalizer(lower=lower) if config is None else Config.load(config).text.normalizer,
        by=by,
        tones=tones,
        errors=errors,
        anatomy=anatomy,
        training=training,
    )
    if output is not None:
        write_rows(output, list(summary.rows()))
    if html is not None:
        from asr.report.score import write_page

        write_page(html, summary, f"{hypothesis.name} against {reference.name}")
    if alignments:
        print("\n".join(summary.alignment_lines()))
    print("\n".join(summary.lines()))


@app.command()
def lm(
    texts: Annotated[
        list[Path],
        typer.Argument(metavar="TEXT…", help="Texts, one sentence a line (.gz too), and manifests (.jsonl .csv .tsv)."),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The ARPA file to write; compressed if its name ends in .gz.")
    ],
    order: Annotated[
        int | None, typer.Option(help="Length of the longest n-grams; by default 4 words or 6 characters.")
    ] = None,
    units: Annotated[Literal["words", "characters"], typer.Option(help="What n-grams are made of.")] = "words",
    prune: Annotated[
        str,
        typer.Option(
            metavar="N,N,…",
            help="Leave out n-grams seen N times or less, one N for each order, the last for all longer: 0,0,1.",
        ),
    ] = "0",
    lower: Annotated[bool, typer.Option(help="Count in lower case.")] = False,
    validation: Annotated[Path | None, typer.Option(help="Also print the perplexity of this text or manifest.")] = None,
) -> None:
    """Estimate an n-gram language model from text, 50 sentences or many millions, and write it as an ARPA file.

    Kneser-Ney smoothing; orders whose counts are too few for it get Witten-Bell, and it says so.
    """
    from asr.corpus.sentences import read_sentences
    from asr.decoding.arpa import write_arpa
    from asr.decoding.estimate import estimate
    from asr.text import Normalizer

    try:
        thresholds = [int(threshold) for threshold in prune.split(",")]
    except ValueError:
        raise AsrError(f"--prune {prune}: must be whole numbers with commas between them, as in 0,0,1") from None
    normalizer = Normalizer(lower=lower)
    found = estimate(read_sentences(texts, normalizer), order=order, units=units, prune=thresholds)
    print(found, file=sys.stderr)
    write_arpa(output, found.model, [f"text: {normalizer}", *found.smoothing])
    print(f"{output}: {output.stat().st_size / 1e3:.0f} kB", file=sys.stderr)
    if validation is not None:
        print(found.model.perplexity(read_sentences([validation], normalizer)))


@app.command()
def tune(
    model: Model,
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="Validation data with texts: .jsonl .csv .tsv.")],
    lm: Annotated[Path | None, typer.Option(help="ARPA file of words.")] = None,
    character_lm: Annotated[
        Path | None, typer.Option(help="ARPA file of characters; by default one is made of the words of --lm.")
    ] = None,
    lm_text: Annotated[
        list[Path] | None,
        typer.Option(help="Instead of both: text or manifest to estimate them from, such as the training manifest."),
    ] = None,
    closed: Annotated[bool, typer.Option(help="Allow only words of the word model.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The model file to write; by default MODEL itself.")
    ] = None,
    device: Device = None,
) -> None:
    """Add language models to a model file, their weights tuned on validation data; if they do not help, none is stored.

    Words the word model has never seen stay possible: they are scored by their characters.
    """
    if (lm or character_lm) is None and not lm_text:
        raise AsrError("give --lm-text with text to learn from, or --lm and --character-lm with ARPA files")
    if (lm or character_lm) is not None and lm_text:
        raise AsrError("--lm-text estimates both language models; leave out --lm and --character-lm, or --lm-text")

    from asr.corpus.manifest import read_manifest
    from asr.corpus.sentences import read_sentences
    from asr.decoding.arpa import read_arpa
    from asr.decoding.decoder import Decoder
    from asr.decoding.tune import HEADER, Validation, models_of_text, search_settings, spelling_model
    from asr.model import load

    recognizer = load(model, device)
    utterances = read_manifest(manifest, require_text=True)
    if lm_text:
        sentences = list(read_sentences(lm_text, recognizer.normalizer))
        known = set(sentences)
        if seen := sum(recognizer.normalizer(utterance.text or "") in known for utterance in utterances):
            share = f"{seen} of {len(utterances)} texts of {manifest}"
            print(
                f"asr: {share} stand verbatim in the language model's text: it will be trusted too much",
                file=sys.stderr,
            )
        models: tuple[NGram | None, NGram | None] = models_of_text(sentences, recognizer.units)
    else:
        words = read_arpa(lm) if lm else None
        models = words, read_arpa(character_lm) if character_lm else spelling_model(words) if words else None
    decoder = Decoder(recognizer.units, *models, closed=closed)
    validation = Validation(recognizer, utterances)
    print(HEADER)
    for best in search_settings(validation, decoder):
        print(best, flush=True)
    decoder = decoder.using(weights=best.weights, pruning=best.pruning)
    plain, tuned = validation.score(None, interval=True), validation.score(decoder, interval=True)
    print(f"best path: {plain.cer}\n           {plain.wer}\ntuned:     {tuned.cer}\n           {tuned.wer}")
    helps = (tuned.wer.errors, tuned.cer.errors) < (plain.wer.errors, plain.cer.errors)
    recognizer.decoder = decoder if helps else None
    if helps:
        decoder.summary = {"utterances": len(utterances), "best path": str(plain.wer), "tuned": str(tuned.wer)}
    else:
        print("no setting helps: no language model is stored, the model keeps to best path")
    recognizer.save(output or model)


@app.command()
def info(model: Model) -> None:
    """Show what a model file holds: units, configuration, how it was trained."""
    import yaml

    from asr.model import read_metadata

    print(yaml.safe_dump(read_metadata(model), sort_keys=False, allow_unicode=True, width=100), end="")
