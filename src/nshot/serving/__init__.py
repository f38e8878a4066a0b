"""Saved models behind HTTP: an application of FastAPI, one file for each group of routes, and a server for it."""

from __future__ import annotations

from nshot.serving.running import require_possible, serve
from nshot.serving.served import Served, served

__all__ = ["Served", "require_possible", "serve", "served"]
