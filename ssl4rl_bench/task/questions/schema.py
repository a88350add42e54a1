"""The schema of a benchmark's rows, as `metadata.params` of its task file declares it.

`tasks/README.md` documents the keys, and `read_schema` checks them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ssl4rl_bench.core.errors import UsageError, did_you_mean
from ssl4rl_bench.task.answers import check_target
from ssl4rl_bench.task.tables.columns import Columns, normal

CHOICE = "choice"
LEFT_OUT = "left_out"
KINDS = (CHOICE, "number", "yes_no", "text")
"""The kinds of answers: a letter, or a kind that `task.answers` scores."""
HEADLINES = ("circular_micro", "row_micro", "vanilla0_micro", "row_l3_macro")
"""The aggregations (`score.aggregate.AGGREGATIONS`) of which one is a benchmark's published number."""
OPTIONS = "options"
"""In an answer rule, `by: options` asks whether the row has options: "present" or "absent"."""
FIELDS = ("index", "question", "hint", "answer", "letter", "unit", "decimals")
"""The fields of a row, each of which is one column."""
LEVELS = ("l1", "l2", "l3")
ALL = "all"
"""The category of all rows in a level that the schema does not declare; an undeclared l3 is the row's l2."""
_KEYS = (
    "levels",
    "images",
    "fields",
    "options",
    "answer",
    "tolerance",
    "rows",
    "group_by",
    "copies",
    "headline",
)


@dataclass(frozen=True, slots=True)
class AnswerRule:
    """Which kind of answer a row has: always the same one, or one that depends on a column."""

    kinds: tuple[str, ...]
    """Of `KINDS` and `LEFT_OUT`; the first one that the row's answer is of. Empty if a column decides."""
    by: str = ""
    """The column, or `OPTIONS`."""
    cases: Mapping[str, AnswerRule] = field(default_factory=dict)
    """The rule for each value of the column."""

    def all_kinds(self) -> Iterator[str]:
        """Yields the kinds that can occur, except `LEFT_OUT`."""
        yield from (kind for kind in self.kinds if kind != LEFT_OUT)
        for case in self.cases.values():
            yield from case.all_kinds()

    def columns(self) -> Iterator[str]:
        """Yields the columns that decide."""
        if self.by and self.by != OPTIONS:
            yield self.by
        for case in self.cases.values():
            yield from case.columns()


@dataclass(frozen=True, slots=True)
class OptionRule:
    """Where the options of a row are, and whether the prompt lists them."""

    source: str = "letters"
    """`letters`: the columns A, B, ...; `list`: a column that holds a list; `text`: a column whose text lists
    them after "Choices:"."""
    column: str = ""
    shown: bool = True
    """False if the question's text or picture shows them, so that the prompt must not repeat them."""


@dataclass(frozen=True, slots=True)
class GroupRule:
    """Which rows are one question, the unit of statistics. Without any field, every row is a question."""

    pairs: int = 0
    """This number of rows that follow each other in the order of `index` are a group."""
    columns: tuple[str, ...] = ()
    """Rows that agree in these columns are a group; `image` means the images themselves."""
    index_parts: tuple[int, ...] = ()
    """Rows that agree in these parts of `index`, which `_` separates, counted from 0, are a group."""
    same: tuple[str, ...] = ()
    """Columns that must not differ inside a group."""
    cycle: str = ""
    """The column that numbers the circular copies of a question."""

    @property
    def by_row(self) -> bool:
        """Whether every row is a group."""
        return not (self.pairs or self.columns or self.index_parts)


@dataclass(frozen=True, slots=True)
class Schema:
    """How the rows of a benchmark are read."""

    levels: Mapping[str, tuple[str, ...]]
    """Level to the columns that may hold it, of which the first one that the data has is read."""
    constants: Mapping[str, str]
    """Level to the name that all rows have in it."""
    fields: Mapping[str, tuple[str, ...]]
    """Field to the columns that may hold it, of which the first one that the data has is read."""
    images: tuple[str, ...]
    options: OptionRule
    answer: AnswerRule
    group: GroupRule
    tolerance: float | None
    """The largest accepted difference of numbers; None for the default of `task.answers`."""
    rows: Mapping[str, tuple[str, ...]]
    """Only rows that have one of these values in this column belong to the task."""
    copies: bool
    """Whether a row's index is `question + copy * 1,000,000`."""
    headline: str
    """The aggregation that the benchmark publishes."""

    def open_kind(self, target: str) -> str | None:
        """Returns the first kind of open answer of the benchmark that a target is of, or None."""
        kinds = (kind for kind in dict.fromkeys(self.answer.all_kinds()) if kind != CHOICE)
        return next((kind for kind in kinds if check_target(kind, target) is None), None)

    @property
    def columns(self) -> Columns:
        """The columns to read."""
        group, names = self.group, [self.options.column, self.group.cycle]
        names += [name for columns in (*self.levels.values(), *self.fields.values()) for name in columns]
        names += [*self.answer.columns(), *self.rows, *group.columns, *group.same]
        images = tuple(map(normal, self.images))
        texts = {normal(name.partition(".")[0]) for name in names if name} - set(images)
        return Columns(texts=tuple(sorted(texts)), images=images, lists=True)


def read_schema(task: str, params: Mapping[str, Any]) -> Schema:
    """Checks the parameters of a task file and returns the schema.

    Args:
        task: the name of the task, for messages.

    Raises:
        UsageError: for an unknown key or a value of the wrong form.
    """
    return _Params(task, params).schema()


class _Params:
    """Reads `metadata.params`; errors name the task and the key."""

    def __init__(self, task: str, params: Mapping[str, Any]) -> None:
        self.task = task
        self.params = params
        self._known("", params, _KEYS)

    def schema(self) -> Schema:
        levels = self._mapping("levels", LEVELS)
        constants = {level: ALL for level in ("l1", "l2") if level not in levels} | {
            level: str(value["value"])
            for level, value in levels.items()
            if isinstance(value, dict) and value.keys() == {"value"}
        }
        fields = self._mapping("fields", FIELDS)
        rows = self._mapping("rows", None)
        tolerance = self.params.get("tolerance")
        if tolerance is not None and not (type(tolerance) in (int, float) and tolerance >= 0):
            raise self._error("tolerance", "a number that is not negative")
        copies = self.params.get("copies", False)
        if not isinstance(copies, bool):
            raise self._error("copies", "true or false")
        headline = self.params.get("headline", HEADLINES[0])
        if headline not in HEADLINES:
            raise self._error("headline", f"one of {', '.join(HEADLINES)}")
        group = self._group(self.params.get("group_by", "index"))
        if copies and not group.by_row:
            raise self._error("copies", "false if group_by names the rows of a question")
        return Schema(
            levels={
                key: self._names(f"levels.{key}", v) for key, v in levels.items() if key not in constants
            },
            constants=constants,
            fields={
                **{name: (name,) for name in ("index", "question", "hint", "answer")},
                **{key: self._names(f"fields.{key}", value) for key, value in fields.items()},
            },
            images=self._names("images", self.params.get("images", ["image"])),
            options=self._options(self.params.get("options", {})),
            answer=self._answer("answer", self.params.get("answer", CHOICE)),
            group=group,
            tolerance=None if tolerance is None else float(tolerance),
            rows={key: self._names(f"rows.{key}", value) for key, value in rows.items()},
            copies=copies,
            headline=headline,
        )

    def _answer(self, path: str, value: Any) -> AnswerRule:
        names = value if isinstance(value, list) else [value]
        if names and all(isinstance(name, str) and name in (*KINDS, LEFT_OUT) for name in names):
            return AnswerRule(tuple(names))
        form = f"{', '.join(KINDS)}, a list of these, or a mapping with `by` and a kind for each value"
        if not isinstance(value, dict) or not isinstance(value.get("by"), str) or len(value) < 2:
            raise self._error(path, form)
        cases = {str(key): self._answer(f"{path}.{key}", case) for key, case in value.items() if key != "by"}
        if value["by"] == OPTIONS and not cases.keys() <= {"present", "absent"}:
            raise self._error(path, "present and absent for `by: options`")
        return AnswerRule((), value["by"], cases)

    def _options(self, value: Any) -> OptionRule:
        if not isinstance(value, dict):
            raise self._error("options", "a mapping with list or text, and shown")
        self._known("options", value, ("list", "text", "shown"))
        sources = [key for key in ("list", "text") if key in value]
        shown = value.get("shown", True)
        if len(sources) > 1 or not isinstance(shown, bool):
            raise self._error("options", "list or text with the name of a column, and shown: true or false")
        if not sources:
            return OptionRule(shown=shown)
        (column,) = self._names(f"options.{sources[0]}", value[sources[0]])[:1]
        return OptionRule(sources[0], column, shown)

    def _group(self, value: Any) -> GroupRule:
        if value == "index":
            return GroupRule()
        if isinstance(value, list):
            value = {"columns": value}
        if not isinstance(value, dict):
            raise self._error("group_by", "index, a list of columns, or a mapping")
        self._known("group_by", value, ("pairs", "columns", "index_parts", "same", "cycle"))
        pairs, parts = value.get("pairs", 0), value.get("index_parts", [])
        if type(pairs) is not int or pairs < 0 or pairs == 1:
            raise self._error("group_by.pairs", "a whole number above 1")
        if not isinstance(parts, list) or not all(type(part) is int and part >= 0 for part in parts):
            raise self._error("group_by.index_parts", "a list of whole numbers")
        rule = GroupRule(
            pairs=pairs,
            columns=self._names("group_by.columns", value.get("columns", []), least=0),
            index_parts=tuple(parts),
            same=self._names("group_by.same", value.get("same", []), least=0),
            cycle=next(iter(self._names("group_by.cycle", value.get("cycle", []), least=0)), ""),
        )
        if rule.by_row or (rule.pairs and (rule.columns or rule.index_parts)):
            raise self._error("group_by", "either pairs, or columns and index_parts")
        return rule

    def _mapping(self, key: str, known: Sequence[str] | None) -> Mapping[str, Any]:
        value = self.params.get(key, {})
        if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
            raise self._error(key, "a mapping")
        if known is not None:
            self._known(key, value, known)
        return value

    def _names(self, path: str, value: Any, *, least: int = 1) -> tuple[str, ...]:
        names = value if isinstance(value, list) else [value]
        if len(names) < least or not all(isinstance(name, str) and name.strip() for name in names):
            raise self._error(path, "a text or a list of texts that are not empty")
        return tuple(names)

    def _known(self, path: str, value: Mapping[str, Any], known: Sequence[str]) -> None:
        for key in value:
            if key not in known:
                where = f"metadata.params.{path}".rstrip(".")
                raise UsageError(
                    f"{self.task} has the unknown key {key} in {where}{did_you_mean(str(key), known) or '.'}"
                )

    def _error(self, path: str, form: str) -> UsageError:
        return UsageError(f"{self.task}: metadata.params.{path} must be {form}.")
