"""Rules of the house that are read off the code: who may see every tenant, who commits, who moves a state."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent / "tcma"

# Each place where the service becomes the role `system`. A new one is a decision: add it here with care.
ELEVATED = {
    "accounts/api.py": 2,
    "accounts/bootstrap.py": 2,
    "accounts/invitations.py": 7,
    "accounts/keys.py": 2,
    "accounts/organizations.py": 4,
    "accounts/queries.py": 1,
    "accounts/services.py": 6,
    "accounts/sign_in.py": 1,
    "assets/showing.py": 1,
    "audience/counts.py": 1,
    "audience/imports.py": 1,
    "audience/leftovers.py": 2,
    "delivery/claiming.py": 1,
    "delivery/deliverability.py": 1,
    "delivery/metrics.py": 1,
    "delivery/preferences.py": 2,
    "delivery/reactions.py": 1,
    "delivery/recovery.py": 3,
    "delivery/returns.py": 6,
    "delivery/returns_health.py": 2,
    "delivery/returns_metrics.py": 1,
    "delivery/returns_policy.py": 1,
    "delivery/senders.py": 1,
    "delivery/senders_checking.py": 2,
    "delivery/tracking.py": 4,
    "demo_cast.py": 7,
    "demo_clockwork.py": 1,
    "idempotency.py": 1,
    "leads/services.py": 2,
    "mdf/claims.py": 1,
    "mdf/expiry.py": 2,
    "mdf/ledger.py": 6,
    "mdf/reconcile.py": 1,
    "mdf/statement.py": 1,
    "outbox.py": 3,
    "service_tasks.py": 1,
}
# Edges that commit themselves: the unit of work; sign-in, where Flask-Security commits the session too; and pages of
# strangers, where a counted try must stay counted though the rest is refused.
COMMITS = {"db.py", "accounts/sign_in.py", "accounts/joining_pages.py"}


def _trees() -> list[tuple[str, ast.Module]]:
    return [(str(path.relative_to(ROOT)), ast.parse(path.read_text())) for path in sorted(ROOT.rglob("*.py"))]


def _called(node: ast.AST) -> str:
    if isinstance(node, ast.Call):
        return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    return ""


def test_the_places_that_see_every_tenant_are_listed() -> None:
    found = Counter(name for name, tree in _trees() for node in ast.walk(tree) if _called(node) == "elevated")
    assert dict(found) == ELEVATED


def test_only_the_edge_commits() -> None:
    found = {name for name, tree in _trees() for node in ast.walk(tree) if _called(node) == "commit"}
    assert found == COMMITS


def test_only_verb_methods_assign_a_status() -> None:
    offenders = []
    for name, tree in _trees():
        for node in ast.walk(tree):
            targets = node.targets if isinstance(node, ast.Assign) else []
            if any(isinstance(one, ast.Attribute) and one.attr == "status" for one in targets):
                offenders.append(name)
    assert offenders == ["machine.py"]


# Locks whose rows the session cannot have read before: the first statement of a session, or ids behind a variable.
LOCKS_OF_NEW_ROWS = {
    "audience/imports.py:_list_still_there", "outbox.py:_claim",
}  # fmt: skip


def _locks_columns_only(call: ast.Call) -> bool:
    """Whether what is locked is read as plain columns: `select(Fund.id)….with_for_update()`."""
    inner: ast.expr = call
    while isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute):
        inner = inner.func.value
    return (
        isinstance(inner, ast.Call)
        and _called(inner) == "select"
        and all(isinstance(one, ast.Attribute) for one in inner.args)
    )


def test_who_locks_a_row_sees_it_as_it_is_by_then() -> None:
    """The session keeps rows that it has read: without `populate_existing` a lock hands out what was there before."""
    offenders = set()
    for name, tree in _trees():
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            source = ast.unparse(function)
            if "with_for_update" not in source or "populate_existing" in source:
                continue
            locks = [node for node in ast.walk(function) if isinstance(node, ast.Call) and _called(node) == "with_for_update"]
            if not locks or not all(_locks_columns_only(one) for one in locks):
                offenders.add(f"{name}:{function.name}")
    assert offenders == LOCKS_OF_NEW_ROWS
