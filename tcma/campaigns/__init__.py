"""Say: campaigns, versions, touches, slots, MJML, previews, launches, approval."""
