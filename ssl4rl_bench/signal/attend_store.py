"""What was measured on one checkpoint, and its file, so that a repeated command measures nothing twice."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.core.atomic import reporting, write_text
from ssl4rl_bench.core.errors import DataError
from ssl4rl_bench.core.identity import sha256_json
from ssl4rl_bench.core.parsing import parse_json
from ssl4rl_bench.run.rundir import slug_of
from ssl4rl_bench.signal.looked_at import QuestionSet, digest_of
from ssl4rl_bench.signal.margins import Margins

SCHEMA = 1


@dataclass(frozen=True, eq=False)
class Measured:
    """The measurements of one checkpoint."""

    label: str
    fingerprint: str
    engine: str
    """The engine's name and version."""
    margins: Margins
    shares: NDArray[np.float64]
    """The shares that `attention.measure_shares` returns; empty if attention was not measured."""
    shares_index: NDArray[np.intp]
    seconds: float
    """Without loading the checkpoint's files a second time; with the first load of the engine."""


@dataclass(frozen=True, slots=True)
class Store:
    """The file of one checkpoint's measurements."""

    path: Path
    identity: str
    """The digest of everything that can change the measurements."""

    @classmethod
    def of(cls, folder: Path | None, label: str, identity: str) -> Store | None:
        """Returns the store of a checkpoint in a folder, or None without a folder."""
        if folder is None:
            return None
        return cls(folder / "measured" / f"{slug_of(label)}-{identity[:12]}.json", identity)

    def load(self) -> Measured | None:
        """Returns the saved measurements, or None if there are none.

        Raises:
            DataError: the file is damaged.
        """
        if not self.path.exists():
            return None
        with reporting(self.path, "read"):
            data = self.path.read_bytes()
        try:
            value = parse_json(data)
            if value["schema"] != SCHEMA or value["identity"] != self.identity:
                raise ValueError("it is another measurement")
            return _from_json(value)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"cannot use {self.path} ({error}): delete it to measure again") from None

    def save(self, measured: Measured) -> None:
        """Writes the measurements.

        Raises:
            StoreError: the file cannot be written.
        """
        with reporting(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        value = {"schema": SCHEMA, "identity": self.identity, **_to_json(measured)}
        write_text(self.path, json.dumps(value, allow_nan=False) + "\n")


def identity_of(questions: QuestionSet, *settings: str | int | bool | None) -> str:
    """Returns the digest of the questions and of all settings that can change a measurement."""
    return sha256_json([digest_of(questions), *settings])


def _to_json(measured: Measured) -> dict[str, Any]:
    margins = measured.margins
    return {
        "label": measured.label,
        "fingerprint": measured.fingerprint,
        "engine": measured.engine,
        "seconds": measured.seconds,
        "n_texts": margins.n_texts,
        "index": margins.index.tolist(),
        "margins": margins.values.tolist(),
        "is_right": margins.is_right.astype(int).tolist(),
        "shares_index": measured.shares_index.tolist(),
        "shares": measured.shares.tolist(),
    }


def _from_json(value: dict[str, Any]) -> Measured:
    index = np.array(value["index"], np.intp)
    values, is_right = np.array(value["margins"], np.float64), np.array(value["is_right"], bool)
    shares_index = np.array(value["shares_index"], np.intp)
    shares = np.array(value["shares"], np.float64)
    if not len(shares_index):
        shares = np.zeros((0, 2, 2, 0))
    if values.ndim != 2 or values.shape != is_right.shape or len(index) != len(values):
        raise ValueError("its arrays have different lengths")
    if shares.ndim != 4 or len(shares) != len(shares_index) or not np.isfinite(values).all():
        raise ValueError("its arrays have wrong shapes or numbers")
    return Measured(
        label=str(value["label"]),
        fingerprint=str(value["fingerprint"]),
        engine=str(value["engine"]),
        margins=Margins(values, is_right, index, int(value["n_texts"])),
        shares=shares,
        shares_index=shares_index,
        seconds=float(value["seconds"]),
    )
