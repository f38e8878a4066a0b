"""N206: options that were tried out on the rows which the score is measured on."""

from __future__ import annotations

from nshot.core import Check, Severity, counted
from nshot.evaluation.checks.facts import listed
from nshot.evaluation.checks.run_facts import RunAudit

CODE = "N206"
TITLE = "Options were tried out on the test"


def check(runs: RunAudit) -> Check | None:
    """Return the methods of which this study's folder holds tests with other options, and what choosing does.

    Rule: a recorded fact, in which there is no chance: the folder's ledger holds complete runs of the same method and
    backbone with other options, on the same data and with all labels. The gain of choosing the best of k by eye is at
    most the expected maximum of k equally good, independent scores: z_k standard errors, z_k = quantile of
    (k - 0.375) / (k + 0.25) (Blom 1958). Scores of one method's options resemble each other, so that it is less.
    """
    from scipy.special import ndtri

    tried = [candidate for candidate in runs.today if candidate.also_tried]
    if not tried:
        return None
    concerned = next((candidate for candidate in tried if candidate.name == runs.pick), tried[0])
    k = 1 + len(concerned.also_tried)
    error = runs.estimate(concerned).standard_error
    at_most = None if error is None else float(ndtri((k - 0.375) / (k + 0.25))) * error
    raised = "" if at_most is None else f" by up to about {at_most:.3f}, which the printed intervals do not include"
    more = len(tried) - 1
    also = f" So it is with {counted(more, 'other method')}." if more else ""
    return Check(
        code=CODE,
        title=TITLE,
        severity=Severity.ISSUE if concerned.name == runs.pick else Severity.NOTE,
        explanation=f"{concerned.name} was tested on these rows with {counted(k - 1, 'other set')} of options as well "
        f"({listed(concerned.also_tried, 3)}). Keeping the best of {k} by these scores raises its score{raised}.{also}",
        advice="Let the labels choose instead: --also tuned tries options inside the training rows only. Or confirm "
        "the choice on rows that nobody has looked at.",
        count=k,
        details={
            "candidates": {candidate.name: list(candidate.also_tried) for candidate in tried},
            "raised_by_at_most": None if at_most is None else round(at_most, 4),
        },
    )
