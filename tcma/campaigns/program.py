"""Templates as they run: what the same launch always writes is text, what a reader's values decide is counted.

A template that `language` allows can do little: put values in, leave out what an `if`, an `or` or a default says, and
change a value by a filter. So each way in which its decisions can fall leaves one text with gaps, a `Shape`; a launch's
readers make a handful of them, and filling one is a single formatting. No code is made from a template, and nothing
is reached but the values given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Generic, TypeVar

from jinja2 import nodes
from markupsafe import escape

from tcma.campaigns.language import FILTERS, SERVICE_FILTERS, parsed, target_names
from tcma.campaigns.vocabulary import Dialect, flat

Values = Mapping[str, Any]
Made = TypeVar("Made")

MOST_SHAPES: Final = 256
"""Kept a program, more than readers usually make; and no more than `MOST_TEXT` characters of them."""

MOST_TEXT: Final = 32 * 1024 * 1024
"""A mail may have a million: so many in all its shapes would be too much for a small machine."""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """What a program writes once its decisions are made: `texts`, and between each two the value of a key."""

    texts: tuple[str, ...]
    keys: tuple[str, ...]


class Program:
    """A template for every recipient's flat string values, read once.

    `known` are values, keyed as for `render`, that are the same in every run. `pieces` are known values in pieces that
    are safe as they are; a number stands for the address of that link. `fixed` rewrites, once, all that is the same
    in every run. Raises Refusal for what the language does not have.
    """

    def __init__(
        self,
        text: str,
        *,
        dialect: Dialect,
        escape: bool,
        known: Mapping[str, str] | None = None,
        pieces: Mapping[str, Sequence[str | int]] | None = None,
        fixed: Callable[[str], str] | None = None,
    ) -> None:
        tree, self.fields = parsed(text, dialect=dialect)
        maker = _Maker(known or {}, pieces or {}, escape=escape, fixed=fixed)
        self._steps = maker.statements(tree.body, _Scope())
        self._tests = tuple(maker.tests)
        self._computed = tuple(maker.computed.items())
        self._whole = Shapes(self, partial(_Filled, is_html=escape))

    def render(self, values: Values) -> str:
        """The text for these values, keyed by `flat(root, field)`; KeyError where one is missing."""
        filled, values = self._whole.of(values)
        return filled.text(values)

    def decided(self, values: Values) -> tuple[tuple[bool, ...], Values]:
        """How the decisions fall, and the values with those that are computed from them."""
        if self._computed:
            values = {**values, **{key: term.of(values) for key, term in self._computed}}
        return tuple([bool(values[key]) for key in self._tests]), values

    def shape(self, decisions: tuple[bool, ...]) -> Shape:
        """What is written where the decisions fall like this."""
        texts, keys = [""], []
        holds = dict(zip(self._tests, decisions, strict=True))
        waiting = list(reversed(self._steps))
        while waiting:
            match waiting.pop():
                case str(text):
                    texts[-1] += text
                case _Gap(key):
                    keys.append(key)
                    texts.append("")
                case _Branch(test, then, otherwise):
                    waiting += reversed(then if holds[test] else otherwise)
        return Shape(tuple(texts), tuple(keys))


class Shapes(Generic[Made]):
    """What `make` makes of a program's shapes, each once. Safe to use from several threads."""

    def __init__(self, program: Program, make: Callable[[Shape], Made]) -> None:
        self._program = program
        self._make = make
        self._made: dict[tuple[bool, ...], Made] = {}
        self._size = 0

    def of(self, values: Values) -> tuple[Made, Values]:
        """What was made of the shape that these values decide on, and the values for its gaps."""
        decisions, values = self._program.decided(values)
        try:
            return self._made[decisions], values
        except KeyError:
            shape = self._program.shape(decisions)
        size = sum(map(len, shape.texts))
        self._size += size
        if len(self._made) >= MOST_SHAPES or self._size > MOST_TEXT:
            self._made.clear()
            self._size = size
        made = self._made[decisions] = self._make(shape)
        return made, values


def template_of(texts: Iterable[str]) -> str:
    """A text for `%` with a tuple: `texts` with a gap between each two."""
    return "%s".join([text.replace("%", "%%") for text in texts])


class _Filled:
    """A shape as text, for HTML with its values escaped."""

    def __init__(self, shape: Shape, *, is_html: bool) -> None:
        self._template = template_of(shape.texts)
        self._keys = shape.keys
        self._is_html = is_html

    def text(self, values: Values) -> str:
        """The whole of it."""
        if self._is_html:
            return self._template % tuple([escape(values[key]) for key in self._keys])
        return self._template % tuple([values[key] for key in self._keys])


@dataclass(frozen=True, slots=True)
class _Gap:
    key: str


@dataclass(frozen=True, slots=True)
class _Branch:
    """`then` where the value of `test` holds, else `otherwise`."""

    test: str
    then: list[_Step]
    otherwise: list[_Step]


_Step = str | _Gap | _Branch


@dataclass(frozen=True, slots=True)
class _Known:
    """A value that is the same in every run."""

    value: Any

    def of(self, values: Values) -> Any:
        return self.value


@dataclass(frozen=True, slots=True)
class _Field:
    """A reader's value as it is."""

    key: str

    def of(self, values: Values) -> Any:
        return values[self.key]


@dataclass(frozen=True, slots=True)
class _Computed:
    """What a function makes of other values."""

    function: Callable[..., Any]
    terms: tuple[_Term, ...]

    def of(self, values: Values) -> Any:
        return self.function(*[term.of(values) for term in self.terms])


_Term = _Known | _Field | _Computed


@dataclass(frozen=True, slots=True)
class _Scope:
    """What the names of the loops around a place stand for, and their `loop.…`."""

    names: Mapping[str, Any] = field(default_factory=dict)
    loop: Mapping[str, Any] = field(default_factory=dict)


class _Maker:
    """Makes the steps of a program out of the tree of a template that is within the language."""

    def __init__(
        self,
        known: Mapping[str, str],
        pieces: Mapping[str, Sequence[str | int]],
        *,
        escape: bool,
        fixed: Callable[[str], str] | None,
    ) -> None:
        self.tests: dict[str, None] = {}
        self.computed: dict[str, _Term] = {}
        self._known = known
        self._pieces = pieces
        self._escape = escape
        self._fixed = fixed or (lambda text: text)

    def statements(self, body: Iterable[nodes.Node], scope: _Scope) -> list[_Step]:
        """What a piece of a template writes."""
        steps: list[_Step] = []
        for node in body:
            match node:
                case nodes.Output(nodes=items):
                    for item in items:
                        steps += self._written(item, scope)
                case nodes.If():
                    steps += self._if(node, scope)
                case nodes.For(target=target, iter=nodes.List(items=items) | nodes.Tuple(items=items), body=inner):
                    for index, item in enumerate(items, start=1):
                        place = {"index": index, "first": index == 1, "last": index == len(items)}
                        names = {**scope.names, **_bound(target, self._term(item, scope).of({}))}
                        steps += self.statements(inner, _Scope(names, place))
                case _:
                    raise TypeError(f"{type(node).__name__} is not part of the language.")
        return steps

    def _if(self, node: nodes.If, scope: _Scope) -> list[_Step]:
        cases, last = [(one.test, one.body) for one in (node, *node.elif_)], node.else_
        for place, (test, body) in enumerate(cases):
            term = self._term(test, scope)
            if isinstance(term, _Known) and term.value:
                cases, last = cases[:place], body
                break
        steps = self.statements(last, scope)
        # From the last to the first: there may be hundreds, each of them the `else` of the one before.
        for test, body in reversed(cases):
            assert isinstance(test, nodes.Expr)
            steps = self._branch(test, scope, partial(self.statements, body, scope), partial(list, steps))
        return steps

    def _branch(
        self,
        test: nodes.Expr,
        scope: _Scope,
        then: Callable[[], list[_Step]],
        otherwise: Callable[[], list[_Step]],
    ) -> list[_Step]:
        if isinstance(test, nodes.Not):
            return self._branch(test.node, scope, otherwise, then)
        term = self._term(test, scope)
        if isinstance(term, _Known):
            return then() if term.value else otherwise()
        key = self._key(term)
        self.tests[key] = None
        return [_Branch(key, then(), otherwise())]

    def _written(self, node: nodes.Expr, scope: _Scope) -> list[_Step]:
        """What a placeholder writes. One that chooses between values is a branch, so that formatted text stays whole."""
        write = partial(self._written, scope=scope)
        match node:
            case nodes.TemplateData(data=text):
                return [self._fixed(text)]
            case nodes.CondExpr(test=test, expr1=first, expr2=second):
                # A missing else writes nothing.
                return self._branch(test, scope, lambda: write(first), lambda: write(second) if second else [])
            case nodes.Or() | nodes.Filter(name="default"):
                return self._first(_choices(node), scope, holds=True)
            case nodes.And():
                return self._first(_conditions(node), scope, holds=False)
            case nodes.Getattr(node=nodes.Name(name=root), attr=name) if flat(root, name) in self._pieces:
                pieces = self._pieces[flat(root, name)]
                return [self._link(one) if isinstance(one, int) else self._fixed(one) for one in pieces]
        term = self._term(node, scope)
        if isinstance(term, _Known):
            return [self._fixed(str(escape(term.value)) if self._escape else str(term.value))]
        return [_Gap(self._key(term))]

    def _first(self, choices: list[nodes.Expr], scope: _Scope, *, holds: bool) -> list[_Step]:
        """Writes the first of several values that holds, or does not hold; the last where there is none."""
        first, *others = choices
        if not others:
            return self._written(first, scope)
        found, further = partial(self._written, first, scope), partial(self._first, others, scope, holds=holds)
        return self._branch(first, scope, *((found, further) if holds else (further, found)))

    def _link(self, number: int) -> _Gap:
        return _Gap(flat("link", f"l{number}"))

    def _key(self, term: _Field | _Computed) -> str:
        """Under which key the values have a term."""
        if isinstance(term, _Field):
            return term.key
        key = f"={len(self.computed)}"
        self.computed[key] = term
        return key

    def _term(self, node: nodes.Node, scope: _Scope) -> _Term:
        term = partial(self._term, scope=scope)
        match node:
            case nodes.Const(value=value):
                return _Known(value)
            case nodes.List(items=items):
                return _Known([term(item).of({}) for item in items])
            case nodes.Tuple(items=items):
                return _Known(tuple([term(item).of({}) for item in items]))
            case nodes.Name(name=name):
                return _Known(scope.names[name])
            case nodes.Getattr(node=nodes.Name(name="loop"), attr=name) if scope.loop:
                return _Known(scope.loop[name])
            case nodes.Getattr(node=nodes.Name(name=root), attr=name):
                return self._field(flat(root, name))
            case nodes.Not(node=inner):
                return _applied(lambda value: not value, term(inner))
            case nodes.And(left=left, right=right):
                return _applied(lambda one, other: one and other, term(left), term(right))
            case nodes.Or(left=left, right=right):
                return _applied(lambda one, other: one or other, term(left), term(right))
            case nodes.CondExpr(test=test, expr1=first, expr2=second):
                other = term(second) if second else _Known("")
                return _applied(lambda holds, one, other: one if holds else other, term(test), term(first), other)
            case nodes.Filter(name=name, node=nodes.Expr() as inner, args=args, kwargs=kwargs):
                named = {str(pair.key): term(pair.value).of({}) for pair in kwargs}
                function = FILTERS.get(name) or SERVICE_FILTERS[name]
                return _applied(partial(function, **named), term(inner), *[term(one) for one in args])
            case nodes.Compare(expr=first, ops=operands):
                compare = partial(_compared, [one.op for one in operands])
                return _applied(compare, term(first), *[term(one.expr) for one in operands])
        raise TypeError(f"{type(node).__name__} is not part of the language.")

    def _field(self, key: str) -> _Term:
        if key in self._known:
            return _Known(self._known[key])
        if key in self._pieces:
            # Only whether there is any counts here: `_written` writes it.
            return _Known("".join(one for one in self._pieces[key] if isinstance(one, str)))
        return _Field(key)


# A chain is taken apart as a whole: each value is then looked at once, however long it is.
def _choices(node: nodes.Expr) -> list[nodes.Expr]:
    """The values of which `or` and default take the first that holds, or the last."""
    match node:
        case nodes.Or(left=left, right=right):
            return [*_choices(left), *_choices(right)]
        case nodes.Filter(name="default", node=nodes.Expr() as left, args=args):
            return [*_choices(left), *(_choices(args[0]) if args else [nodes.Const("")])]
    return [node]


def _conditions(node: nodes.Expr) -> list[nodes.Expr]:
    """The values of which `and` takes the first that does not hold, or the last."""
    if isinstance(node, nodes.And):
        return [*_conditions(node.left), *_conditions(node.right)]
    return [node]


def _applied(function: Callable[..., Any], *terms: _Term) -> _Term:
    """A function of known values is known."""
    if all(isinstance(term, _Known) for term in terms):
        return _Known(function(*[term.of({}) for term in terms]))
    return _Computed(function, terms)


def _compared(operators: Sequence[str], *values: Any) -> bool:
    """As Python compares: each with the next, and all must hold."""
    for operator, one, other in zip(operators, values, values[1:], strict=False):
        match operator:
            case "eq" | "ne":
                holds = (one == other) is (operator == "eq")
            case _:
                holds = (one in other) is (operator == "in")
        if not holds:
            return False
    return True


def _bound(target: nodes.Node, item: Any) -> dict[str, Any]:
    """What each name of `target` stands for in the round of `item`."""
    names = target_names(target)
    if isinstance(target, nodes.Name):
        return {names[0]: item}
    return dict(zip(names, item, strict=True))
