"""What an operator asks of a running instance over the API."""

# mypy: disallow-untyped-decorators=False
from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import g
from flask_smorest import Blueprint
from marshmallow import Schema, fields

import tcma
from tcma.access import Permission
from tcma.config import settings

blp = Blueprint("api_service", __name__, description="The instance itself, for operators")


class ServiceOut(Schema):
    """`mail` is mailbox, local or remote: whether mail leaves this machine."""

    version = fields.String()
    mail = fields.String()
    tracking_url = fields.String()
    public_url = fields.String()


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine by name or address."""
    if host in ("localhost", ""):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


@blp.get("/service")
@blp.response(200, ServiceOut)
def read_service() -> dict[str, str]:
    """Version, origins, and where mail goes."""
    g.actor.require(Permission.SERVICE_OPERATE)
    conf = settings()
    local = is_loopback(urlsplit(conf.mail_url).hostname or "") and not conf.ses_region
    mail = "mailbox" if not conf.smtp_url and not conf.ses_region else "local" if local else "remote"
    return {
        "version": tcma.__version__,
        "mail": mail,
        "tracking_url": conf.tracking_origin,
        "public_url": conf.public_origin,
    }
