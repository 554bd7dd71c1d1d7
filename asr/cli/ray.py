"""Bulk transcription on Ray on the command line: `asr transcribe --ray`."""

from collections.abc import Sequence
from pathlib import Path

from asr.cli.bulk import parse_shard, plan, show_rest
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
    folder, read = plan(model, inputs, output, options, lambda read: count or count_shards(read()), f"--ray {address}")
    if folder.unfinished():
        failed = False
        with ProgressBar("transcribing", None) as bar:
            for done in transcribe_shards(folder, read, model=model, address=address):
                bar.expect(done.total)
                for message in (*done.messages, *(f"asr: {error}" for error in done.errors)):
                    bar.print(message)
                failed = failed or bool(done.errors)
                bar.advance(done.lines)
        if failed:
            write_errors(folder)
    show_rest(folder)
