"""Runs a kubeconfig's credential plugin (aws, gke-gcloud-auth-plugin, kubelogin …) under a time limit of our own.

The official client waits for a plugin for ever, runs it for each request when its tokens are short-lived, and sends
the request anonymously when it fails. Here it is one subprocess, killed with its children when the time is over.
Protocol: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

import asyncio
import contextlib
import os
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE
from datetime import datetime
from typing import Any

import msgspec

from summit_watcher.connection_errors import AuthError
from summit_watcher.kubeconfig import ClusterSection, ExecConfig, Kubeconfig

STDERR_SHOWN = 200
"""Characters of a plugin's complaint that go into our sentence: enough for a reason, not for a traceback."""


class ExecCredential(msgspec.Struct, rename="camel", frozen=True):
    """The `status` of what a plugin printed."""

    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None
    expiration_timestamp: datetime | None = None


class _Output(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    status: ExecCredential | None = None


async def run(plugin: ExecConfig, kubeconfig: Kubeconfig, timeout_seconds: float) -> ExecCredential:
    """Run the plugin and read its answer. Raises AuthError if it is missing, fails, hangs or prints something else."""
    name = f"credential plugin {plugin.command!r} of kubeconfig {kubeconfig.path}"
    code, stdout, stderr = await _run(name, plugin, kubeconfig, timeout_seconds)
    if code != 0:
        said = stderr.decode(errors="replace").strip()[-STDERR_SHOWN:]
        raise AuthError(f"{name} failed with exit code {code}: {said or 'it said nothing'}")
    return read_output(name, plugin.api_version, stdout)


def read_output(name: str, api_version: str, stdout: bytes) -> ExecCredential:
    """The credential in what a plugin printed. Raises AuthError; the sentence never quotes the output."""
    try:
        output = msgspec.json.decode(stdout, type=_Output)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise AuthError(f"{name} printed no ExecCredential ({len(stdout)} bytes)") from None
    if output.api_version != api_version:
        raise AuthError(f"{name} answers with {output.api_version}, the kubeconfig asks for {api_version}")
    credential = output.status
    if credential is None or not (credential.token or credential.client_certificate_data):
        raise AuthError(f"{name} gave neither a token nor a client certificate")
    if credential.client_certificate_data and not credential.client_key_data:
        raise AuthError(f"{name} gave a client certificate without its key")
    return credential


async def _run(
    name: str, plugin: ExecConfig, kubeconfig: Kubeconfig, timeout_seconds: float
) -> tuple[int | None, bytes, bytes]:
    try:
        process = await asyncio.create_subprocess_exec(
            _command(plugin, kubeconfig),
            *(plugin.args or ()),
            stdin=DEVNULL,  # a plugin that asks for a password must not wait for our terminal
            stdout=PIPE,
            stderr=PIPE,
            env=_environment(plugin, kubeconfig.cluster),
            start_new_session=True,  # so that its children can be ended with it
        )
    except OSError as error:
        hint = f"; {plugin.install_hint.strip()}" if plugin.install_hint else ""
        raise AuthError(f"{name} cannot be run: {error.strerror}{hint}") from error
    try:
        async with asyncio.timeout(timeout_seconds):
            stdout, stderr = await process.communicate()
    except TimeoutError:
        raise AuthError(f"{name} gave no answer within {timeout_seconds:g} s and was ended") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return process.returncode, stdout, stderr


def _command(plugin: ExecConfig, kubeconfig: Kubeconfig) -> str:
    """A command with a slash is relative to the kubeconfig, one without is looked up in PATH, as kubectl does."""
    if os.sep in plugin.command:
        return str(kubeconfig.resolve(plugin.command).absolute())
    return shutil.which(plugin.command) or plugin.command


def _environment(plugin: ExecConfig, cluster: ClusterSection) -> dict[str, str]:
    spec: dict[str, Any] = {"interactive": False}
    if plugin.provide_cluster_info:
        spec["cluster"] = _cluster_info(cluster)
    info = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec}
    own = {variable.name: variable.value for variable in plugin.env or ()}
    return os.environ | own | {"KUBERNETES_EXEC_INFO": msgspec.json.encode(info).decode()}


def _cluster_info(cluster: ClusterSection) -> dict[str, Any]:
    info = msgspec.to_builtins(cluster)
    for extension in info.pop("extensions", None) or ():
        if extension.get("name") == "client.authentication.k8s.io/exec":
            info["config"] = extension.get("extension")
    return {key: value for key, value in info.items() if value}
