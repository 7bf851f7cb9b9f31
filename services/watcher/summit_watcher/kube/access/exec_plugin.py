"""Runs a kubeconfig's credential plugin (aws, gke-gcloud-auth-plugin, kubelogin …) under a time limit of our own.

The official client waits for a plugin for ever, runs it for each request when its tokens are short-lived, and sends
the request anonymously when it fails. Here it is one subprocess, which is killed with its children when its time is
over.
Protocol: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

import contextlib
import os
import re
import selectors
import shutil
import signal
import subprocess
import time
from base64 import b64encode
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from summit_runtime.own_thread import OwnThread
from summit_watcher.kube.access.kubeconfig import ExecConfig, Kubeconfig
from summit_watcher.kube.bounds import PLUGIN_BYTES, PLUGIN_STDERR_BYTES, PLUGIN_STDERR_SHOWN, one_line
from summit_watcher.kube.errors import UNREADABLE, AuthError

LOOK_SECONDS = 0.005
"""How often to look whether a plugin has ended that has closed its output: it does so moments later."""
THREAD_SECONDS = 5.0
"""How much longer than for the plugin we wait for its thread, in which earlier work may hang."""
OURS = re.compile(r"(API|WATCHER|PROJECTOR|NATS|DATABASE|POSTGRES|SUMMIT)_")
"""How the names of our own settings begin. A plugin gets none of them: some are secrets, and `summit-connect serve` has
those of all services in its environment. A plugin that needs such a name gets it by `env` in the kubeconfig."""
_SECRET = re.compile(
    r"(bearer\s+|(?:token|password|secret|key)[\"']?\s*[:=]\s*[\"']?)[^\s\"']{8,}"
    r"|[\w-]{16,}(?:\.[\w-]{16,}){2}"  # a JWT
    r"|[\w+=-]{40,}",
    re.IGNORECASE,
)


class ExecCredential(msgspec.Struct, rename="camel", frozen=True):
    """The `status` of what a plugin printed."""

    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None
    expiration_timestamp: datetime | None = None

    def __repr__(self) -> str:
        """Without the secrets."""
        return f"ExecCredential(expiration_timestamp={self.expiration_timestamp})"


class _Output(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    status: ExecCredential | None = None


async def run(plugin: ExecConfig, kubeconfig: Kubeconfig, timeout_seconds: float, thread: OwnThread) -> ExecCredential:
    """Run the plugin and read its answer. Raises AuthError if it is missing, fails, hangs or prints something else.

    It starts in a thread: starting a program blocks for as long as a slow disk takes to load it.
    """
    name = f"credential plugin {plugin.command!r} of kubeconfig {kubeconfig.path}"
    process = _Process(name)
    try:
        code, stdout, stderr = await thread.run(
            lambda: process.run(plugin, kubeconfig, timeout_seconds), timeout_seconds + THREAD_SECONDS
        )
    except TimeoutError:
        raise AuthError(f"{name} was not run within {timeout_seconds:g} s: an earlier one still hangs") from None
    finally:
        process.end()
    if code != 0:
        raise AuthError(f"{name} failed with exit code {code}: {without_secrets(stderr) or 'it printed no reason'}")
    return read_output(name, plugin.api_version, stdout)


def read_output(name: str, api_version: str, stdout: bytes) -> ExecCredential:
    """The credential that a plugin printed. Raises AuthError, whose sentence never quotes the output."""
    try:
        output = msgspec.json.decode(stdout, type=_Output)
    except UNREADABLE:
        raise AuthError(f"{name} printed no ExecCredential ({len(stdout)} bytes)") from None
    if output.api_version != api_version:
        raise AuthError(f"{name} answers with {one_line(output.api_version)}, the kubeconfig asks for {api_version}")
    credential = output.status
    if credential is None or not (credential.token or credential.client_certificate_data):
        raise AuthError(f"{name} gave neither a token nor a client certificate")
    if credential.client_certificate_data and not credential.client_key_data:
        raise AuthError(f"{name} gave a client certificate without its key")
    return credential


def without_secrets(stderr: bytes) -> str:
    """A plugin's stderr as far as it may be shown: some plugins quote the failed request, with its token."""
    shown = _SECRET.sub(r"\1…", stderr.decode(errors="replace").strip())[-PLUGIN_STDERR_SHOWN:]
    return one_line(shown, PLUGIN_STDERR_SHOWN)


class _Process:
    """One run of a plugin. `run` blocks; another thread may call `end` meanwhile."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False

    def run(self, plugin: ExecConfig, kubeconfig: Kubeconfig, timeout_seconds: float) -> tuple[int, bytes, bytes]:
        """Exit code, stdout and stderr. Raises AuthError. In any case the plugin and its children have ended."""
        give_up_at = time.monotonic() + timeout_seconds
        try:
            self._process = subprocess.Popen(  # noqa: S603  the operator's kubeconfig names it
                [_command(plugin, kubeconfig), *(plugin.args or ())],
                stdin=subprocess.DEVNULL,  # a plugin that asks for a password must not wait for our terminal
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(plugin, kubeconfig),
                start_new_session=True,  # so that its children can be ended with it
            )
        except (OSError, ValueError) as error:  # ValueError: a null byte in a name or an argument
            hint = f"; {plugin.install_hint.strip()}" if plugin.install_hint else ""
            raise AuthError(f"{self._name} cannot be run: {getattr(error, 'strerror', error)}{hint}") from error
        with self._process as process:
            try:
                stdout, stderr = self._read(process, 0.0 if self._ended else give_up_at)
                return self._code(process, give_up_at), stdout, stderr
            except TimeoutError:
                raise AuthError(f"{self._name} gave no answer within {timeout_seconds:g} s and was ended") from None
            finally:
                self.end()

    def end(self) -> None:
        """End the plugin and its children, now or as soon as it has started."""
        self._ended = True
        # A plugin that has been waited for is gone, and its number may be another's by now.
        if self._process is not None and self._process.returncode is None:
            _kill_session(self._process.pid)

    def _code(self, process: subprocess.Popen[bytes], give_up_at: float) -> int:
        """The exit code of a plugin, whose children end first: they may outlive it, with its secrets."""
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            if time.monotonic() > give_up_at:
                raise TimeoutError
            time.sleep(LOOK_SECONDS)
        _kill_session(process.pid)
        return process.wait()

    def _read(self, process: subprocess.Popen[bytes], give_up_at: float) -> tuple[bytes, bytes]:
        """Its stdout, and the last part of its stderr, when it has closed both."""
        printed = {process.stdout: bytearray(), process.stderr: bytearray()}
        with selectors.DefaultSelector() as selector:
            for pipe in printed:
                selector.register(pipe, selectors.EVENT_READ)  # type: ignore[arg-type]  # both are pipes
            while selector.get_map():
                if not (ready := selector.select(max(0.0, give_up_at - time.monotonic()))):
                    raise TimeoutError
                for key, _ in ready:
                    chunk = os.read(key.fd, PLUGIN_BYTES)
                    if not chunk:
                        selector.unregister(key.fileobj)
                    printed[key.fileobj] += chunk  # type: ignore[index]
                if len(printed[process.stdout]) > PLUGIN_BYTES:
                    raise AuthError(f"{self._name} printed more than {PLUGIN_BYTES} bytes and was ended")
                del printed[process.stderr][:-PLUGIN_STDERR_BYTES]
        return bytes(printed[process.stdout]), bytes(printed[process.stderr])


def _kill_session(leader: int) -> None:
    """End all processes of the session that a plugin leads. Its process group is not enough: shells make others."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
    for stat in Path("/proc").glob("[0-9]*/stat"):  # Linux only; elsewhere there is no such directory
        with contextlib.suppress(OSError, ValueError, IndexError):
            if int(stat.read_text().rpartition(") ")[2].split()[3]) == leader:
                os.kill(int(stat.parent.name), signal.SIGKILL)


def _command(plugin: ExecConfig, kubeconfig: Kubeconfig) -> str:
    """A command with a slash is relative to the kubeconfig, one without is looked up in PATH, as kubectl does."""
    if os.sep in plugin.command:
        return str(kubeconfig.resolve(plugin.command).absolute())
    return shutil.which(plugin.command) or plugin.command


def _environment(plugin: ExecConfig, kubeconfig: Kubeconfig) -> dict[str, str]:
    spec: dict[str, Any] = {"interactive": False}
    if plugin.provide_cluster_info:
        spec["cluster"] = _cluster_info(kubeconfig)
    info = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec}
    own = {variable.name: variable.value for variable in plugin.env or ()}
    inherited = {name: value for name, value in os.environ.items() if not OURS.match(name)}
    return inherited | own | {"KUBERNETES_EXEC_INFO": msgspec.json.encode(info).decode()}


def _cluster_info(kubeconfig: Kubeconfig) -> dict[str, Any]:
    """The cluster as a plugin gets it: with the content of a CA file, as a plugin cannot know where that is."""
    info: dict[str, Any] = msgspec.to_builtins(kubeconfig.cluster)
    info.pop("certificate-authority")
    authority = kubeconfig.authority()
    info["certificate-authority-data"] = b64encode(authority).decode() if authority else None
    for extension in info.pop("extensions") or ():
        if extension.get("name") == "client.authentication.k8s.io/exec":
            info["config"] = extension.get("extension")
    return {key: value for key, value in info.items() if value}
