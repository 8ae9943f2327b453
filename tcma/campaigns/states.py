"""States of campaigns and launches."""

from __future__ import annotations

from enum import StrEnum


class CampaignStatus(StrEnum):
    DRAFT = "draft"
    PUBLISHED = "published"
    RECALLED = "recalled"
    ARCHIVED = "archived"


CAMPAIGN_MOVES = {
    CampaignStatus.DRAFT: frozenset({CampaignStatus.PUBLISHED, CampaignStatus.ARCHIVED}),
    CampaignStatus.PUBLISHED: frozenset({CampaignStatus.PUBLISHED, CampaignStatus.RECALLED, CampaignStatus.ARCHIVED}),
    CampaignStatus.RECALLED: frozenset({CampaignStatus.PUBLISHED, CampaignStatus.ARCHIVED}),
    CampaignStatus.ARCHIVED: frozenset({CampaignStatus.DRAFT}),
}


class TouchKind(StrEnum):
    EMAIL = "email"
    LANDING_PAGE = "landing_page"


class LaunchStatus(StrEnum):
    DRAFT = "draft"
    SCHEDULED = "scheduled"
    PLANNING = "planning"
    SENDING = "sending"
    PAUSED = "paused"
    FINISHED = "finished"
    CANCELLED = "cancelled"


LAUNCH_MOVES = {
    LaunchStatus.DRAFT: frozenset({LaunchStatus.SCHEDULED, LaunchStatus.PLANNING, LaunchStatus.CANCELLED}),
    LaunchStatus.SCHEDULED: frozenset({LaunchStatus.DRAFT, LaunchStatus.PLANNING, LaunchStatus.CANCELLED}),
    LaunchStatus.PLANNING: frozenset({LaunchStatus.SENDING, LaunchStatus.CANCELLED}),
    LaunchStatus.SENDING: frozenset({LaunchStatus.PAUSED, LaunchStatus.FINISHED, LaunchStatus.CANCELLED}),
    LaunchStatus.PAUSED: frozenset({LaunchStatus.SENDING, LaunchStatus.FINISHED, LaunchStatus.CANCELLED}),
    # Back to sending where the partner has unknown or failed deliveries sent again.
    LaunchStatus.FINISHED: frozenset({LaunchStatus.SENDING}),
    LaunchStatus.CANCELLED: frozenset(),
}
