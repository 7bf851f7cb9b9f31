"""Label selectors: kubectl's language, and sentences that name the position of an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from summit_api.query.selection.selector import Requirement, SelectorError, matches, parse

WORDS = st.text(st.characters(categories=["L", "N"], include_characters="-._/"), min_size=1, max_size=20)
REQUIREMENTS = st.one_of(
    st.builds(Requirement, WORDS, st.sampled_from(["exists", "absent"])),
    st.builds(Requirement, WORDS, st.sampled_from(["in", "notin"]), st.lists(WORDS, min_size=1).map(tuple)),
)


@pytest.mark.parametrize(
    ("text", "requirements"),
    [
        ("app=web", [Requirement("app", "in", ("web",))]),
        ("app==web", [Requirement("app", "in", ("web",))]),
        ("app = web", [Requirement("app", "in", ("web",))]),
        ("app!=web", [Requirement("app", "notin", ("web",))]),
        ("app in (a,b)", [Requirement("app", "in", ("a", "b"))]),
        ("app notin(a, b )", [Requirement("app", "notin", ("a", "b"))]),
        ("kubevirt.io/os", [Requirement("kubevirt.io/os", "exists")]),
        ("!app", [Requirement("app", "absent")]),
        ("! app", [Requirement("app", "absent")]),
        ("app=", [Requirement("app", "in", ("",))]),
        ("app in (,b)", [Requirement("app", "in", ("", "b"))]),
        ("in=notin", [Requirement("in", "in", ("notin",))]),
        (" a , !b,c!=d ", [Requirement("a", "exists"), Requirement("b", "absent"), Requirement("c", "notin", ("d",))]),
    ],
)
def test_selectors_of_kubectl(text: str, requirements: list[Requirement]) -> None:
    """Equality in both spellings, sets, existence, and all of them joined by commas."""
    assert parse(text) == tuple(requirements)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "at character 1: the end where a label or '!' is expected"),
        ("app=web,", "at character 9: the end where a label or '!' is expected"),
        ("=web", "at character 1: '=' where a label or '!' is expected"),
        ("app in a", "at character 8: 'a' where '(' is expected"),
        ("app in (a", "at character 10: the end where ',' or ')' is expected"),
        ("app web", "at character 5: 'web' where '=', '!=', 'in', 'notin', ',' or the end is expected"),
        ("app=web x", "at character 9: 'x' where ',' or the end is expected"),
        ("cpu > 4", "at character 5: '>' cannot be part of a selector"),
        ("!!app", "at character 2: '!' where a label is expected"),
    ],
)
def test_error_names_the_position(text: str, sentence: str) -> None:
    """The sentence names the place and what would be right there."""
    with pytest.raises(SelectorError) as error:
        parse(text)
    assert str(error.value) == sentence


def written(requirement: Requirement) -> str:
    """The requirement as kubectl writes it."""
    match requirement.operator:
        case "exists":
            return requirement.key
        case "absent":
            return f"!{requirement.key}"
    return f"{requirement.key} {requirement.operator} ({','.join(requirement.values)})"


@given(st.lists(REQUIREMENTS, min_size=1))
def test_parsing_reverses_writing(requirements: list[Requirement]) -> None:
    """This holds for all labels and values, also for `in` and `notin`."""
    assert parse(",".join(map(written, requirements))) == tuple(requirements)


@given(st.text(st.sampled_from("ab in(),=!<>- \t"), max_size=30))
def test_any_text_is_a_selector_or_a_sentence(text: str) -> None:
    """Nothing else is raised, and a position is within the text or just behind it."""
    sentence = _sentence(text)
    assert sentence is None or 1 <= int(sentence.split()[2].rstrip(":")) <= len(text) + 1


def _sentence(text: str) -> str | None:
    try:
        parse(text)
    except SelectorError as error:
        return str(error)
    return None


def test_not_equal_also_selects_vms_without_the_label() -> None:
    """As in Kubernetes."""
    for text in ("app!=web", "app notin (web,db)", "!app"):
        assert matches([parse(text)], {})
    assert not matches([parse("app!=web")], {"app": "web"})
    assert not matches([parse("app")], {})
