"""Data sets of the Hugging Face hub, through `datasets`. None of their code is run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ssl4rl_bench.errors import DataError, MissingDependency


def hub_rows(
    dataset: str, *, name: str | None = None, split: str, revision: str | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of one split, each with where it stands; images stay encoded.

    Args:
        dataset: Hub id, "owner/name".
        name: The data set's configuration.
        revision: Branch or commit.

    Raises:
        MissingDependency: without the `datasets` package.
        DataError: if the data set cannot be had.
    """
    try:
        import datasets
    except ImportError:
        raise MissingDependency(
            f"Reading {dataset} from the hub needs the datasets package: pip install 'ssl4rl-bench[hub]'"
        ) from None
    try:
        table = datasets.load_dataset(dataset, name, split=split, revision=revision)
    except (OSError, ValueError, RuntimeError) as error:  # what datasets and its HTTP client raise, all told
        reason = str(error).strip().split("\n")[0].rstrip(".")[:200]
        raise DataError(
            f"{dataset} ({split}) cannot be had from the hub ({type(error).__name__}: {reason}): "
            "check the name and the network, or point --data at a TSV or parquet file."
        ) from None
    for number, row in enumerate(encoded(table), start=1):
        yield f"row {number}", row


def encoded(table: Any) -> Any:
    """The same `datasets.Dataset` with its images as bytes instead of decoded pictures."""
    import datasets

    for column, feature in table.features.items():
        if isinstance(feature, datasets.Image):
            table = table.cast_column(column, datasets.Image(decode=False))
    return table
