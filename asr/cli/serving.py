"""The command `asr serve`."""

import re
from pathlib import Path
from typing import Annotated

import typer

from asr.cli.log import show_log, tell
from asr.errors import AsrError
from asr.files import read_lines

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


def serve(
    models: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="MODEL…",
            help="Model files, exported models (.onnx), folders of runs, or hf://USER/NAME. The first is the default.",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(metavar="HOST", help="Address to listen on; 0.0.0.0 lets other computers reach the service.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8000,
    workers: Annotated[
        int, typer.Option(metavar="N", min=1, max=64, help="Processes that compute; each loads all models.")
    ] = 1,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of recordings that the page transcribes and corrects.")
    ] = None,
    phrases: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Allowed texts, one a line, of requests that bring no words of their own."),
    ] = None,
    hotwords: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Words to favour, one a line, in requests that bring no words of their own."),
    ] = None,
    wyoming: Annotated[
        str | None,
        typer.Option(metavar="tcp://HOST:PORT", help="Address for Home Assistant too, such as tcp://127.0.0.1:10300."),
    ] = None,
    language: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE", help="Language that Home Assistant offers the models for: sw. Repeatable."),
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File of keys, one a line: only requests with one of them are answered."),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificate for https, which microphones need. PEM.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Private key of the certificate. PEM.")] = None,
    cors: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="Site whose pages may use the service: https://HOST. Repeatable."),
    ] = None,
    max_upload: Annotated[str, typer.Option(metavar="SIZE", help="Largest request, in bytes, or with K, M, G.")] = "4G",
    queue: Annotated[
        int, typer.Option(metavar="N", min=1, help="Requests that may wait; further ones are told to come again.")
    ] = 256,
    batch: Annotated[
        int, typer.Option(metavar="N", min=1, max=256, help="Recordings that are computed at once, at most.")
    ] = 32,
    latency: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=0, max=10, help="Time that a request waits for others to be computed with."
        ),
    ] = 0.0,
    idle: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=1, help="Time after which a connection that sends nothing is closed."),
    ] = 30.0,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="Longest time from the end of an upload to its answer.")
    ] = 600.0,
) -> None:
    """Serve models over HTTP: OpenAI's transcription API, an API of its own, and a page to work in.

    The service stops at Ctrl-C or SIGTERM, once it has answered what it has taken. Without a model, and with --data,
    the page can train one.
    """
    if not models and data is None:
        raise typer.BadParameter("name a model, or --data DIR for a page that trains one", param_hint="MODEL…")
    show_log()
    found, upload = named_models(models or []), parse_size(max_upload)
    if data is not None and not data.is_dir():
        raise AsrError(f"--data {data}: is no folder; make it, or name one that is there")
    if hotwords and phrases:
        raise AsrError("--phrases and --hotwords exclude each other; leave one of them out")
    favoured, allowed = (tuple(read_lines(path)) if path else () for path in (hotwords, phrases))
    keys = read_keys(api_key_file) if api_key_file else ()
    origins = tuple(parse_origin(origin) for origin in cors or ())

    from asr.serving.engine.engine import Engine  # the web framework takes a second to load
    from asr.serving.engine.messages import Options
    from asr.serving.limits import Limits
    from asr.serving.server import Address, serve
    from asr.serving.service import Service

    limits = Limits(upload=upload, queue=queue, batch=batch, latency=latency, timeout=timeout, idle=idle)
    engine = Engine(found, workers=workers, limits=limits, defaults=Options(hotwords=favoured, phrases=allowed))
    address = Address(host, port, tls_cert, tls_key)
    service = Service(engine, limits, data, keys, origins, address.is_local)
    house = None
    if wyoming is not None:
        from asr.serving.live.wyoming import WyomingAddress, WyomingServer

        place = WyomingAddress.parse(wyoming)
        house = WyomingServer(service, place, tuple(language or ()))
        _warn_of_wyoming(Address(place.host).is_local, bool(language))
    elif language:
        raise AsrError("--language: goes with --wyoming; models have one language, requests need not name it")

    def listening(url: str) -> None:
        if url.startswith("tcp:"):
            tell(f"Home Assistant: {url}")
            return
        for info in service.engine.models.values():
            tell(f"{info.name}: {info.path}, {info.sample_rate} Hz, {info.described}")
        tell(f"listening on {url}")
        if not address.is_local:
            _warn(address.certificate is not None, bool(service.keys))

    try:
        serve(service, address, listening=listening, wyoming=house)
    except KeyboardInterrupt:  # the service has stopped as it should
        return


def named_models(paths: list[Path]) -> dict[str, Path]:
    """Return model files by the names that requests give them: the folder of a run, or the file without its suffix.

    A model of the Hugging Face hub has the name of its repository.

    Raises AsrError for two models of one name, and for a file that is no recogniser.
    """
    from asr.cli.options import model_file
    from asr.hub import address_of
    from asr.model_file import COMMANDS, MODEL_FILE, read_metadata, task_of

    named: dict[str, Path] = {}
    for path in paths:
        file = model_file(path)
        if address := address_of(file):
            name = address.repository.partition("/")[2]
        else:
            name = file.resolve().parent.name if file.name == MODEL_FILE else file.stem
        if (task := task_of(read_metadata(file))) != "recognition":
            raise AsrError(f"{file}: was trained for {task}; use it with `{COMMANDS[task]}`")
        if name in named:
            raise AsrError(f"{file}: has the name {name!r}, as {named[name]}; rename one of them")
        named[name] = file
    return named


def parse_size(text: str) -> int:
    """Read a size such as 500M. Raises AsrError."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([KMG]?)B?", text.strip(), re.IGNORECASE)
    size = round(float(match[1]) * _UNITS[match[2].upper()]) if match else 0
    if size < 1:
        raise AsrError(f"--max-upload {text}: must be a size in bytes, or with K, M, G: 500M")
    return size


def read_keys(path: Path) -> tuple[str, ...]:
    """Read a file of keys. Raises AsrError for a file without one, or with a key that is easily guessed."""
    keys = tuple(line.strip() for line in read_lines(path) if line.strip() and not line.startswith("#"))
    if not keys:
        raise AsrError(f"--api-key-file {path}: holds no key; write one a line: openssl rand -hex 16 > {path}")
    if any(len(key) < 16 or not key.isascii() for key in keys):
        raise AsrError(
            f"--api-key-file {path}: a key must have 16 characters or more, all ASCII; make one: openssl rand -hex 16"
        )
    return keys


def parse_origin(text: str) -> str:
    """Return an origin as browsers send it. Raises AsrError for anything else."""
    if not re.fullmatch(r"https?://[^/\s*?#@]+", origin := text.strip().rstrip("/").lower()):
        raise AsrError(
            f"--cors {text}: must be the address of one site without a path: https://HOST or https://HOST:PORT"
        )
    return origin


def _warn_of_wyoming(is_local: bool, has_language: bool) -> None:
    """Tell what it means that other computers speak Wyoming with the service, and that no language is stated."""
    if not is_local:
        tell("whoever reaches the address of --wyoming can use it: the protocol has no keys and no TLS")
    if not has_language:
        tell(
            "Home Assistant offers models for the languages that they state; name the one of your assistant: --language"
        )


def _warn(has_tls: bool, has_keys: bool) -> None:
    """Tell what it means that other computers reach the service."""
    if not has_tls:
        tell(
            "other computers reach this service without TLS: recordings travel in the clear, and browsers give the "
            "microphone only to https and localhost; add --tls-cert and --tls-key, or a proxy with TLS"
        )
    if not has_keys:
        tell("whoever reaches this address can use it; to ask for a key: --api-key-file FILE")
