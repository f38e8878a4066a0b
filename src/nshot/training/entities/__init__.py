"""Entities: words, the tags that mark entities on them, and what learns the tags."""
