"""Every table in one import: for migrations, the tests of tenancy and start-up checks."""

from __future__ import annotations

from sqlalchemy import MetaData

import tcma.accounts.models
import tcma.assets.models
import tcma.audience.models
import tcma.audit
import tcma.campaigns.models
import tcma.delivery.models
import tcma.delivery.models_pacing
import tcma.delivery.models_returns
import tcma.delivery.models_senders
import tcma.insights.models
import tcma.leads.models
import tcma.mdf.ledger_models
import tcma.mdf.models
import tcma.records  # noqa: F401
from tcma.db import Base, Tenancy

metadata: MetaData = Base.metadata


def tenancies() -> dict[str, Tenancy]:
    """The declared tenancy of each table by name; raises AttributeError for a class that declares none."""
    return {mapper.class_.__tablename__: mapper.class_.__tenancy__ for mapper in Base.registry.mappers}
