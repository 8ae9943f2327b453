"""The template language of MJML and subjects: names, `if`, `for`, a few filters, and nothing else.

Every template is parsed by Jinja2, then each node of its tree must be on the list below. `tcma.campaigns.program` runs
what passes, without Jinja2: a name such as `contact.city` is one flat key whose value is a string, so that a template
reaches no object, calls nothing but the filters here, and has no way to turn a value into a template.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final
from urllib.parse import quote

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.filters import do_title

from tcma.campaigns.vocabulary import SEPARATOR, Dialect, FieldName

MAX_EXPRESSION: Final = 400
MAX_LOOP: Final = 20
MAX_NESTING: Final = 12
MAX_TEXT_CONSTANT: Final = 300


def _default(value: str, fallback: str = "", boolean: bool = True) -> str:
    # A missing value reaches us as "", which Jinja's own filter would let stand.
    return value or fallback


def _truncate(value: object, length: int = 60, end: str = "…") -> str:
    value = str(value)
    if len(value) <= length:
        return value
    cut = value[:length]
    if not value[length].isspace() and " " in cut:
        cut = cut.rsplit(" ", 1)[0]
    return cut.rstrip(" ,;:.-") + end


FILTERS: Final[dict[str, Callable[..., str]]] = {
    "default": _default,
    "upper": lambda value: str(value).upper(),
    "lower": lambda value: str(value).lower(),
    "title": do_title,
    "capitalize": lambda value: str(value).capitalize(),
    "truncate": _truncate,
    "trim": lambda value: str(value).strip(),
}


# Used only in templates that we write ourselves out of an author's.
SERVICE_FILTERS: Final[dict[str, Callable[..., str]]] = {
    "urlpart": lambda value: quote(str(value), safe=""),
    "mailpart": lambda value: quote(str(value), safe="@+"),
    "phonepart": lambda value: "".join(char for char in str(value) if char in "+0123456789"),
}


class Refusal(Exception):
    """A template that the language does not allow. `what` is wrong, `mend` says how to put it right."""

    def __init__(self, what: str, mend: str = "") -> None:
        self.what = what
        self.mend = mend
        super().__init__(f"{what} {mend}".strip())


@dataclass
class Usage:
    """The fields that a template reads, and the one field that it is when it is nothing else."""

    fields: set[FieldName] = field(default_factory=set)
    only: FieldName | None = None


# Reads templates and runs none: `tcma.campaigns.program` does, and escapes.
_READER: Final = Environment(keep_trailing_newline=True, autoescape=True)


def parsed(text: str, *, dialect: Dialect) -> tuple[nodes.Template, frozenset[FieldName]]:
    """The tree of a template that is within the language, and the fields it reads. Raises Refusal."""
    tree = _parse(text)
    usage = Usage()
    _Checker(dialect, usage=usage).check(tree)
    return tree, frozenset(usage.fields)


def inspect(source: str, *, dialect: Dialect, loop_names: Iterable[str] = ()) -> Usage:
    """What one construct (`{{ … }}`, or a `{% … %}` closed for the purpose) reads; raises Refusal."""
    tree = _parse(source)
    usage = Usage()
    names = frozenset(loop_names)
    _Checker(dialect, usage=usage, names=names | {"loop"} if names else names).check(tree)
    if len(tree.body) == 1 and isinstance(tree.body[0], nodes.Output):
        shown = tree.body[0].nodes
        if len(shown) == 1 and isinstance(shown[0], nodes.Getattr):
            usage.only = next(iter(usage.fields), None)
    return usage


def loop_targets(source: str) -> tuple[list[str], int]:
    """The names that the `for` in `source` gives to its items, and how many items there are."""
    loop = next(_parse(source).find_all(nodes.For))
    items = loop.iter.items if isinstance(loop.iter, nodes.List | nodes.Tuple) else []
    return target_names(loop.target), len(items)


def results(source: str) -> tuple[set[FieldName], set[str]]:
    """The fields and texts that `{{ … }}` may come to; those that only decide which are left out."""
    fields: set[FieldName] = set()
    constants: set[str] = set()
    tree = _parse(source)
    waiting = [item for node in tree.body if isinstance(node, nodes.Output) for item in node.nodes]
    while waiting:
        match waiting.pop():
            case nodes.Getattr(node=nodes.Name(name=root), attr=name):
                fields.add((root, name))
            case nodes.Const(value=value):
                constants.add("" if value is None else str(value))
            case nodes.CondExpr(expr1=first, expr2=second):
                waiting += [first] if second is None else [first, second]
            case nodes.And(left=left, right=right) | nodes.Or(left=left, right=right):
                waiting += [left, right]
            case nodes.Filter(name="default", node=nodes.Expr() as inner, args=args):
                waiting += [inner, *args]
            case _:
                raise Refusal("An address cannot be made like this.", "Use one placeholder for it.")
    return fields, constants


def close_match(word: str, known: Iterable[str]) -> str:
    """A sentence that names the nearest known word, or nothing."""
    near = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"Did you mean {near[0]}?" if near else ""


def _parse(text: str) -> nodes.Template:
    try:
        return _READER.parse(text)
    except TemplateSyntaxError:
        raise Refusal("This placeholder cannot be read.", _FORM) from None
    except (RecursionError, MemoryError, ValueError, OverflowError):
        # ValueError: an integer literal of thousands of digits.
        raise Refusal("This placeholder is too complicated.", "Make it shorter.") from None


_FORM: Final = "Write it like {{ contact.first_name }}, {% if slot.note %} … {% endif %}."


class _Checker:
    """Walks a tree and refuses every node that is not on the list."""

    def __init__(self, dialect: Dialect, *, usage: Usage, names: frozenset[str] = frozenset()) -> None:
        self.dialect = dialect
        self.usage = usage
        self.names = names

    def check(self, tree: nodes.Template) -> None:
        """Raise Refusal for the first thing that the language does not have."""
        for node in tree.body:
            self._statement(node, depth=0, rounds=1)

    def _statement(self, node: nodes.Node, *, depth: int, rounds: int) -> None:
        if depth > MAX_NESTING:
            raise Refusal("Blocks are nested too deeply.", f"Nest at most {MAX_NESTING}.")
        if isinstance(node, nodes.Output):
            for item in node.nodes:
                if not isinstance(item, nodes.TemplateData):
                    self._expression(item)
        elif isinstance(node, nodes.If):
            self._expression(node.test)
            for child in [*node.body, *node.elif_, *node.else_]:
                self._statement(child, depth=depth + 1, rounds=rounds)
        elif isinstance(node, nodes.For):
            self._loop(node, depth=depth, rounds=rounds)
        else:
            raise Refusal(f"{{% {_word(node)} %}} is not part of the template language.", "Use if or for.")

    def _loop(self, node: nodes.For, *, depth: int, rounds: int) -> None:
        if node.recursive or node.test is not None or node.else_:
            raise Refusal("This for is too clever.", 'Write it like {% for step in ["One", "Two"] %}.')
        if not isinstance(node.iter, (nodes.List, nodes.Tuple)):
            raise Refusal("A for runs only over a list written out.", 'Write {% for step in ["One", "Two"] %}.')
        items = node.iter.items
        rounds *= max(1, len(items))
        if len(items) > MAX_LOOP or rounds > MAX_LOOP:
            raise Refusal("This for goes round too often.", f"Use at most {MAX_LOOP} items.")
        targets = target_names(node.target)
        for item in items:
            self._constant(item)
            if isinstance(node.target, nodes.Tuple) and len(getattr(item, "items", ())) != len(targets):
                mend = f'Give each item {len(targets)} of them, like ("One", "Two").'
                raise Refusal("An item of this for has more or fewer values than it has names.", mend)
        for name in targets:
            if name in self.dialect.roots or name == "loop" or SEPARATOR in name or name in self.names:
                raise Refusal(f"The name {name} is taken.", "Call the item of the for something else.")
        inner = _Checker(self.dialect, usage=self.usage, names=self.names | {*targets, "loop"})
        for child in node.body:
            inner._statement(child, depth=depth + 1, rounds=rounds)

    def _constant(self, node: nodes.Node) -> None:
        if isinstance(node, nodes.Tuple | nodes.List) and len(node.items) <= 6:
            for item in node.items:
                self._literal(item)
        else:
            self._literal(node)

    def _literal(self, node: nodes.Node) -> None:
        if not isinstance(node, nodes.Const) or not isinstance(node.value, str | int | float | None):
            raise Refusal("A list may hold only texts and numbers.", 'Write it like ["One", "Two"].')
        if isinstance(node.value, str) and len(node.value) > MAX_TEXT_CONSTANT:
            raise Refusal("A text inside a placeholder is too long.", "Write long texts outside of it.")
        if isinstance(node.value, int | float) and abs(node.value) > 1_000_000_000:
            raise Refusal("A number inside a placeholder is too large.", "Write it outside as text.")

    def _expression(self, node: nodes.Node) -> None:
        match node:
            case nodes.Const():
                self._literal(node)
            case nodes.Name():
                self._name(node.name)
            case nodes.Getattr(node=nodes.Name(name=root)):
                self._field(root, node.attr)
            case nodes.Filter():
                self._filter(node)
            case nodes.CondExpr():
                for part in (node.test, node.expr1, node.expr2 or nodes.Const("")):
                    self._expression(part)
            case nodes.And() | nodes.Or():
                self._expression(node.left)
                self._expression(node.right)
            case nodes.Not():
                self._expression(node.node)
            case nodes.Compare():
                self._comparison(node)
            case _:
                raise _refused(node)

    def _comparison(self, node: nodes.Compare) -> None:
        self._expression(node.expr)
        for operand in node.ops:
            if operand.op in ("in", "notin") and isinstance(operand.expr, nodes.List | nodes.Tuple):
                if len(operand.expr.items) > MAX_LOOP:
                    raise Refusal("This list is too long.", f"Use at most {MAX_LOOP} items.")
                for item in operand.expr.items:
                    self._literal(item)
            elif operand.op in ("eq", "ne"):
                self._expression(operand.expr)
            else:
                raise Refusal("Only ==, != and in [...] compare.", 'Write it like {% if slot.tone == "warm" %}.')

    def _name(self, name: str) -> None:
        if name in self.names and name != "loop":
            return
        if name in self.dialect.roots:
            some = sorted(self.dialect.roots[name] or ("name",))[0]
            raise Refusal(f"{name} alone says nothing.", f"Name one of its fields, such as {name}.{some}.")
        fields = {one: f"{root}.{one}" for root, known in self.dialect.roots.items() for one in known or ()}
        near = get_close_matches(name, list(fields), n=1, cutoff=0.6)
        mend = f"Did you mean {fields[near[0]]}?" if near else f"Known are {_listed(self.dialect.roots)}."
        raise Refusal(f"There is no {name}.", mend)

    def _field(self, root: str, name: str) -> None:
        if root == "loop" and "loop" in self.names:
            if name not in ("index", "first", "last"):
                raise Refusal(f"There is no loop.{name}.", "Use loop.index, loop.first or loop.last.")
            return
        if root not in self.dialect.roots:
            mend = close_match(root, self.dialect.roots) or f"Known are {_listed(self.dialect.roots)}."
            raise Refusal(f"There is no {root}.{name}.", mend)
        known = self.dialect.roots[root]
        if known is None:
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name) or SEPARATOR in name:
                raise Refusal(f"{root}.{name} is not a name.", "Use small letters, digits and single _.")
        elif name not in known:
            thing = "This campaign has no slot" if root == "slot" else f"{root} has no field"
            mend = close_match(name, known) or (
                f"Known are {_listed(known)}." if known else "Add the slot, or write the text here."
            )
            raise Refusal(f"{thing} {name}.", mend)
        self.usage.fields.add((root, name))

    def _filter(self, node: nodes.Filter) -> None:
        if self.dialect.is_ours and node.name in SERVICE_FILTERS and node.node is not None and not node.args:
            self._expression(node.node)
            return
        if node.name not in FILTERS:
            mend = close_match(node.name, FILTERS) or f"Known are {_listed(FILTERS)}."
            raise Refusal(f"There is no filter {node.name}.", mend)
        if node.node is None or node.dyn_args or node.dyn_kwargs:
            raise Refusal(f"The filter {node.name} is used in a way that is not allowed.", _FORM)
        inner = _Checker(self.dialect, usage=Usage(), names=self.names)
        inner._expression(node.node)
        if node.name != "default" and inner.usage.fields & self.dialect.blocks:
            raise Refusal(f"Formatted text cannot pass through {node.name}.", f"Leave out |{node.name}.")
        self.usage.fields |= inner.usage.fields
        arguments = [*node.args, *(pair.value for pair in node.kwargs)]
        if node.name == "default" and len(node.args) == 1 and not node.kwargs:
            self._expression(node.args[0])
            return
        limits = {"default": 0, "truncate": 2}
        names = {pair.key for pair in node.kwargs}
        if len(arguments) > limits.get(node.name, 0) or names - {"length", "end"}:
            raise Refusal(f"The filter {node.name} has too much in its brackets.", "Leave some of it out.")
        for argument in arguments:
            self._literal(argument)
        if node.name == "truncate":
            _check_truncate(node)


def _check_truncate(node: nodes.Filter) -> None:
    given = dict(zip(("length", "end"), node.args, strict=False)) | {p.key: p.value for p in node.kwargs}
    length, end = given.get("length", nodes.Const(60)), given.get("end", nodes.Const(""))
    if len(given) < len(node.args) + len(node.kwargs):
        raise Refusal("truncate is told the same thing twice.", "Write it like |truncate(40).")
    number = length.value if isinstance(length, nodes.Const) else None
    if type(number) is not int or not 1 <= number <= 1000:
        raise Refusal("truncate needs a whole number from 1 to 1000.", "Write it like |truncate(40).")
    if not isinstance(end, nodes.Const) or not isinstance(end.value, str) or len(node.args) + len(node.kwargs) > 2:
        raise Refusal("truncate ends with a text.", 'Write it like |truncate(40, "…").')


def target_names(target: nodes.Node) -> list[str]:
    """The names that a `for` gives to the values of an item; raises Refusal for any other target."""
    if isinstance(target, nodes.Name):
        return [target.name]
    if isinstance(target, nodes.Tuple) and all(isinstance(item, nodes.Name) for item in target.items):
        return [item.name for item in target.items if isinstance(item, nodes.Name)]
    raise Refusal("This for gives its items no plain name.", 'Write {% for step in ["One", "Two"] %}.')


def _refused(node: nodes.Node) -> Refusal:
    match node:
        case nodes.Call():
            return Refusal("A placeholder cannot call anything.", "Leave out the round brackets.")
        case nodes.Getattr():
            return Refusal("A placeholder has one dot only.", "Write it like {{ contact.city }}.")
        case nodes.Getitem():
            return Refusal("Square brackets do not work here.", "Write it with a dot, like {{ slot.headline }}.")
        case nodes.Test():
            return Refusal("Tests with is are not part of the language.", "Write {% if contact.city %}.")
        case nodes.Concat() | nodes.BinExpr() | nodes.UnaryExpr():
            return Refusal("A placeholder cannot calculate.", "Put the placeholders one after the other.")
    return Refusal("This is not part of the template language.", _FORM)


def _word(node: nodes.Node) -> str:
    return type(node).__name__.lower()


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = " …" if len(ordered) > 12 else ""
    return ", ".join(ordered[:12]) + more
