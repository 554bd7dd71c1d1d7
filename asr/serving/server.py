"""The web server: sockets, signals, TLS."""

import asyncio
import ipaddress
import os
import socket
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from asr.errors import AsrError
from asr.serving.app import make_app
from asr.serving.connections import protocol
from asr.serving.live.sockets import FRAMES
from asr.serving.service import Service

if TYPE_CHECKING:
    from asr.serving.live.wyoming import WyomingServer

_CLOSING = 10  # seconds beside the time limit of a transcription for the rest of a stop
_FILES = 65_536  # sockets and files that the process may have open, where the system allows it


@dataclass(frozen=True, slots=True)
class Address:
    """Where a service listens. Port 0 is any free port."""

    host: str = "127.0.0.1"
    port: int = 8000
    certificate: Path | None = None  # of TLS, with its key
    key: Path | None = None

    @property
    def is_local(self) -> bool:
        """Return True if only programs of this machine reach the address."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def url(self, port: int) -> str:
        """Return the address as a browser takes it."""
        host = "localhost" if self.is_local else self.host
        host = f"[{host}]" if ":" in host else host
        return f"{'https' if self.certificate else 'http'}://{host}:{port}"


def serve(
    service: Service,
    address: Address,
    *,
    listening: Callable[[str], None],
    wyoming: "WyomingServer | None" = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; what was taken before is finished. `listening` is told each address.

    `wyoming` speaks its protocol beside the web server.

    Raises AsrError for an address that is taken or not of this machine, for TLS files that do not fit, and the errors
    of models.
    """
    asyncio.run(_serve(service, address, listening, wyoming))


async def _serve(
    service: Service, address: Address, listening: Callable[[str], None], wyoming: "WyomingServer | None"
) -> None:
    with _bound(address) as bound:
        _require_tls(address)
        _raise_limit()
        await service.engine.start()
        server = _Server(
            uvicorn.Config(
                make_app(service),
                http=protocol(service.limits.idle),
                log_config=None,
                access_log=False,
                server_header=False,
                ws_max_size=FRAMES * service.limits.block,
                ws_ping_interval=None,  # an answer lies behind sound that waits; silent sockets are closed in any case
                timeout_graceful_shutdown=round(service.limits.timeout) + _CLOSING,
                ssl_certfile=address.certificate,
                ssl_keyfile=address.key,
            )
        )
        server.wyoming = wyoming
        server.told = lambda: listening(address.url(bound.getsockname()[1]))
        try:
            if wyoming is not None:
                listening(await wyoming.start())
            await server.serve([bound])
        finally:
            if wyoming is not None:
                await wyoming.stop()
            await service.engine.stop()


class _Server(uvicorn.Server):
    """A server that tells when it listens."""

    told: Callable[[], None]
    wyoming: "WyomingServer | None" = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.told()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.wyoming is not None:  # before the engine stops, and before uvicorn raises the signal again
            await self.wyoming.stop()
        await super().shutdown(sockets)


def _bound(address: Address) -> socket.socket:
    """Return a socket that is bound to the address. Raises AsrError."""
    try:
        family, *_, place = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AsrError(f"--host {address.host}: {reason}; name an address of this machine, or 0.0.0.0") from None
    bound = socket.socket(family, socket.SOCK_STREAM)
    if os.name == "posix":  # on Windows this would let two services share a port
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(place)
    except OSError as error:
        bound.close()
        raise AsrError(
            f"{address.host}:{address.port}: {error.strerror}; choose another --port (0 takes a free one) or --host"
        ) from None
    return bound


def _require_tls(address: Address) -> None:
    if (address.certificate is None) != (address.key is None):
        raise AsrError("--tls-cert and --tls-key go together: the certificate and its private key, as PEM files")
    if address.certificate is None or address.key is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(address.certificate, address.key)
    except (OSError, ssl.SSLError) as error:
        raise AsrError(
            f"--tls-cert {address.certificate}, --tls-key {address.key}: {error.strerror or error}; give PEM files "
            "of a certificate and its private key"
        ) from None


def _raise_limit() -> None:
    """Allow as many open sockets as the system lets this process have."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
