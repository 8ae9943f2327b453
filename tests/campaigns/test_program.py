"""A program writes what Jinja2 would write, whatever is known beforehand, and reaches nothing but its values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tcma.campaigns.language import FILTERS
from tcma.campaigns.program import MOST_SHAPES, Program, Shapes
from tcma.campaigns.vocabulary import campaign_dialect, flat

DIALECT = campaign_dialect(())
FIELDS = [("contact", "city"), ("contact", "company"), ("contact", "first_name"), ("brand", "name"), ("launch", "name")]
WORDS = ["", "Bremen", "old town", "<b>&amp;'\"", "100 %s", "Ünlü", "  ", "a longer value, with a comma"]
VALUES = st.fixed_dictionaries({name: st.sampled_from(WORDS) for name in FIELDS})


def oracle(template: str, values: dict[tuple[str, str], str], *, escape: bool) -> str:
    """What Jinja2 itself makes of it."""
    env = ImmutableSandboxedEnvironment(autoescape=escape, undefined=StrictUndefined, keep_trailing_newline=True)
    env.filters = dict(FILTERS)
    roots: dict[str, dict[str, str]] = {}
    for (root, name), value in values.items():
        roots.setdefault(root, {})[name] = value
    return env.from_string(template).render(roots)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@st.composite
def expressions(draw: st.DrawFn, names: tuple[str, ...] = (), depth: int = 3) -> str:
    """Something that a placeholder or a test may hold."""
    leaves = [f"{root}.{name}" for root, name in FIELDS] + [quoted(word) for word in WORDS] + ["7", *names]
    kind = (
        draw(st.sampled_from(["leaf", "filter", "default", "if", "and", "or", "not", "is", "in"])) if depth else "leaf"
    )

    def inner() -> str:
        return f"({draw(expressions(names, depth - 1))})"

    match kind:
        case "filter":
            made = draw(
                st.sampled_from(
                    ["upper", "lower", "title", "capitalize", "trim", "truncate(5)", 'truncate(length=9, end="-")']
                )
            )
            return f"{inner()}|{made}"
        case "default":
            return f"{inner()}|default" + draw(st.sampled_from(["", f"({inner()})"]))
        case "if":
            return f"{inner()} if {inner()} else {inner()}"
        case "and" | "or":
            return f"{inner()} {kind} {inner()}"
        case "not":
            return f"not {inner()}"
        case "is":
            return f"{inner()} {draw(st.sampled_from(['==', '!=']))} {inner()}"
        case "in":
            return f"{inner()} {draw(st.sampled_from(['in', 'not in']))} [{', '.join(map(quoted, WORDS[:3]))}, 7]"
    return draw(st.sampled_from(leaves))


@st.composite
def templates(draw: st.DrawFn, names: tuple[str, ...] = (), depth: int = 2) -> str:
    """A piece of a template."""
    parts: list[str] = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["text", "value", "if", "for", "pairs"] if depth else ["text", "value"]))
        match kind:
            case "text":
                parts.append(draw(st.sampled_from(["<p>", "100 % of %s\n", "\r\n", " and ", "Größe", "{# a note #}"])))
            case "value":
                parts.append("{{ " + draw(expressions(names)) + " }}")
            case "if":
                other = draw(templates(names, depth - 1))
                parts.append(f"{{% if ({draw(expressions(names))}) %}}{draw(templates(names, depth - 1))}")
                parts.append(draw(st.sampled_from(["", f"{{% elif ({draw(expressions(names))}) %}}{other}"])))
                parts.append(draw(st.sampled_from(["", f"{{% else %}}{other}"])) + "{% endif %}")
            case "for":
                name = f"x{depth}"
                body = draw(templates((*names, name, "loop.index", "loop.first", "loop.last"), depth - 1))
                parts.append(f'{{% for {name} in ["One", "", 3, ("two", 4)] %}}{body}{{% endfor %}}')
            case _:
                a, b = f"a{depth}", f"b{depth}"
                body = draw(templates((*names, a, b), depth - 1))
                parts.append(f'{{% for {a}, {b} in [("One", 1), ("", "<two>")] %}}{body}{{% endfor %}}')
    return "".join(parts)


@given(templates(), st.lists(VALUES, min_size=1, max_size=4), st.sets(st.sampled_from(FIELDS)), st.booleans())
def test_a_program_writes_what_jinja_would(
    template: str, readers: list[dict[tuple[str, str], str]], known: set[tuple[str, str]], escape: bool
) -> None:
    same = {name: readers[0][name] for name in known}
    program = Program(
        template, dialect=DIALECT, escape=escape, known={flat(*name): value for name, value in same.items()}
    )
    for reader in readers:
        values = {flat(*name): value for name, value in reader.items() if name not in known}
        assert program.render(values) == oracle(template, reader | same, escape=escape)


def run(template: str, **given: Any) -> Program:
    return Program(template, dialect=DIALECT, escape=True, **given)


def test_what_is_known_is_no_decision() -> None:
    program = run(
        "{% if brand.name %}a{{ brand.name }}{% endif %}{{ contact.city or 'x' }}", known={"brand__name": "B&B"}
    )
    shape = program.shape((True,))
    assert (shape.texts, shape.keys) == (("aB&amp;B", ""), ("contact__city",))
    assert program.shape((False,)).texts == ("aB&amp;Bx",)


def test_a_known_value_in_pieces_is_written_with_its_links() -> None:
    pieces = {"brand__name": ['<a href="', 7, '">here</a>']}
    links = {"link__l7": "https://t.example/?a=1&b=2", "contact__city": ""}
    for template in (
        "{{ brand.name }}", "{{ contact.city or brand.name }}", "{{ brand.name | default('x') }}",
        "{% if brand.name %}{{ brand.name }}{% endif %}", "{{ brand.name if not contact.city }}",
    ):  # fmt: skip
        assert run(template, pieces=pieces).render(links) == '<a href="https://t.example/?a=1&amp;b=2">here</a>'


def test_what_is_the_same_for_all_is_rewritten_and_a_readers_value_is_not() -> None:
    program = run("a{{ brand.name }}{{ contact.city }}", known={"brand__name": "b"}, fixed=str.upper)
    assert program.render({"contact__city": "c"}) == "ABc"


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(KeyError):
        run("{{ contact.city }}").render({})


def test_each_shape_is_made_once_and_not_kept_for_ever() -> None:
    made: list[object] = []

    def make(shape: object) -> int:
        made.append(shape)
        return len(made)

    names = [
        f"contact.{name}" for name in ("city", "company", "country", "email", "first_name", "last_name", "full_name")
    ]
    names += ["launch.name", "brand.name", "brand.phone"]
    program = run("".join(f"{{% if {name} %}}{name}{{% endif %}}" for name in names))
    shapes = Shapes(program, make)
    for turn in range(2):
        for number in range(MOST_SHAPES):
            values = {flat(*name.split(".")): number >> place & 1 for place, name in enumerate(names)}
            assert shapes.of(values)[0] == number + 1, turn
    assert len(made) == MOST_SHAPES
    assert shapes.of(dict.fromkeys((flat(*name.split(".")) for name in names), "x"))[0] == MOST_SHAPES + 1
    assert len(shapes._made) == 1


def test_a_shape_of_which_nothing_was_made_is_not_made_again() -> None:
    made: list[object] = []
    shapes = Shapes(run("{{ contact.city }}"), made.append)
    for city in ("Bremen", "Hamburg"):
        assert shapes.of({"contact__city": city})[0] is None
    assert len(made) == 1


def test_shapes_of_a_large_mail_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tcma.campaigns.program.MOST_TEXT", 1000)
    shapes = Shapes(run("x" * 300 + "".join(f'{{% if contact.city == "{n}" %}}{n}{{% endif %}}' for n in range(9))), id)
    for number in range(9):
        shapes.of({"contact__city": str(number)})
        assert len(shapes._made) == number % 3 + 1


def test_an_if_may_go_on_for_hundreds_of_elifs() -> None:
    elifs = "".join(f'{{% elif contact.city == "{number}" %}}{number}' for number in range(350))
    program = run(f'{{% if contact.city == "x" %}}x{elifs}{{% else %}}none{{% endif %}}')
    for city, shown in (("x", "x"), ("0", "0"), ("349", "349"), ("350", "none")):
        assert program.render({"contact__city": city}) == shown


def test_a_pair_is_written_as_jinja_writes_it() -> None:
    template = '{% for pair in [("One", 1), ["Two", 2]] %}{{ pair }}{% endfor %}'
    assert run(template).render({}) == oracle(template, {}, escape=True)


@pytest.mark.parametrize("link", [" or ", " and ", "|default(", "|default|default("])
def test_each_value_of_a_chain_is_looked_at_once(link: str) -> None:
    names = ["city", "company", "country", "email", "first_name", "last_name"]

    def chain(fields: list[str]) -> str:
        last = ")" * (len(fields) - 1) if link.endswith("(") else ""
        return "{{ " + link.join(f"contact.{name}" for name in fields) + last + " }}"

    program = run(chain(names))
    for number in range(1 << len(names)):
        values = {("contact", name): name if number >> place & 1 else "" for place, name in enumerate(names)}
        given = {flat(*name): value for name, value in values.items()}
        assert program.render(given) == oracle(chain(names), values, escape=True)
    assert run("{{ contact.city" + "|default" * 45 + " }}")._computed == ()
    assert run(chain(names * 3))._computed == ()


def test_a_chain_of_the_greatest_length_is_read() -> None:
    nested = "{% if contact.city %}" * 12 + "{{ contact.city or " + "'' or " * 63 + "1 }}" + "{% endif %}" * 12
    assert run(nested).render({"contact__city": "Bremen"}) == "Bremen"
