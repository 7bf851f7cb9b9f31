"""Errors as `Status` objects, with the texts of kube-apiserver (apimachinery, pkg/api/errors/errors.go)."""

from collections.abc import Sequence
from http import HTTPStatus

from summit_simulator.objects.manifest import Manifest
from summit_simulator.objects.resources import Resource

# Kubernetes' reason for each HTTP code that has one. The reason of a 410 is Expired, not Gone.
REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Expired",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class StatusError(Exception):
    """The API answers with a Status object of this code."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        reason: str | None = None,
        details: Manifest | None = None,
        retry_after: int | None = None,
        continue_token: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        # "" is a reason as well: the denials of webhooks have none
        self.reason = REASONS.get(code, HTTPStatus(code).phrase.replace(" ", "")) if reason is None else reason
        self.details = details
        self.retry_after = retry_after
        self.continue_token = continue_token

    def body(self) -> Manifest:
        """The Status object, members in the order the real server writes them."""
        meta = {"continue": self.continue_token} if self.continue_token else {}
        status: Manifest = {"kind": "Status", "apiVersion": "v1", "metadata": meta, "status": "Failure"}
        status |= {"message": str(self)} | ({"reason": self.reason} if self.reason else {})
        details = dict(self.details or {})
        if self.retry_after is not None:
            details["retryAfterSeconds"] = self.retry_after
        if details:
            status["details"] = details
        return status | {"code": self.code}


def _about(resource: Resource, name: str = "") -> Manifest:
    about = {"name": name, "group": resource.group, "kind": resource.plural}
    return {field: text for field, text in about.items() if text}


def not_found(resource: Resource, name: str) -> StatusError:
    """404: no object of that name."""
    return StatusError(404, f'{resource.qualified} "{name}" not found', details=_about(resource, name))


def already_exists(resource: Resource, name: str) -> StatusError:
    """409 of a create."""
    message = f'{resource.qualified} "{name}" already exists'
    return StatusError(409, message, reason="AlreadyExists", details=_about(resource, name))


def modified(resource: Resource, name: str) -> StatusError:
    """409 of a write that names an older resourceVersion."""
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(resource, name, why)


def conflict(resource: Resource, name: str, why: str) -> StatusError:
    """409 with the prefix of NewConflict."""
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return StatusError(409, message, details=_about(resource, name))


def conflict_of_kind(resource: Resource, name: str, why: str) -> StatusError:
    """409 of a DELETE, which names the kind instead of the plural."""
    subject = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details = {"name": name, "group": resource.group, "kind": resource.kind}
    return StatusError(409, f'Operation cannot be fulfilled on {subject} "{name}": {why}', details=details)


def internal(why: str) -> StatusError:
    """500 with the prefix of NewInternalError."""
    return StatusError(500, f"Internal error occurred: {why}", details={"causes": [{"message": why}]})


def forbidden(user: str, *, verb: str, resource: str, group: str, namespace: str, name: str) -> StatusError:
    """403 of the RBAC authorizer."""
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    plural = resource.partition("/")[0]
    subject = f"{plural}.{group}" if group else plural
    subject += f' "{name}"' if name else ""
    message = (
        f'{subject} is forbidden: User "{user}" cannot {verb} resource "{resource}" in API group "{group}" {where}'
    )
    details = {field: text for field, text in (("name", name), ("group", group), ("kind", plural)) if text}
    return StatusError(403, message, details=details)


def forbidden_path(user: str, verb: str, path: str) -> StatusError:
    """403 for a path that is no resource."""
    return StatusError(403, f'forbidden: User "{user}" cannot {verb} path "{path}"', details={})


def unauthorized() -> StatusError:
    """401: a credential was given and is not known."""
    return StatusError(401, "Unauthorized")


def expired_continue(inconsistent_token: str) -> StatusError:
    """410 for a continue token whose snapshot is gone, with the inconsistent token that no client should use."""
    message = (
        "The provided continue parameter is too old to display a consistent list result. You can start a new "
        "list without the continue parameter, or use the continue token in this response to retrieve the "
        "remainder of the results. Continuing with the provided token results in an inconsistent list - objects "
        "that were created, modified, or deleted between the time the first chunk was returned and now may show "
        "up in the list."
    )
    return StatusError(410, message, continue_token=inconsistent_token)


def too_large(revision: int, current: int) -> StatusError:
    """504 of a list at a resourceVersion that does not exist yet."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    message = f"Timeout: Too large resource version: {revision}, current: {current}"
    return StatusError(504, message, details={"causes": [cause]}, retry_after=1)


def invalid(kind: str, group: str, name: str, causes: Sequence[tuple[str, str, str]]) -> StatusError:
    """422; each cause is (field, reason, message)."""
    listed = [{"reason": why, "message": message, "field": path} for path, why, message in causes]
    errors = [f"{path}: {message}" for path, _, message in causes]
    text = errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
    subject = f"{kind}.{group}" if group else kind
    details: Manifest = {"name": name, "group": group, "kind": kind, "causes": listed}
    details = {field: value for field, value in details.items() if value}
    return StatusError(422, f'{subject} "{name}" is invalid: {text}', reason="Invalid", details=details)


def denied(webhook: str, why: str, *, code: int = 400) -> StatusError:
    """The refusal of an admission webhook that gives nothing but a text: it has no reason (apiserver, ToStatusErr)."""
    return StatusError(code, f'admission webhook "{webhook}" denied the request: {why}', reason="")


def denied_by_causes(webhook: str, causes: Sequence[tuple[str, str, str]]) -> StatusError:
    """The refusal of an admission webhook that names fields: 422; each cause is (field, reason, message)."""
    listed = [{"reason": why, "message": message, "field": path} for path, why, message in causes]
    text = f'admission webhook "{webhook}" denied the request: {", ".join(message for _, _, message in causes)}'
    return StatusError(422, text, reason="Invalid", details={"causes": listed})


def webhook_unreachable(webhook: str) -> StatusError:
    """500 of a write whose admission webhook does not answer."""
    call = f'Post "https://virt-api.kubevirt.svc:443/{webhook.partition(".")[0]}?timeout=10s"'
    why = f'failed calling webhook "{webhook}": failed to call webhook: {call}: '
    return internal(why + "dial tcp 10.96.113.7:443: connect: connection refused")
