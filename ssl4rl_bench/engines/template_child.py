"""Renders a chat template in a process of its own, whose memory and time are limited. Started by `templates`.

It is run by its path, isolated from the environment, and imports jinja2 alone. It reads JSON lines: first where
jinja2 lies and the limits, then either `{"template": text}` or `{"variables": {...}}`, and answers each with one
line: `{"chars": n}` or `{"error": kind}`. The environment is made as transformers makes it
(`transformers.utils.chat_template_utils`), so that what is harmless here is harmless there.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any


def main() -> None:
    setup = json.loads(sys.stdin.buffer.readline())
    sys.path += setup["path"]
    environment = make_environment()
    resource.setrlimit(resource.RLIMIT_AS, (setup["bytes"], setup["bytes"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer({"chars": 0})
    template: Any = None
    for line in sys.stdin.buffer:
        limit_time(setup["seconds"])
        try:
            asked = json.loads(line)
            if "template" in asked:
                template = environment.from_string(asked["template"])
                answer({"chars": 0})
            else:
                answer(rendered(template, asked["variables"], setup["chars"] + 8 * len(line)))
        except MemoryError:
            answer({"error": "memory"})
        except RecursionError:
            answer({"error": "recursion"})
        except Exception as error:  # of the template itself, as on a message that it does not accept
            answer({"error": "raised", "message": str(error)[:300]})


def rendered(template: Any, variables: dict[str, Any], most: int) -> dict[str, Any]:
    """The length of the prompt, unless it has more than `most` characters."""
    chars = 0
    for piece in template.generate(**variables):
        chars += len(piece)
        if chars > most:
            return {"error": "length"}
    return {"chars": chars}


def limit_time(seconds: float) -> None:
    """Lets the system end this process after so much more processor time, should nobody be there to do it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + seconds + 2)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def make_environment() -> Any:
    from jinja2 import nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}`, which marks what the model wrote."""

        tags = {"generation"}  # noqa: RUF012  # jinja2's own form

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

        def _body(self, caller: Any) -> str:
            return str(caller())

    def tojson(
        value: Any,
        ensure_ascii: bool = False,
        indent: Any = None,
        separators: Any = None,
        sort_keys: bool = False,
    ) -> str:
        return json.dumps(
            value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
        )

    def raise_exception(message: str) -> None:
        raise ValueError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = time.strftime
    return environment


def answer(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
