"""Loads checkpoints with transformers and refuses incomplete ones.

`weights.resolve_model` has already checked the headers of the files. For architectures that it does not
support, transformers itself reports missing tensors, but it only warns and fills them with random numbers.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import BufferingHandler
from pathlib import Path
from typing import Any

from ssl4rl_bench.core.errors import ModelError
from ssl4rl_bench.engines.checkpoints.tensors import list_names

_REPORT_REFERENCE = "the above report"
"""Marks errors of transformers whose message only refers to a logged report."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def load_network(folder: Path, cls: Any = None, **how: Any) -> Any:
    """Loads a checkpoint as a transformers model, only from local safetensors files.

    Args:
        cls: the class of the model; None lets transformers choose an image-text-to-text class.
        how: further keyword arguments of `from_pretrained`, such as dtype.

    Raises:
        ModelError: if tensors are missing or have the wrong shape; the message names them.
        Exception: any other exception of transformers, with the load report if the message only refers to it.
    """
    from transformers import AutoModelForImageTextToText

    with _report_in_message():
        network, info = (cls or AutoModelForImageTextToText).from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported below with their names
            **how,
        )
    problems = problems_of(info)
    if problems:
        raise ModelError(
            f"{folder} is incomplete: {problems}, so transformers would use random numbers instead; save it again "
            "with save_pretrained, or copy or download it again"
        )
    return network


def problems_of(info: dict[str, Any]) -> str:
    """Summarizes the problems in transformers' loading information; empty if there are none."""
    parts = []
    if missing := sorted(map(str, info.get("missing_keys") or ())):
        parts.append(f"{len(missing)} tensors are missing ({list_names(missing)})")
    if other := sorted(info.get("mismatched_keys") or ()):
        name, is_shape, wanted = other[0]
        parts.append(
            f"{len(other)} tensors have another shape than config.json asks for (first {list_names([str(name)])}: "
            f"{list(is_shape)}, not {list(wanted)})"
        )
    if errors := list(info.get("error_msgs") or ()):
        parts.append(" ".join(str(errors[0]).split()))
    return " and ".join(parts)


@contextmanager
def _report_in_message() -> Iterator[None]:
    """Replaces an error that only refers to transformers' load report by that report. Nothing is printed."""
    logger = logging.getLogger("transformers.modeling_utils")
    before, handler = (logger.level, logger.propagate), BufferingHandler(sys.maxsize)
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    try:
        yield
    except RuntimeError as error:
        if _REPORT_REFERENCE not in str(error) or not handler.buffer:
            raise
        report = _COLOUR.sub("", " ".join(record.getMessage() for record in handler.buffer))
        raise RuntimeError(" ".join(report.split())[:1000]) from error
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]
