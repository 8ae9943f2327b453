"""who: organizations, partnerships, members, sign-in, API keys, invitations."""
