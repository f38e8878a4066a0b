"""What mistakes of a detection cost, as a person says it."""

from __future__ import annotations

from pydantic import Field

from nshot.spec import Spec


class CostOptions(Spec):
    """What mistakes of a detection cost."""

    cost_of_miss: float | None = Field(default=None, gt=0)
    """What an anomaly costs that raises no alarm, beside --cost-of-false-alarm: chooses the score above which a row is
    called an anomaly."""
    cost_of_false_alarm: float = Field(default=1.0, gt=0)
    """What an alarm about a normal row costs."""
    anomaly_share: float | None = Field(default=None, gt=0, lt=1)
    """The share of anomalies where the model is going to be used, such as 0.001; that of the data unless given."""
