"""A task of lmms-eval as lmms-eval makes it (`ConfigurableMessagesTask`): documents, messages, scores, aggregates.

Importing this module imports lmms-eval, and with it torch and transformers, which takes ten seconds.
Only the source of the documents is replaced (`documents`), and two retries are left out: lmms-eval repeats a
failing download or `process_results` four times, two seconds apart.
"""

from __future__ import annotations

import contextlib
import inspect
import io
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from ssl4rl_bench.core.errors import DataError, UsageError
from ssl4rl_bench.core.neutral import clean
from ssl4rl_bench.core.scratch import ScratchFolder
from ssl4rl_bench.task.lmms.documents import Documents
from ssl4rl_bench.task.lmms.generation import cut, stops
from ssl4rl_bench.task.lmms.registry_files import Registered
from ssl4rl_bench.task.lmms.scope import check_functions, is_submission, refusal

REASONING_TAGS = '[["<think>", "</think>"], ["<analysis>", "</analysis>"]]'
"""The default of lmms-eval's option `--reasoning_tags` (`lmms_eval/__main__.py`): text between them is removed."""


@contextlib.contextmanager
def quiet(*, prints: bool = False) -> Iterator[None]:
    """Context manager: the code of lmms-eval logs nothing.

    Args:
        prints: whether it also prints (pycocotools does). The standard output of all threads is then dropped.
    """
    from loguru import logger

    logger.disable("")
    try:
        with contextlib.redirect_stdout(io.StringIO()) if prints else contextlib.nullcontext():
            yield
    finally:
        logger.enable("")


class Configured:
    """A task of lmms-eval with its documents.

    Args:
        registered: the file of the task.
        documents: the documents that it asks about.

    Raises:
        UsageError: the task is not supported (`scope`), or its functions cannot be imported.
        DataError: the documents are not in the form that the task expects.
    """

    def __init__(self, registered: Registered, documents: Documents) -> None:
        self.name = registered.name
        with quiet(prints=True):
            config = self._config(registered)
        self._until = stops(registered.config.get("generation_kwargs") or {})
        check_functions(self.name, self._functions(config))
        try:
            with quiet(prints=True):
                self._task = _task(config, documents)
        except Exception as error:  # code of the task, on documents of the user
            raise DataError(
                f"{documents.name} does not have the columns that lmms:{self.name} expects "
                f"({_shown(error)}): give data in the form of {registered.config.get('dataset_path')}"
            ) from None

    def _config(self, registered: Registered) -> dict[str, Any]:
        from lmms_eval.utils import load_yaml_config

        try:
            config: dict[str, Any] = load_yaml_config(str(registered.path), mode="full")
        except Exception as error:  # importing the module of a task may raise anything
            raise UsageError(
                f"lmms:{self.name} cannot be imported from lmms-eval ({_shown(error)})"
            ) from None
        return config

    @staticmethod
    def _functions(config: Mapping[str, Any]) -> dict[str, Any]:
        named = ("doc_to_visual", "doc_to_messages", "doc_to_text", "process_docs", "process_results")
        functions = {key: config[key] for key in named if callable(config.get(key))}
        metrics = config.get("metric_list") or ()
        return functions | {
            f"aggregation of {one['metric']}": one["aggregation"]
            for one in metrics
            if callable(one.get("aggregation"))
        }

    @cached_property
    def docs(self) -> Any:
        """The documents, a `datasets.Dataset`."""
        return self._task.eval_docs

    @cached_property
    def plain_docs(self) -> Any:
        """The documents without images, unless the task scores with them; scoring gets these, as in lmms-eval."""
        return self._task.eval_docs_no_media

    @property
    def metrics(self) -> dict[str, Any]:
        """The aggregation of each metric with a number, in the order of the file."""
        known = dict(self._task.aggregation())
        return {name: function for name, function in known.items() if not is_submission(name)}

    def higher_is_better(self, metric: str) -> bool:
        """Returns whether a higher value of a metric is better."""
        return bool(self._task.higher_is_better().get(metric, True))

    def messages(self, doc: Mapping[str, Any], number: int) -> list[dict[str, Any]]:
        """Returns the chat messages of a document, with decoded images."""
        with self._calling("doc_to_messages", number):
            messages: list[dict[str, Any]] = self._task.doc_to_messages(doc)
        if not isinstance(messages, list):
            raise refusal(self.name, "it gives no chat messages")
        return messages

    def target(self, doc: Mapping[str, Any], number: int) -> Any:
        """Returns the right answer of a document, in any form that the task has."""
        with self._calling("doc_to_target", number):
            return self._task.doc_to_target(doc)

    def read(self, doc: Mapping[str, Any], text: str) -> str | list[str]:
        """Applies what lmms-eval does to a reply before it is scored: stops, filters, and reasoning tags."""
        from lmms_eval.api.reasoning import parse_reasoning_tags_config, strip_reasoning_tags

        replies: Any = [[cut(text, self._until)]]
        for step in self._task._filters[0].filters:
            replies = list(step.apply(replies, [doc]))
        (reply,) = replies
        tags = parse_reasoning_tags_config(
            cli_value=REASONING_TAGS, task_value=self._task.config.reasoning_tags
        )
        if tags is None:
            return reply  # type: ignore[no-any-return]
        if isinstance(reply, list):
            return [strip_reasoning_tags(one, tags) for one in reply]
        return str(strip_reasoning_tags(reply, tags))

    def score(self, number: int, text: str) -> dict[str, Any]:
        """Returns the result of `process_results` for a reply: a value or record per metric."""
        from lmms_eval.api.task import ConfigurableTask

        doc = self.plain_docs[number]
        with self._calling("process_results", number):
            reply = self.read(doc, text)
            result: dict[str, Any] = ConfigurableTask.process_results.__wrapped__(self._task, doc, [reply])
        return result

    def aggregate(self, metric: str, items: Sequence[Any]) -> Any:
        """Returns the value that lmms-eval prints for a metric, from the results of its documents in order."""
        function = self.metrics[metric]
        with ScratchFolder("lmms") as folder, quiet(prints=True):
            given = {"args": Namespace(output_path=folder)}
            takes = "args" in inspect.signature(function).parameters
            try:
                return function(list(items), **(given if takes else {}))
            except Exception as error:  # code of the task
                raise DataError(
                    f"lmms:{self.name}: the aggregation of {metric} fails on {len(items)} replies ({_shown(error)}); "
                    "the replies are kept: leave the task out, or report it to lmms-eval"
                ) from None

    @contextlib.contextmanager
    def _calling(self, function: str, number: int) -> Iterator[None]:
        try:
            with quiet():
                yield
        except Exception as error:  # code of the task
            raise DataError(
                f"lmms:{self.name}: {function} fails on document {number} ({_shown(error)}); leave the task out, "
                "or report it to lmms-eval"
            ) from None


def _task(config: dict[str, Any], documents: Documents) -> Any:
    """Makes lmms-eval's task of a configuration and of documents that are already there."""
    import datasets
    import lmms_eval.api.metrics  # noqa: F401  # registers the metrics that tasks name, such as exact_match
    from lmms_eval.api.task import ConfigurableMessagesTask

    split = config.get("test_split") or config.get("validation_split")

    class WithDocuments(ConfigurableMessagesTask):  # type: ignore[misc]  # lmms-eval has no types
        def download(self, dataset_kwargs: Any = None) -> None:
            table = documents.table
            if self.config.process_docs is not None:
                table = self.config.process_docs(table)
            pictures = [name for name, kind in table.features.items() if _is_media(kind)]
            plain = table if self.config.process_results_use_image else table.remove_columns(pictures)
            self.dataset = datasets.DatasetDict({split: table})
            self.dataset_no_image = datasets.DatasetDict({split: plain})

    return WithDocuments(config=config)


def _is_media(kind: Any) -> bool:
    import datasets

    return isinstance(getattr(kind, "feature", kind), datasets.Image | datasets.Audio)


def _shown(error: BaseException) -> str:
    return clean(f"{type(error).__name__}: {error}", 200)
