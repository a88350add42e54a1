"""Writes event files of TensorBoard, with the package `tensorboard` alone: neither torch nor tensorflow."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from ssl4rl_bench.reports.dashboards.base import Header, Log, StepRecord


class TensorboardLog:
    """A folder with one event file per opening. TensorBoard shows all files of a folder as one run."""

    def __init__(self, folder: Path, header: Header) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        is_new = not any(folder.glob("events.out.tfevents.*"))
        self._writer: Any = EventFileWriter(str(folder))
        if is_new:
            about = json.dumps({**header.facts, "tags": header.tags}, indent=1, ensure_ascii=False)
            self.write(StepRecord(0, {}, {"provenance": f"{header.name}\n{about}"}))

    @property
    def place(self) -> str:
        return f"tensorboard --logdir {self._folder}"

    def write(self, record: StepRecord) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING
        from tensorboard.plugins.text.metadata import create_summary_metadata

        values = [Summary.Value(tag=name, simple_value=value) for name, value in record.scalars.items()]
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
        for name, text in record.texts.items():
            # Four blanks make a code block, in which Markdown has no effect.
            shown = "\n".join(f"    {line}" for line in text.splitlines()).encode("utf-8", "backslashreplace")
            tensor = TensorProto(dtype=DT_STRING, string_val=[shown], tensor_shape=shape)
            about = create_summary_metadata(display_name=name, description="")
            values.append(Summary.Value(tag=name, metadata=about, tensor=tensor))
        event = Event(wall_time=time.time(), step=record.step or 0, summary=Summary(value=values))
        self._writer.add_event(event)
        self._writer.flush()  # a watch may be killed

    def close(self) -> None:
        self._writer.close()


def open_tensorboard(header: Header, folder: Path, destination: str) -> Log:
    """Opens the log in `destination`/NAME, or by default in the folder `tensorboard` of a run or a watch."""
    return TensorboardLog(Path(destination) / header.name if destination else folder / "tensorboard", header)
