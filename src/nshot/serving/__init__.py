"""Saved models behind HTTP: an application of FastAPI, one file for each group of routes, and a server for it."""

from __future__ import annotations

from nshot.serving.limits import InputLimits, Limits
from nshot.serving.offers import Offer
from nshot.serving.running import require_possible, serve
from nshot.serving.served import Served, served

__all__ = ["InputLimits", "Limits", "Offer", "Served", "require_possible", "serve", "served"]
