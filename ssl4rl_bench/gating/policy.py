"""Reads the policy of a gate: one TOML file with the requirements for a new checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ssl4rl_bench.comparison.settings import check_allowed
from ssl4rl_bench.core.config import fill
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.names import full_name, short_name
from ssl4rl_bench.core.parsing import parse_toml
from ssl4rl_bench.score.aggregate import check_aggregation

Verdict = Literal["pass", "fail", "inconclusive"]
RuleKind = Literal["no_worse_than", "not_significantly_worse", "at_least", "better_than"]
ALL_TASKS = "*"
"""The task of a rule for every benchmark of the baseline, or for every probe."""


@dataclass(frozen=True)
class Rule:
    """`[[rule]]`: one requirement, in one or more categories of a task."""

    task: str
    """The name of the task, with or without the prefix, or `ALL_TASKS`."""
    kind: RuleKind
    level: Literal["overall", "l1", "l2", "l3", "probe"] = "overall"
    """The level of the categories, all of which are tested. `probe`: the accuracy of an SSL task."""
    category: str | None = None
    """The only category of the level to test, if given."""
    aggregation: str | None = None
    """The aggregation; by default the one that the benchmark publishes (`expand.concrete_rules` sets it if it is
    not `circular_micro`), or `row_micro` for a probe."""
    margin: float = 0.0
    """In points. `no_worse_than`: the loss that is still acceptable. `better_than`: the required gain."""
    value: float | None = None
    """The floor of `at_least`, in percent."""

    @property
    def how(self) -> str:
        """The aggregation, with the default applied."""
        return self.aggregation or ("row_micro" if self.level == "probe" else "circular_micro")

    @property
    def full_task(self) -> str:
        """The name of the task, with its prefix."""
        return full_name(self.task)

    def __str__(self) -> str:
        words = {
            "no_worse_than": f"at most {self.margin:g} points worse",
            "not_significantly_worse": "not significantly worse",
            "at_least": f"at least {self.value or 0.0:g}%",
            "better_than": f"more than {self.margin:g} points better" if self.margin else "better",
        }
        where = self.category or self.level
        return f"{short_name(self.task)} {where}{self.aggregation_note}: {words[self.kind]}"

    @property
    def aggregation_note(self) -> str:
        """The aggregation in brackets if the policy names one, because rules may differ in nothing else."""
        return f" ({self.aggregation})" if self.aggregation else ""


@dataclass(frozen=True)
class Guards:
    """`[guards]`: limits on values other than accuracies. A limit that is not given is not checked."""

    unread: float | None = None
    """The maximum percentage of replies without an answer, in any task."""
    truncated: float | None = None
    """The maximum percentage of replies that were cut off before an answer."""
    errors: float | None = None
    """The maximum percentage of requests that failed."""
    reply_length: tuple[float, ...] | None = None
    """[least, most]: the mean number of tokens per reply, as a multiple of the baseline's."""
    letters: float | None = None
    """The maximum distance, in points, of the share of any answer from its share in the baseline."""
    image_overlap: int | None = None
    """The maximum number of images of the task that the checkpoint was trained on, from its ssl4rl.json."""


@dataclass(frozen=True)
class Policy:
    """The content of a policy file."""

    rule: tuple[Rule, ...]
    alpha: float = 0.05
    """The probability that a checkpoint as good as the baseline fails, over all rules together."""
    correction: Literal["holm", "bonferroni"] = "holm"
    """The correction of the evidence that fails a rule. Passing always uses Bonferroni's lower bounds."""
    on_inconclusive: Verdict = "inconclusive"
    """The verdict of the gate if its tests are inconclusive."""
    allow: tuple[str, ...] = ()
    """Names of settings in which the runs may differ (`compare --allow`)."""
    left_out: float = 1.0
    """The percentage of a test's questions that may have no value in a run, rounded up to whole questions.
    With more, a pass becomes inconclusive."""
    guards: Guards = field(default_factory=Guards)


def parse_policy(values: Mapping[str, Any], file: str = "policy") -> Policy:
    """Builds a policy from the tables of a TOML file.

    Raises:
        UsageError: an unknown key, with the nearest one; a value of the wrong type or out of range; no rule.
    """
    policy = fill(Policy, values, file)
    if not policy.rule:
        raise UsageError(f"{file}: there is no [[rule]]")
    if not 0.0 < policy.alpha < 0.5:
        raise UsageError(f"{file}: alpha = {policy.alpha:g} is not between 0 and 0.5")
    if not 0.0 <= policy.left_out <= 100.0:
        raise UsageError(f"{file}: left_out = {policy.left_out:g} is not between 0 and 100 percent")
    try:
        check_allowed(policy.allow)
    except UsageError as error:
        raise UsageError(f"{file}: {str(error).replace('--allow', 'allow', 1)}") from None
    for number, rule in enumerate(policy.rule, start=1):
        where = f"{file}: rule {number} ({rule.kind})"
        check_aggregation(rule.how)
        if rule.kind == "no_worse_than" and rule.margin <= 0.0:
            raise UsageError(f"{where} needs margin above 0, in points: the acceptable loss")
        if rule.kind in ("at_least", "not_significantly_worse") and rule.margin:
            raise UsageError(f"{where} has no margin; it is for no_worse_than and better_than")
        if rule.margin < 0.0:
            raise UsageError(f"{where}: margin = {rule.margin:g} is below 0")
        if (rule.value is not None) is not (rule.kind == "at_least"):
            raise UsageError(f"{where}: value, in percent, is for at_least, which needs it")
        if rule.value is not None and not 0.0 < rule.value < 100.0:
            raise UsageError(f"{where}: value = {rule.value:g} is not between 0 and 100 percent")
        if rule.category is not None and rule.level in ("overall", "probe"):
            raise UsageError(f"{where}: a category needs level l1, l2 or l3")
        if rule.category is not None and rule.task == ALL_TASKS:
            raise UsageError(f"{where}: a category needs the name of its task instead of {ALL_TASKS}")
    length = policy.guards.reply_length
    if length is not None and not (len(length) == 2 and 0.0 <= length[0] <= length[1]):
        raise UsageError(f"{file}: guards.reply_length must be [least, most], such as [0.5, 2.0]")
    return policy


def read_policy(path: Path) -> Policy:
    """Reads a policy file.

    Raises:
        UsageError: as `parse_policy`; or the file cannot be read or is not TOML.
    """
    try:
        values = parse_toml(path.read_bytes())
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise UsageError(f"cannot read the policy {path}: {reason}") from None
    except ValueError as error:
        raise UsageError(f"{path} is not a policy: {error}") from None
    return parse_policy(values, path.name)
