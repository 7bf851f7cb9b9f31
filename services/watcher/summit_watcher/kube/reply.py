"""An open answer of the API server, and a sentence for each way in which the network ends it.

Only the reading itself translates errors: what a consumer raises while an answer is open passes through.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import aiohttp

from summit_watcher.kube.bounds import ANSWER_BYTES, ERROR_BYTES, ERROR_SECONDS, MIB, one_line
from summit_watcher.kube.errors import (
    CertificateError,
    IdleError,
    LostError,
    NotConnectedError,
    OversizedError,
    TlsError,
    UnreachableError,
    WatcherError,
)


class Reply:
    """A 2xx answer whose body has not been read yet."""

    def __init__(self, response: aiohttp.ClientResponse, endpoint: str) -> None:
        self._response = response
        self._endpoint = endpoint

    def check_content(self) -> None:
        """Raise UnreachableError unless it is plain JSON: captive portals and proxies answer 200 with a web page.

        Compressed answers were not asked for, and one MB of them may be a GB of memory.
        """
        content_type, encoding = self._response.content_type, self._response.headers.get("Content-Encoding", "identity")
        if content_type != "application/json":
            raise UnreachableError(
                f"{self._endpoint} answers {one_line(content_type)}, not JSON: is a proxy or another server there?"
            )
        if encoding.lower() != "identity":
            raise UnreachableError(
                f"{self._endpoint} answers with Content-Encoding {one_line(encoding)}, though identity was asked for: "
                "is a proxy there?"
            )

    async def body(self, most_bytes: int = ANSWER_BYTES) -> bytes:
        """The whole body. Raises OversizedError if it is larger."""
        parts, length = list[bytes](), 0
        async for chunk in self.chunks():
            length += len(chunk)
            if length > most_bytes:
                raise OversizedError(f"an answer of {self._endpoint} has more than {most_bytes // MIB} MiB")
            parts.append(chunk)
        return b"".join(parts)

    async def beginning(self) -> bytes:
        """The first part of the body of an error. It has the sentence, and the body of a watch may never end."""
        body = bytearray()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ERROR_SECONDS):
                async for chunk in self.chunks():
                    body += chunk
                    if len(body) >= ERROR_BYTES:
                        break
        return bytes(body[:ERROR_BYTES])

    async def chunks(self) -> AsyncIterator[bytes]:
        """Pieces of the body as they arrive, until the answer ends."""
        content = self._response.content
        while True:
            with transport_errors(self._endpoint):
                chunk = await content.readany()
            if not chunk:
                return
            yield chunk


@contextmanager
def transport_errors(endpoint: str) -> Iterator[None]:
    """Raise errors of aiohttp and of the system as one of ours."""
    try:
        yield
    except (
        aiohttp.ClientError,
        OSError,
        TimeoutError,
        ValueError,
    ) as error:  # ValueError: no request can be made of it
        raise translated(error, endpoint) from error


def translated(error: Exception, endpoint: str) -> WatcherError:
    """Our error, with a sentence, for one of aiohttp or of the system."""
    match error:
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return _tls_error(error, endpoint)
        case aiohttp.ClientConnectorError() | aiohttp.ClientHttpProxyError() | aiohttp.ConnectionTimeoutError():
            return NotConnectedError(_connect_reason(error, endpoint))
        case aiohttp.SocketTimeoutError() | TimeoutError():
            return IdleError(f"{endpoint} stopped sending")
        case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError() | OSError():
            return LostError(f"the connection to {endpoint} broke off")
        case _:
            # Not with its text, which quotes what the server has sent.
            return UnreachableError(f"{endpoint} does not speak HTTP as expected ({type(error).__name__})")


def _connect_reason(error: aiohttp.ClientError, endpoint: str) -> str:
    match error:
        case aiohttp.ClientHttpProxyError():
            return f"the proxy to {endpoint} answered {error.status} {one_line(error.message)}"
        case aiohttp.ClientConnectorDNSError():
            return f"the host of {endpoint} cannot be resolved: {_system_reason(error)}"
        case aiohttp.ClientProxyConnectionError():
            return f"the proxy to {endpoint} cannot be reached: {_system_reason(error)}"
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            return f"connection refused by {endpoint}"
        case aiohttp.ClientConnectorError():
            return f"no connection to {endpoint}: {_system_reason(error)}"
        case _:
            return f"{endpoint} did not accept a connection in time"


def _system_reason(error: aiohttp.ClientConnectorError) -> str:
    return error.os_error.strerror or str(error.os_error)


_TLS_REASONS = {"WRONG_VERSION_NUMBER": "it does not speak TLS"}


def _tls_error(error: Exception, endpoint: str) -> TlsError:
    """OpenSSL's own reason, which distinguishes an expired certificate, an unknown authority and a wrong name."""
    cause = error
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
    elif isinstance(error, aiohttp.ClientSSLError):
        cause = error.os_error
    if isinstance(cause, ssl.SSLCertVerificationError):
        verdict = cause.verify_message.rstrip(".")
        return CertificateError(f"the certificate of {endpoint} was not accepted: {verdict}")
    reason = getattr(cause, "reason", None) or str(cause)
    return TlsError(f"no TLS with {endpoint}: {_TLS_REASONS.get(reason, reason)}")
