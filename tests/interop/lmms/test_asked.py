"""lmms-eval's requests as our samples, with stand-ins for its objects: lmms-eval itself is not needed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from mmbench_data import picture
from PIL import Image

from ssl4rl_bench.core import images
from ssl4rl_bench.core.errors import UsageError
from ssl4rl_bench.core.types import ImagePart, Sampling, TextPart
from ssl4rl_bench.interop.lmms.reply import CUT_OFF, completion
from ssl4rl_bench.interop.lmms.requests import gather_tasks
from ssl4rl_bench.task.lmms.generation import cut, sampling

GREEDY = {"max_new_tokens": 16, "temperature": 0.0, "do_sample": False, "until": []}


def request(to_messages: Any, at: int = 0, settings: Any = None, **metadata: Any) -> Any:
    return SimpleNamespace(
        args=("context", to_messages, GREEDY if settings is None else settings, at, "task", "dev"),
        metadata=metadata,
    )


def foreign(content: Any, role: str = "user") -> Any:
    """A task of somebody else's, which asks this of each document."""
    return lambda doc: [{"role": role, "content": content}]


class OurTask:
    """What lmms-eval makes of a task file of ours, as far as it is looked at."""

    lmms_eval_specific_kwargs = {"prompt": "cot"}  # noqa: RUF012 - as lmms-eval has it

    def doc_to_text(self, doc: Any) -> str:
        return f"Question {doc['index']}?"

    def doc_to_target(self, doc: Any) -> str:
        return "B"

    def doc_to_messages(self, doc: Any) -> Any:
        raise AssertionError("our own documents need no round trip through pixels")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (GREEDY, Sampling(max_tokens=16)),
        ({}, Sampling()),
        ({"do_sample": True}, Sampling(temperature=1.0)),
        ({"do_sample": False, "temperature": 0.7, "top_p": 0.9}, Sampling(temperature=0.7, top_p=0.9)),
        ({"temperature": None, "top_p": None, "top_k": -1}, Sampling()),
        ({"top_k": 20, "max_gen_toks": "32"}, Sampling(top_k=20, max_tokens=32)),
        ({"num_beams": 1, "repetition_penalty": 1.0, "image_aspect_ratio": "original"}, Sampling()),
    ],
)
def test_sampling_is_what_the_task_asks_for(settings: dict[str, Any], expected: Sampling) -> None:
    assert sampling(settings, "task") == expected


@pytest.mark.parametrize("settings", [{"num_beams": 4}, {"repetition_penalty": 1.1}, {"n": 2}])
def test_what_the_engines_have_not_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"mme sets {next(iter(settings))} to"):
        sampling(settings, "mme")


def test_a_reply_is_cut_where_the_task_wants_it() -> None:
    assert cut("one\n\ntwo. three", ("\n\n", ".")) == "one"
    assert cut("one\n\ntwo", ()) == "one\n\ntwo"
    assert cut("one", ("two",)) == "one"


def test_a_reply_that_hit_the_limit_stays_one_on_its_way_through_lmms_eval() -> None:
    through = completion(("the answer is A" + CUT_OFF).strip())
    assert (through.text, through.finish_reason) == ("the answer is A", "length")
    assert completion("the answer is A").finish_reason == "stop"
    failed = completion("[LMMS_EVAL_REQUEST_FAILED after 5 retries] the answer is A")
    assert (failed.text, failed.finish_reason) == ("", "error")


def test_our_documents_keep_their_bytes_and_ids() -> None:
    task = OurTask()
    docs = [
        {"index": 7, "group": 3, "data_sha256": "abc", "image": {"bytes": picture(1, "JPEG"), "path": None}},
        {"id": "x-1", "index": 8, "group": "x", "images": [{"bytes": picture(n)} for n in (1, 2)]},
    ]
    asked = gather_tasks(
        "ssl4rl_x", [request(task.doc_to_messages, at, version=1) for at in (0, 1, 1, 0)], docs
    )
    assert [(sample.id, sample.group, sample.target) for sample in asked.samples] == [
        ("7", "3", "B"),
        ("x-1", "x", "B"),
    ]
    assert (asked.version, asked.prompt, asked.data_sha256, asked.n_docs) == ("1", "cot", "abc", 2)
    first, second = (sample.messages[0].content for sample in asked.samples)
    assert [part.image.data for part in first[:-1] if isinstance(part, ImagePart)] == [picture(1, "JPEG")]
    assert [part.image.data for part in second[:-1] if isinstance(part, ImagePart)] == [
        picture(1),
        picture(2),
    ]
    assert first[-1] == TextPart("Question 7?")


def test_messages_of_other_tasks_are_taken_as_they_are() -> None:
    drawn = Image.new("RGB", (30, 20), "red")
    content = [
        {"type": "text", "text": "Look:"},
        {"type": "image", "url": drawn},
        {"type": "image", "url": drawn.copy()},
    ]
    asked = gather_tasks("mme", [request(foreign(content), at) for at in range(2)], [{"id": "same"}] * 2)
    assert [sample.id for sample in asked.samples] == ["0", "1"]
    text, image, again = asked.samples[0].messages[0].content
    assert text == TextPart("Look:")
    assert isinstance(image, ImagePart)
    assert isinstance(again, ImagePart)
    assert images.decode(image.image).tobytes() == drawn.tobytes()
    assert again.image is image.image
    plain = gather_tasks("mme", [request(foreign("Be brief.", "system"))], [{}])
    assert plain.samples[0].messages[0].role == "system"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ([{"type": "video", "url": "clip.mp4"}], "a video"),
        ([{"type": "audio", "url": {}}], "a audio|an audio"),
        ([{"type": "image", "url": "/etc/passwd"}], "only named"),
    ],
)
def test_other_media_and_paths_are_refused(content: Any, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        gather_tasks("other", [request(foreign(content))], [{}])


def test_a_request_of_another_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="role tool"):
        gather_tasks("other", [request(foreign("x", "tool"))], [{}])
    several = [request(foreign("x")), request(foreign("x"), 1, {"max_new_tokens": 99})]
    with pytest.raises(UsageError, match="different generation settings"):
        gather_tasks("other", several, [{}, {}])
