"""One context of a kubeconfig: the few members that are used, and what the files that it names hold.

Members are read as client-go reads them: an empty text is no value, base64 may be cut into lines, and embedded data
wins over a file.
"""

import binascii
import os
import stat
from base64 import b64decode
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec

from summit_runtime.watched_files import read_limited
from summit_watcher.kube.errors import AuthError, KubeconfigError

ADDRESS_IDENTITY = "address-"
"""How an identity begins that is not a uid."""


class Section(msgspec.Struct, rename="kebab", frozen=True):
    pass


class ClusterSection(Section, frozen=True):
    server: str = ""
    tls_server_name: str | None = None
    insecure_skip_tls_verify: bool = False
    certificate_authority: str | None = None
    certificate_authority_data: str | None = None
    proxy_url: str | None = None
    disable_compression: bool = False
    extensions: list[dict[str, Any]] | None = None


class ExecVariable(msgspec.Struct, frozen=True):
    name: str
    value: str = ""


class ExecConfig(msgspec.Struct, rename="camel", frozen=True):
    """A credential plugin: a command that prints an ExecCredential."""

    command: str
    api_version: str
    args: list[str] | None = None
    env: list[ExecVariable] | None = None
    provide_cluster_info: bool = False
    interactive_mode: str | None = None
    install_hint: str | None = None


class UserSection(Section, frozen=True):
    token: str | None = None
    token_file: str | None = msgspec.field(default=None, name="tokenFile")
    client_certificate: str | None = None
    client_certificate_data: str | None = None
    client_key: str | None = None
    client_key_data: str | None = None
    username: str | None = None
    password: str | None = None
    auth_provider: dict[str, Any] | None = None
    exec: ExecConfig | None = None
    impersonate: str | None = msgspec.field(default=None, name="as")
    impersonate_uid: str | None = msgspec.field(default=None, name="as-uid")
    impersonate_groups: list[str] | None = msgspec.field(default=None, name="as-groups")
    impersonate_extra: dict[str, Any] | None = msgspec.field(default=None, name="as-user-extra")

    def __repr__(self) -> str:
        """Without the secrets."""
        return f"UserSection({', '.join(f for f in self.__struct_fields__ if getattr(self, f))})"


class Kubeconfig(msgspec.Struct, frozen=True):
    """One context of a kubeconfig file."""

    path: Path
    context: str
    cluster: ClusterSection
    user: UserSection

    @property
    def endpoint(self) -> str:
        """`host:port` of the API server, for people."""
        host, port = self.host_and_port
        return f"{host}:{port}"

    @property
    def host_and_port(self) -> tuple[str, int]:
        parts = self._server
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def url(self) -> str:
        """The address that the paths of requests are added to. client-go takes no query of it either."""
        parts = self._server
        return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"

    @property
    def _server(self) -> SplitResult:
        return urlsplit(self.cluster.server)

    @property
    def holds_secrets(self) -> bool:
        user = self.user
        return any((user.token, user.client_key_data, user.password, user.auth_provider))

    def resolve(self, name: str) -> Path:
        """A path in the file is relative to the directory of the file."""
        try:
            return self.path.parent / Path(name).expanduser()
        except RuntimeError as error:
            raise KubeconfigError(f"kubeconfig {self.path}: {name}: {error}") from error

    def address_identity(self) -> str:
        """A digest of the server's address and authority: the identity of a cluster whose uid we may not read."""
        address = f"{self.cluster.server} {self.cluster.tls_server_name or ''} ".encode() + (self.authority() or b"")
        return ADDRESS_IDENTITY + blake2b(address, digest_size=8).hexdigest()

    def authority(self) -> bytes | None:
        """The PEM of the certificate authority; None: the system's authorities."""
        return self._pem(
            "certificate-authority", self.cluster.certificate_authority_data, self.cluster.certificate_authority
        )

    def client_certificate(self) -> bytes | None:
        return self._pem("client-certificate", self.user.client_certificate_data, self.user.client_certificate)

    def client_key(self) -> bytes | None:
        return self._pem("client-key", self.user.client_key_data, self.user.client_key)

    def token(self) -> str | None:
        """The bearer token. That of a tokenFile wins; where it cannot be read, the token beside it serves."""
        written = (self.user.token or "").strip() or None
        if not self.user.token_file:
            return written
        try:
            return self._token_of(self.user.token_file)
        except (KubeconfigError, AuthError):
            if written is None:
                raise
            return written

    def _token_of(self, file: str) -> str:
        # Go's clients strip it too: a newline at the end would be an illegal header.
        content = self.read("tokenFile", file).decode(errors="replace").strip()
        if not content:
            raise AuthError(f"kubeconfig {self.path}: tokenFile {self.resolve(file)} is empty")
        return content

    @property
    def named_files(self) -> tuple[Path, ...]:
        """Every file that the connection is made from, besides this one."""
        user = self.user
        names = (self.cluster.certificate_authority, user.client_certificate, user.client_key, user.token_file)
        return tuple(self.resolve(name) for name in names if name)

    @property
    def warnings(self) -> Sequence[str]:
        """Risks to the credentials or the requests, and how to end them. Blocks."""
        risks = [_readable_by_others(self.path)] if self.holds_secrets else []
        if self.cluster.insecure_skip_tls_verify:
            risks.append(
                f"kubeconfig {self.path} has insecure-skip-tls-verify: anyone on the way can read and change requests; "
                "give it the certificate-authority"
            )
        return [risk for risk in risks if risk]

    def _pem(self, what: str, data: str | None, file: str | None) -> bytes | None:
        if data:
            try:
                return b64decode("".join(data.split()), validate=True)
            except (binascii.Error, ValueError):
                raise KubeconfigError(f"kubeconfig {self.path}: {what}-data is not base64") from None
        return self.read(what, file) if file else None

    def read(self, what: str, name: str) -> bytes:
        """The content of a file that the kubeconfig names as `what`. Raises KubeconfigError."""
        path = self.resolve(name)
        try:
            return read_limited(path)
        except (OSError, ValueError) as error:  # ValueError: a null byte in the name
            raise KubeconfigError(f"kubeconfig {self.path}: {what} {path}: {_reason(error)}") from error


def _readable_by_others(path: Path) -> str | None:
    """A warning if other users of this machine may read the file."""
    try:
        found = path.stat()
    except OSError:
        return None
    if (whose := readers(found.st_mode, is_ours=found.st_uid == os.geteuid())) is None:
        return None
    return f"kubeconfig {path} is readable by {whose}: run chmod 600 {path}"


def readers(mode: int, *, is_ours: bool) -> str | None:
    """Who else may read a file.

    The group of a file that is not ours is how we read it: so Kubernetes mounts a Secret, and we could not change it.
    """
    if mode & stat.S_IROTH:
        return "everyone on this machine"
    return "its group" if mode & stat.S_IRGRP and is_ours else None


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)
