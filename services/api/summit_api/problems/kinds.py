"""All kinds of problems: what the documents say of them, and where a problem's `type` leads to."""

from enum import Enum


class Kind(Enum):
    """Status, title, and what it means."""

    BAD_REQUEST = 400, "Bad Request", "The request is not valid HTTP."
    INVALID_VALUE = 400, "Invalid request", "A value is not possible; `errors` names it."
    INVALID_PAYLOAD = 400, "Invalid payload", "The body is not valid; `errors` names the members that are wrong."
    CROSS_ORIGIN = (
        400,
        "Cross-origin request refused",
        "A web page may not send this request; `API_ORIGINS` lists the pages that may.",
    )
    UNAUTHORIZED = 401, "Unauthorized", "The request needs a token, or its token is not valid."
    FORBIDDEN = 403, "Forbidden", "The role of the token does not allow this, or none of its groups has a role."
    NOT_FOUND = 404, "Not Found", "There is no such path; /openapi.json lists the paths."
    DATACENTER_NOT_FOUND = 404, "Datacenter not found", "There is no such datacenter, or you may not see it."
    VM_NOT_FOUND = 404, "VM not found", "There is no such VM any more, or you may not see it."
    MIGRATION_NOT_FOUND = 404, "Migration not found", "There is no such migration, or you may not see it."
    OPERATION_NOT_FOUND = 404, "Operation not found", "There is no such operation, or you may not see it."
    CLUSTER_NOT_FOUND = 404, "Cluster not found", "There is no such cluster, or you may not see it."
    METHOD_NOT_ALLOWED = 405, "Method Not Allowed", "The path does not answer this method; `Allow` lists its methods."
    REQUEST_TIMEOUT = 408, "Request Timeout", "The request did not arrive completely in time."
    REVISION_NOT_APPLIED = (
        409,
        "Revision not applied",
        "The tables did not reach the wanted revision in time; ask again, or without `revision`.",
    )
    CHANGED_MEANWHILE = (
        409,
        "Changed meanwhile",
        "It has changed since it was read, and nothing was done; read it and try again.",
    )
    ID_IN_USE = 409, "Id in use", "Another VM has this id; choose another one."
    AMBIGUOUS_ID = 409, "Ambiguous id", "Several clusters show this id; name one of them with `?cluster=`."
    MANAGED_VM = 409, "Managed VM", "The VM belongs to its cluster; change it there."
    OPERATION_REFUSED = (
        409,
        "Operation refused",
        "The VM, as it is, or its cluster does not allow it, and nothing was stored; `reason` says why, for machines.",
    )
    OPERATION_ENDED = 409, "Operation ended", "The operation has ended, so it cannot be changed."
    OPERATION_ACCEPTED = (
        409,
        "Operation accepted",
        "The cluster has accepted the request, which cannot be taken back; the operation goes on to its outcome.",
    )
    KEY_REUSED = (
        409,
        "Idempotency-Key reused",
        "The same caller has used this Idempotency-Key for another request, which is `operation`.",
    )
    LIST_CHANGED = (
        409,
        "List changed",
        "The VMs are not those that `confirm` stands for, and nothing was stored; the members are those of now.",
    )
    HISTORY_NOT_KEPT = 410, "History not kept", "History does not reach back to this time; ask for a later time."
    PRECONDITION = (
        412,
        "Precondition not checked",
        "The edit depends on a tag or a time, which the API cannot compare; nothing was done.",
    )
    CONTENT_TOO_LARGE = 413, "Content Too Large", "The body is larger than the limit."
    URI_TOO_LONG = 414, "URI Too Long", "The address is longer than the limit."
    MISDIRECTED = (
        421,
        "Misdirected Request",
        "The request has no token, and its `Host` may be anybody's name; `API_ORIGINS` lists the names of the API.",
    )
    INVALID_PARAMETER = (
        422,
        "Invalid request",
        "A parameter is wrong; `errors` names each one and says what is allowed.",
    )
    TOO_MANY_VMS = 422, "Too many VMs", "The filters select more VMs than one operation may have; narrow them."
    PRECONDITIONS = (
        422,
        "Preconditions not met",
        "A watched VM cannot go to another datacenter; `preconditions` lists what is met, unmet and unknown.",
    )
    TOO_MANY_REQUESTS = (
        429,
        "Too many requests",
        "The client sends requests too fast, or has too many requests or feeds open.",
    )
    HEADERS_TOO_LARGE = 431, "Request Header Fields Too Large", "Address and headers are larger than the limit."
    INTERNAL = 500, "Internal error", "The API failed at this request; its log has the traceback."
    NOT_IMPLEMENTED = 501, "Not implemented", "This version cannot do that, and has changed nothing."
    BUSY = 503, "Busy", "The API has as many requests under way as it can have; try again shortly."
    STOPPING = 503, "Stopping", "The API ended while it worked at the request; ask again."
    TIMEOUT = 503, "Timeout", "The answer did not begin in time; ask for less, or try again."
    QUERY_TOO_LONG = 503, "Query too long", "The tables did not answer in time; ask for less."
    DATABASE_UNAVAILABLE = 503, "Database unavailable", "The API cannot reach Postgres; try again shortly."
    SCHEMA_NOT_READY = (
        503,
        "Schema not ready",
        "The projector has not migrated the tables to the schema that this API reads.",
    )
    SCHEMA_NEWER = (
        503,
        "Schema newer",
        "A newer version has made the tables, and this one does not keep them up to date.",
    )
    LOG_UNAVAILABLE = 503, "Log unavailable", "The API cannot write to NATS; try again shortly."
    CLUSTER_UNAVAILABLE = (
        503,
        "Cluster not watched",
        "No watcher has been in contact with the cluster for 90 s, so nobody could do it; nothing was stored.",
    )
    TABLES_BEHIND = 503, "Tables behind", "The tables do not show the newest operations yet; try again shortly."
    ISSUER_UNAVAILABLE = (
        503,
        "Identity provider unavailable",
        "The API cannot check the token, because its issuer does not answer; try again shortly.",
    )

    def __init__(self, status: int, title: str, meaning: str) -> None:
        self.status = status
        self.title = title
        self.meaning = meaning

    @property
    def anchor(self) -> str:
        """The part of a problem's `type` after `/docs#`."""
        return self.title.lower().replace(" ", "-")
