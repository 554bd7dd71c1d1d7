"""Bulk transcription on Ray on the command line: `asr transcribe --ray`."""

from collections.abc import Sequence
from pathlib import Path

from asr.cli.bulk import parse_shard, read_job, show_next_of
from asr.cluster.job import Options
from asr.cluster.merge import write_errors
from asr.errors import AsrError
from asr.progress import ProgressBar


def transcribe_on_ray(
    model: Path, inputs: Sequence[str], output: Path | None, shard: str | None, options: Options, address: str
) -> None:
    """Transcribe all shards that are not done on the Ray cluster at `address`; `shard` is `all/N` or None.

    Raises AsrError for a wrong call, for a folder with another bulk transcription, and for a cluster that cannot be
    used.
    """
    from asr.cluster.ray import count_shards, transcribe_shards  # imports Arrow

    number, count = (None, None) if shard is None else parse_shard(shard)
    if number is not None:
        raise AsrError(f"--ray {address} --shard {shard}: a cluster does all shards; give --shard all/{count}")
    folder, utterances, parts = read_job(
        model, inputs, output, options, count_shards if count is None else lambda _: count, f"--ray {address}"
    )
    failed = False
    with ProgressBar("transcribing", sum(len(parts[number - 1]) for number in folder.unfinished())) as bar:
        for done in transcribe_shards(folder, utterances, parts, model=model, address=address):
            for message in (*done.messages, *(f"asr: {error}" for error in done.errors)):
                bar.print(message)
            failed = failed or bool(done.errors)
            bar.advance(done.lines)
    if failed:
        write_errors(folder)
    show_next_of(folder)
