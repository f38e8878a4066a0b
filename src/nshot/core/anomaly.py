"""What people call an anomaly, and what they call a normal row."""

from __future__ import annotations

ANOMALOUS = frozenset({"1", "1.0", "true", "yes", "anomaly", "anomalous", "abnormal", "outlier"})
NORMAL = frozenset({"0", "0.0", "-1", "false", "no", "normal", "inlier", "ok"})


def names_anomaly(word: str) -> bool | None:
    """Return whether a label names an anomaly, or None where the word says neither."""
    plain = word.strip().lower()
    if plain in ANOMALOUS:
        return True
    return False if plain in NORMAL else None
