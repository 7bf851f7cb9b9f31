"""TLS for one server: whom to trust, and which certificate of ours to show. Like kubectl, not stricter."""

import ssl
import tempfile
import weakref
from pathlib import Path
from typing import Any

from summit_watcher.kube.errors import KubeconfigError


class ClientContext(ssl.SSLContext):
    """It also knows its last handshake, whose certificate `check` shows."""

    _newest: "weakref.ref[ssl.SSLObject] | None" = None

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        made = super().wrap_bio(*args, **kwargs)
        # The garbage collector does not see that OpenSSL's object refers to its context: both would stay for ever.
        self._newest = weakref.ref(made)
        return made

    def shown_certificate(self) -> bytes | None:
        """The DER of the certificate that the server has shown; None without a connection."""
        newest = self._newest() if self._newest else None
        try:
            return newest.getpeercert(binary_form=True) if newest else None
        except ValueError:  # the handshake is not done
            return None


def client_context(
    where: str,
    *,
    authority: bytes | None,
    certificate: bytes | None = None,
    key: bytes | None = None,
    insecure: bool = False,
) -> ClientContext:
    """A context for a client. `where` names the file for people. Blocks. Raises KubeconfigError.

    `authority` None: the authorities of the system.
    """
    context = ClientContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Python 3.13 rejects certificate authorities without key identifiers, as older EKS and microk8s have them, and
    # older ones reject an authority that is an intermediate or the server's own certificate. kubectl accepts both.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        if authority is not None:
            context.load_verify_locations(cadata=authority.decode("ascii", errors="ignore"))
        elif not insecure:
            context.load_default_certs()  # some 140 certificates, which takes 20 ms
        if certificate is not None and key is not None:
            _show(context, certificate, key, where)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise KubeconfigError(f"{where}: a certificate or key is not readable: {error}") from error
    return context


def _show(context: ssl.SSLContext, certificate: bytes, key: bytes, where: str) -> None:
    """Use a client certificate. OpenSSL reads it from files only; they leave the disk at once."""

    def password() -> str:
        # Without this, OpenSSL would ask for it on the terminal and wait.
        raise KubeconfigError(f"{where}: the client key is encrypted: decrypt it, for example with openssl pkey")

    with tempfile.TemporaryDirectory(prefix="summit-connect-") as directory:
        files = _written(Path(directory, "tls.crt"), certificate), _written(Path(directory, "tls.key"), key)
        context.load_cert_chain(*files, password=password)


def _written(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path
