"""All kinds of problems, by status and title: what the documents say of them, and where a problem's `type` leads to."""

from collections.abc import Mapping
from typing import Any

KINDS: Mapping[int, Mapping[str, str]] = {
    400: {
        "Bad Request": "what was sent is no HTTP request",
        "Invalid request": "a value is not possible; `errors` names it",
        "Invalid payload": "the body is not what is wanted; `errors` names its members",
        "Cross-origin request refused": "a web page asks what it may not send; `API_ORIGINS` lists pages that may",
    },
    401: {"Unauthorized": "a token is needed, or the one that was sent is not good"},
    403: {"Forbidden": "the role of the token is too small, or none of its groups has one"},
    404: {
        "Not Found": "there is no such path",
        "Datacenter not found": "there is no such datacenter, or it is not for your eyes",
        "VM not found": "there is no such VM any more, or it is not for your eyes",
        "Cluster not found": "there is no such cluster, or you may not see it",
        "Migration not found": "there is no such migration, or it is not for your eyes",
    },
    405: {"Method Not Allowed": "the path answers other methods; `Allow` names them"},
    408: {"Request Timeout": "the request did not come completely in time"},
    409: {
        "Revision not applied": "the revision that was waited for was not applied in time",
        "Changed meanwhile": "it is no longer what the edit was based on: read it again",
        "Id in use": "another VM has this id",
        "Managed VM": "the VM belongs to its cluster: change it there",
    },
    410: {"History not kept": "what was at that time is no longer known, or is from before the first event"},
    413: {"Content Too Large": "the body is larger than may be"},
    414: {"URI Too Long": "the address is longer than may be"},
    421: {
        "Misdirected Request": "without a token: the `Host` may be anybody's name; `API_ORIGINS` lists the api's own"
    },
    422: {"Invalid request": "a parameter is wrong; `errors` names each, and says what is allowed"},
    429: {"Too many requests": "this client has asked too often, or has too many requests or feeds under way"},
    431: {"Request Header Fields Too Large": "address and headers are larger than may be"},
    500: {"Internal error": "a mistake of ours; the log of the api has its traceback"},
    501: {"Not implemented": "this version cannot do that, and has changed nothing"},
    503: {
        "Busy": "as many requests as there are places are under way",
        "Timeout": "there was no answer in time",
        "Query too long": "the tables did not answer in time: ask for less",
        "Database unavailable": "Postgres cannot be reached",
        "Schema not ready": "the projector has not migrated the tables to what this api reads",
        "Log unavailable": "NATS cannot be written to",
        "Identity provider unavailable": "whether the token is good cannot be known at the moment",
    },
}


TABLES = ("Query too long", "Database unavailable", "Schema not ready")
"""What a look at the tables can end with."""
EDIT = (*TABLES, "Changed meanwhile", "Log unavailable")
"""What an edit can end with."""


def declared(*titles: str) -> dict[int | str, dict[str, Any]]:
    """For the `responses` of a route: the problems that it has of its own. `operations` describes them.

    A title of two statuses is declared for both: who checks a body checks parameters too.
    """
    own = {status: [title for title in kinds if title in titles] for status, kinds in KINDS.items()}
    return {status: {"description": "\n".join(found)} for status, found in own.items() if found}


def anchor(title: str) -> str:
    """The part of a problem's `type` after `/docs#`."""
    return title.lower().replace(" ", "-")
