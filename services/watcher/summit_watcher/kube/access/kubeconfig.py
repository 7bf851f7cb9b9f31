"""A kubeconfig, read and checked before anything uses it. Each defect is one sentence.

The official loader answers the same defects with five exception types, and passes over in silence what changes who we
are: a user that does not exist, `as:`, a failing plugin. So the file is read here into the few members we stand for,
and the loader is given only those (see `transport`).
"""

import binascii
from base64 import b64decode
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

import msgspec
import yaml

from summit_watcher.kube.errors import AuthError, KubeconfigError

ADDRESS_IDENTITY = "address-"
"""Begins an identity that is no uid."""


class _Section(msgspec.Struct, rename="kebab", frozen=True):
    pass


class ClusterSection(_Section, frozen=True):
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
    value: str


class ExecConfig(msgspec.Struct, rename="camel", frozen=True):
    """A credential plugin: a command that prints an ExecCredential."""

    command: str
    api_version: str
    args: list[str] | None = None
    env: list[ExecVariable] | None = None
    provide_cluster_info: bool = False
    interactive_mode: str | None = None
    install_hint: str | None = None


class UserSection(_Section, frozen=True):
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


class _ContextSection(_Section, frozen=True):
    cluster: str = ""
    user: str = ""


class _Named(msgspec.Struct, frozen=True):
    name: str


class _NamedCluster(_Named, frozen=True):
    cluster: ClusterSection


class _NamedContext(_Named, frozen=True):
    context: _ContextSection


class _NamedUser(_Named, frozen=True):
    user: UserSection | None = None


class _File(_Section, frozen=True):
    current_context: str | None = None
    clusters: list[_NamedCluster] | None = None
    contexts: list[_NamedContext] | None = None
    users: list[_NamedUser] | None = None


# msgspec learns a type at its first use. Two threads, one per cluster, that teach it this one at the same moment end
# the interpreter with SIGSEGV (0.22.0; one start in fifteen on a busy machine), so it learns it here.
msgspec.convert({}, _File)


NamedT = TypeVar("NamedT", bound=_Named)


class Kubeconfig(msgspec.Struct, frozen=True):
    """One context of a kubeconfig file."""

    path: Path
    context: str
    cluster: ClusterSection
    user: UserSection

    @property
    def endpoint(self) -> str:
        """`host:port` of the API server, for people."""
        parts = urlsplit(self.cluster.server)
        return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"

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
        """What tells one API server from another when it cannot be asked: its address and its authority."""
        address = f"{self.cluster.server} {self.cluster.tls_server_name or ''} ".encode() + (self.authority() or b"")
        return ADDRESS_IDENTITY + blake2b(address, digest_size=8).hexdigest()

    def authority(self) -> bytes | None:
        """The PEM of the certificate authority; None where the system's authorities are meant."""
        return self._pem(
            "certificate-authority", self.cluster.certificate_authority_data, self.cluster.certificate_authority
        )

    def client_certificate(self) -> bytes | None:
        return self._pem("client-certificate", self.user.client_certificate_data, self.user.client_certificate)

    def client_key(self) -> bytes | None:
        return self._pem("client-key", self.user.client_key_data, self.user.client_key)

    def token(self) -> str | None:
        """The bearer token; the file's content before the one written in the kubeconfig, as client-go."""
        if self.user.token_file is None:
            return (self.user.token or "").strip() or None
        # Go's clients trim it too: a newline at the end would be an illegal header.
        content = self._read("tokenFile", self.user.token_file).decode(errors="replace").strip()
        if not content:
            raise AuthError(f"kubeconfig {self.path}: tokenFile {self.resolve(self.user.token_file)} is empty")
        return content

    @property
    def named_files(self) -> tuple[Path, ...]:
        """Every file that the connection is made from besides this one."""
        user = self.user
        names = (self.cluster.certificate_authority, user.client_certificate, user.client_key, user.token_file)
        return tuple(self.resolve(name) for name in names if name)

    def _pem(self, what: str, data: str | None, file: str | None) -> bytes | None:
        if data:
            try:
                return b64decode(data, validate=True)
            except (binascii.Error, ValueError):
                raise KubeconfigError(f"kubeconfig {self.path}: {what}-data is not base64") from None
        return self._read(what, file) if file else None

    def _read(self, what: str, name: str) -> bytes:
        path = self.resolve(name)
        try:
            return path.read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a null byte in the name
            raise KubeconfigError(f"kubeconfig {self.path}: {what} {path}: {_reason(error)}") from error


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)


def read(path: Path, context: str | None = None) -> Kubeconfig:
    """Read one context of a file. Raises KubeconfigError with one sentence for whatever is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise KubeconfigError(f"kubeconfig not found at {path}") from None
    except IsADirectoryError:
        raise KubeconfigError(f"kubeconfig {path} is a directory: name the file in it") from None
    except UnicodeDecodeError:
        raise KubeconfigError(f"kubeconfig {path} is not a text file") from None
    except OSError as error:
        raise KubeconfigError(f"kubeconfig {path} cannot be read: {error.strerror}") from error
    return parse(text, path, context)


def parse(text: str, path: Path, context: str | None = None) -> Kubeconfig:
    """The chosen context, or the current one, of a kubeconfig's text. Raises KubeconfigError."""
    file = _file(text, path)
    name = context or file.current_context
    if not name:
        known = ", ".join(c.name for c in file.contexts or ()) or "none"
        raise KubeconfigError(f"kubeconfig {path} has no current-context: name a context (it has: {known})")
    chosen = _find(file.contexts, name, "context", path).context
    cluster = _find(file.clusters, chosen.cluster, "cluster", path).cluster
    # A context without a user is anonymous on purpose; one that names a user who is not there is a mistake.
    user = _find(file.users, chosen.user, "user", path).user if chosen.user else None
    return _checked(Kubeconfig(path, name, cluster, user or UserSection()))


def _file(text: str, path: Path) -> _File:
    try:
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise KubeconfigError(f"kubeconfig {path}{line} is not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise KubeconfigError(f"kubeconfig {path} is not YAML: {error}") from error
    if document is None:
        raise KubeconfigError(f"kubeconfig {path} is empty")
    try:
        return msgspec.convert(document, _File)
    except msgspec.ValidationError as error:
        raise KubeconfigError(f"kubeconfig {path} is not a kubeconfig: {error}") from None


def _find(entries: Iterable[NamedT] | None, name: str, what: str, path: Path) -> NamedT:
    found = [entry for entry in entries or () if entry.name == name]
    if not found:
        known = ", ".join(entry.name for entry in entries or ()) or "none"
        raise KubeconfigError(f"kubeconfig {path} has no {what} {name!r} (it has: {known})")
    if len(found) > 1:
        raise KubeconfigError(f"kubeconfig {path} has {len(found)} {what}s named {name!r}")
    return found[0]


def _address(what: str, url: str, path: Path) -> SplitResult:
    """The parts of an address. Raises KubeconfigError; the sentence does not quote it, as some hold a password."""
    try:
        parts = urlsplit(url)
        if (parts.port is None or parts.port) and _is_host(parts.hostname or ""):
            return parts
    except ValueError:
        pass
    raise KubeconfigError(f"kubeconfig {path}: the host or the port in {what} is none that can be connected to")


_PAIRS = (
    (("username",), ("password",)),
    (("client_certificate", "client_certificate_data"), ("client_key", "client_key_data")),
)
"""With one of them alone the official client asks as nobody."""


def _words(fields: Iterable[str]) -> str:
    return "/".join(field.replace("_", "-") for field in fields)


def _is_host(name: str) -> bool:
    """Whether it can be looked up and shown to a TLS server at all."""
    try:
        name.encode("idna")
    except UnicodeError:
        return False
    return "\0" not in name


def _checked(kubeconfig: Kubeconfig) -> Kubeconfig:
    """Refuse what we would otherwise do differently from what the file says."""
    _check_cluster(kubeconfig.cluster, kubeconfig.path)
    _check_user(kubeconfig.user, kubeconfig.path)
    return kubeconfig


def _check_cluster(cluster: ClusterSection, path: Path) -> None:
    server = _address("server", cluster.server, path)
    if server.scheme not in ("http", "https") or not server.hostname:
        raise KubeconfigError(f"kubeconfig {path}: server {cluster.server!r} is not an http or https address")
    if server.username is not None:
        raise KubeconfigError(f"kubeconfig {path}: server has a user in its address: put it into the user section")
    proxy = _address("proxy-url", cluster.proxy_url or cluster.server, path)
    if proxy.scheme not in ("http", "https"):
        scheme = proxy.scheme or "no"
        raise KubeconfigError(f"kubeconfig {path}: proxy-url with {scheme} scheme is not supported: use http or https")
    if not proxy.hostname:
        raise KubeconfigError(f"kubeconfig {path}: proxy-url has no host")
    if cluster.tls_server_name and not _is_host(cluster.tls_server_name):
        raise KubeconfigError(f"kubeconfig {path}: tls-server-name {cluster.tls_server_name!r} is no host name")


def _check_user(user: UserSection, path: Path) -> None:
    if any((user.impersonate, user.impersonate_uid, user.impersonate_groups, user.impersonate_extra)):
        raise KubeconfigError(
            f"kubeconfig {path}: impersonation ('as') is not supported, and ignoring it would use wider rights than "
            "the file says: give us a user of its own"
        )
    for one, other in _PAIRS:
        if any(getattr(user, field) for field in one) != any(getattr(user, field) for field in other):
            raise KubeconfigError(
                f"kubeconfig {path}: its user section has one of {_words(one)} and {_words(other)}, and needs both"
            )
    if user.auth_provider == {}:
        raise KubeconfigError(f"kubeconfig {path}: its auth-provider is empty")
    if user.auth_provider and not isinstance(user.auth_provider.get("config") or {}, dict):
        raise KubeconfigError(f"kubeconfig {path}: the config of its auth-provider is no map")
    if user.exec and user.exec.interactive_mode == "Always":
        raise KubeconfigError(
            f"kubeconfig {path}: plugin {user.exec.command!r} has interactiveMode Always and nobody is there to answer"
        )
