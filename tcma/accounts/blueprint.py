"""The one blueprint of the pages of accounts; `routes` lists the modules that fill it."""

from __future__ import annotations

from flask import Blueprint
from werkzeug.wrappers import Response

bp = Blueprint("accounts", __name__, template_folder="templates")

Page = str | Response | tuple[str, int]
