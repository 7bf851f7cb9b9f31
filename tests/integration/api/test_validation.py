"""The answer to a mistake names the mistake, its place, and the allowed values, in plain words."""

import re

from support.api_stack import api_stack

PYDANTIC = re.compile(r"Value error|Input should|String should|valid (integer|string|tuple)|pattern|Field required")

READS = {
    "/vms?sort=age": (422, "sort", "there is no order by 'age'; known are name, "),
    "/vms?sort=name,-name": (422, "sort", "'name' is named twice"),
    "/vms?limit=ten": (422, "limit", "must be a whole number, not 'ten'"),
    "/vms?status=asleep": (422, "status[0]", "must be 'running', 'stopped', "),
    "/vms?fields=name,age,wheels": (422, "fields[0]", "there is no member 'wheels'; members are id, "),
    "/vms?label=app===web": (422, "label[0]", "at character 6: '=' where a value is expected"),
    "/vms?cursor=x": (400, "cursor", "start again without it"),
    "/vms?at=yesterday": (422, "at", "must be a time as RFC 3339 has it"),
    "/vms?at=2026-11-23T12:00:00": (422, "at", "must be a time as RFC 3339 has it, with its offset"),
    "/vms?at=0001-01-01T00:00:00%2B14:00": (422, "at", "in UTC this time is in no year from 1 to 9999"),
    "/vms?at=2126-11-23T12:00:00Z": (400, "at", "is in the future"),
    "/vms/a?at=2126-11-23T12:00:00Z": (400, "at", "is in the future"),
    "/status?at=2126-11-23T12:00:00Z": (400, "at", "is in the future"),
    "/vms?count=maybe": (422, "count", "must be true or false, not 'maybe'"),
    "/vms?namspace=prod": (422, "namspace", "there is no such parameter here"),
    "/vms?sort=name&sort=-memory": (422, "sort", "can have one value, but 2 were given"),
    "/migrate?dry-run=1&dry-run=0": (422, "dry-run", "can have one value, but 2 were given"),
    "/vms?revision=x": (422, "revision", "must be a whole number, not 'x'"),
    "/datacenters?revision=-1": (422, "revision", "must be at least 0, not '-1'"),
    f"/migrations/active?revision={1 << 63}": (422, "revision", "must be less than 9223372036854775808"),
    "/vms/a?att=2026-11-23T12:00:00Z": (422, "att", "there is no such parameter here"),
    "/status?datacenter=dc-solna": (422, "datacenter", "there is no such parameter here"),
    "/clusters?name=vulcan": (422, "name", "there is no such parameter here"),
    "/migrate?dryrun=1": (422, "dryrun", "there is no such parameter here"),
    "/migrations?sort=age": (422, "sort", "there is no order by 'age'; known are createdAt, "),
    "/migrations?limit=1001": (422, "limit", "must be at most 1000, not '1001'"),
    "/migrations?cursor=x": (400, "cursor", "start again without it"),
    "/migrations?node=a": (422, "node", "there is no such parameter here"),
    "/migrations?direction=up": (400, "direction", "must be 'incoming', 'outgoing', or 'unknown'"),
    "/events?types=vms": (422, "types[0]", "must be 'vm', 'migration', "),
    "/events?since=now": (
        422,
        "since",
        "must be the position of a list or the id of a message, as 41877-3f9a2c01, not 'now'",
    ),
}

SOLNA = "/admin/datacenters/dc-solna"
BODIES: list[tuple[str, str, str | bytes, str, str]] = [
    ("PATCH", SOLNA, "", "body", "is missing; send JSON or a form"),
    ("PATCH", SOLNA, "{", "body", "is not valid JSON: "),
    ("PATCH", SOLNA, b'{"name": "\xff"}', "body", "is not valid JSON: "),
    ("PATCH", SOLNA, "[" * 5000, "body", "is not valid JSON: "),
    ("PATCH", SOLNA, "[]", "body", "must be an object, not a list"),
    ("PATCH", SOLNA, '{"name": 5}', "name", "must be a text, not 5"),
    ("PATCH", SOLNA, '{"name": "<b>"}', "name", "cannot contain line breaks, other control characters, < or >"),
    ("PATCH", SOLNA, '{"name": "a\\u0000"}', "name", "cannot contain line breaks"),
    ("PATCH", SOLNA, '{"coordinates": [100, 0]}', "coordinates[0]", "must be at most 90.0, not 100"),
    ("PATCH", SOLNA, '{"coordinates": "here"}', "coordinates", "must be a list, not 'here'"),
    ("POST", f"{SOLNA}/vms", "{}", "name", "is missing"),
    (
        "POST",
        f"{SOLNA}/vms",
        '{"name": "a", "id": "a b"}',
        "id",
        "can only contain letters from A to Z, digits, _ and -",
    ),
    ("POST", f"{SOLNA}/vms", '{"name": "a", "status": "asleep"}', "status", "must be 'running', 'stopped', "),
    ("POST", f"{SOLNA}/vms", '{"name": "a", "cpu": "4"}', "cpu", "must be a whole number, not '4'"),
    ("POST", f"{SOLNA}/vms", f'{{"name": "{"a" * 300}"}}', "name", "may have at most 253 characters, and has more"),
    ("POST", "/migrate", "{}", "vmId", "is missing"),
    ("POST", "/migrate", '{"vmId": 5}', "vmId", "must be a text, not 5"),
]


async def test_wrong_parameters_are_explained(database_url: str) -> None:
    """The parameter, the value, and what it may be."""
    async with api_stack(database_url) as stack:
        for address, (status, field, words) in READS.items():
            answer = await stack.http.get(f"/api/v1{address}")
            (error,) = answer.json()["errors"]
            assert (answer.status_code, error["field"]) == (status, field), address
            assert words in error["detail"], error
            assert not PYDANTIC.search(answer.text), answer.text


async def test_wrong_bodies_are_explained(database_url: str) -> None:
    """The member, its value, and what it may be; and what is no body at all."""
    async with api_stack(database_url) as stack:
        for method, path, body, field, words in BODIES:
            answer = await stack.http.request(
                method, f"/api/v1{path}", content=body, headers={"Content-Type": "application/json"}
            )
            error = answer.json()["errors"][0]
            assert (answer.status_code, error["field"]) == (400, field), body
            assert words in error["detail"], error
            assert not PYDANTIC.search(answer.text), answer.text


async def test_body_of_another_type_gets_the_accepted_ones(database_url: str) -> None:
    """JSON without a type is taken, as the original does."""
    async with api_stack(database_url) as stack:
        xml = await stack.http.patch(f"/api/v1{SOLNA}", content="<a/>", headers={"Content-Type": "text/xml"})
        (error,) = xml.json()["errors"]
        assert "must be JSON or a form, application/json or application/x-www-form-urlencoded" in error["detail"]
        assert (await stack.http.patch(f"/api/v1{SOLNA}", content='{"name": "a"}')).status_code == 404
