"""Market development funds: programmes, ledger, requests, claims, evidence, reconciliation and payments."""
