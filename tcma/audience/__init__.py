"""Whom a partner may write to: contacts, lists, segments, imports, consent and suppression."""
