"""Deliveries: planning, rendering, transports, journal, tracking, bounces, sending identities."""
