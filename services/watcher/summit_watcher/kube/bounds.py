"""Every bound of what is read from a cluster, or on its behalf, each with its reason.

Whoever answers may be broken, or an attacker. What exceeds a bound costs that value, that object or that cluster, and
is a state with a reason; it never costs the other clusters or the memory of the process. Values become None with a
problem, objects and answers raise an error of `errors`, and texts for people are cut by `one_line`.
"""

from typing import Annotated

from msgspec import Meta

from summit_runtime.printable import printable

KIB = 1024
MIB = 1024 * KIB

# Answers

ANSWER_BYTES = 128 * MIB
"""One page, or a list without pages: 14 000 VMs at 9 KB. A page of 500 VMs has about 4 MB."""
OBJECT_BYTES = 2 * MIB
"""One object that is asked for by name, or a review: etcd takes 1.5 MiB in one request."""
LINE_BYTES = 8 * MIB
"""One line of a watch. etcd takes objects of 1.5 MiB; operators may raise that, and nobody raises it further."""
ERROR_BYTES = 64 * KIB
"""The first part of a failed answer: a Status has less than one KiB, and the body of a watch may never end."""
LINE_SECONDS = 120.0
"""The longest time that one line may take: 8 MiB over a slow link of a Mbit/s take one minute, and a line that drips
without end looks like a watch that works."""
ERROR_SECONDS = 5.0
"""How long to wait for that part."""
ISSUER_BYTES = MIB
"""An answer of an OpenID Connect issuer: a discovery document or a token has a few KiB."""

# Lists

LIST_OBJECTS = 150_000
"""Objects of one kind in one cluster: Kubernetes runs at most 150 000 pods in one, and each running VM needs one.
Source: https://kubernetes.io/docs/setup/best-practices/cluster-large/"""
LIST_PAGES = 3000
"""Pages of one list: ten times as many as LIST_OBJECTS fill, since a server may give less than was asked for."""
PAGE_VALUES = 5_000_000
"""Values in one page that is read object by object, counted by their commas: ANSWER_BYTES of real objects have about
four million, and as many empty objects would fill the memory."""
UNREADABLE_SECONDS = 1.0
"""How long the objects of one page are read that have a member of the wrong type: the other clusters wait meanwhile.
A page in which each object has some takes a tenth of it."""
CONTINUE_CHARACTERS = 4096
"""A `continue` token is a resourceVersion and a key of etcd in base64. It goes into the next request's address."""

# Values

UID_CHARACTERS = 64
"""Kubernetes gives UUIDs, 36 characters. A uid is part of event ids."""
NAME_CHARACTERS = 253
"""A DNS-1123 subdomain. Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/"""
RESOURCE_VERSION_CHARACTERS = 64
"""etcd's revisions have at most 19 digits. Python refuses to read numbers of more than 4 300."""
LABELS = 500
"""Labels of one object. Kubernetes does not bound their number, and NATS takes events of 1 MiB: 500 have 190 KB."""
LABEL_KEY_CHARACTERS = 317
LABEL_VALUE_CHARACTERS = 63
"""Kubernetes' own. Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/"""
QUANTITY_CHARACTERS = 128
"""A quantity has at most 20 digits and a suffix."""
TEXT_CHARACTERS = 4096
"""Any other text in a manifest; `normalize` keeps 253 characters of it."""
MESSAGE_CHARACTERS = 32_768
"""The message of a condition. Source: the validation of metav1.Condition."""

Uid = Annotated[str, Meta(max_length=UID_CHARACTERS, pattern=r"\A[A-Za-z0-9._-]*\Z")]
Name = Annotated[str, Meta(max_length=NAME_CHARACTERS, pattern=r"\A[A-Za-z0-9._-]*\Z")]
"""Blanks, `*` and `>` would not be one token of a NATS subject."""
ResourceVersion = Annotated[str, Meta(max_length=RESOURCE_VERSION_CHARACTERS)]
ContinueToken = Annotated[str, Meta(max_length=CONTINUE_CHARACTERS)]
LabelKey = Annotated[str, Meta(max_length=LABEL_KEY_CHARACTERS)]
LabelValue = Annotated[str, Meta(max_length=LABEL_VALUE_CHARACTERS)]
Labels = Annotated[dict[LabelKey, LabelValue | None], Meta(max_length=LABELS)]
QuantityText = Annotated[str, Meta(max_length=QUANTITY_CHARACTERS)]
Text = Annotated[str, Meta(max_length=TEXT_CHARACTERS)]
Message = Annotated[str, Meta(max_length=MESSAGE_CHARACTERS)]

# Texts for people, in states, log lines and events

MESSAGE_SHOWN = 1000
"""Characters of the server's own sentence."""
WORD_SHOWN = 100
"""Characters of a reason, a version, a content type or a name: anything that should be one word."""

# Times

RETRY_AFTER_SECONDS = 3600.0
"""The longest pause that a server may ask for: a cluster that is mistaken would not be asked again for days."""
OVERSIZED_SECONDS = 300.0
"""The pause after an answer that exceeds a bound: the next one will be as large."""

# Files and programs

FILE_DEPTH = 100
"""Levels of a kubeconfig: a real one has about ten, and libyaml ends the process beyond some thousands."""
ENTRY_NODES = 10_000
"""Members and elements of one entry of a kubeconfig, with its aliases written out: a real one has about thirty."""
PLUGIN_BYTES = MIB
"""The output of a credential plugin: a token and a certificate have a few KiB."""
PLUGIN_STDERR_BYTES = 64 * KIB
"""The last part of a plugin's stderr, long enough that no secret in what is shown is cut in two."""
PLUGIN_STDERR_SHOWN = 200
"""Characters of it that go into our sentence: enough for a reason, not for a traceback."""


def one_line(text: str, characters: int = WORD_SHOWN) -> str:
    """A text from outside as one printable line of bounded length: a newline in it would forge a log line."""
    return printable(" ".join(text[: 4 * characters].split()), characters)


def seconds(asked: float | None) -> float | None:
    """The pause that a server asks for, between 0 and RETRY_AFTER_SECONDS."""
    return None if asked is None else min(max(asked, 0.0), RETRY_AFTER_SECONDS)
