"""Renders a chat template in a separate process with limited memory and time. Started by `templates`.

The file is run by its path, isolated from the environment, and imports only jinja2. It reads JSON lines:
first the path of jinja2 and the limits, then either `{"template": text}` or `{"variables": {...}}`, and
answers each with one line: `{"chars": n}` or `{"error": kind}`. The Jinja environment is set up as in
transformers (`transformers.utils.chat_template_utils`), so that what is harmless here is harmless there.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any


def main() -> None:
    """Reads templates and requests from standard input, one JSON object per line, and answers each with a line."""
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
        except Exception as error:  # raised by the template, for example for a message that it rejects
            answer({"error": "raised", "message": str(error)[:300]})


def rendered(template: Any, variables: dict[str, Any], most: int) -> dict[str, Any]:
    """Returns the length of the prompt, or an error if it has more than `most` characters."""
    chars = 0
    for piece in template.generate(**variables):
        chars += len(piece)
        if chars > most:
            return {"error": "length"}
    return {"chars": chars}


def limit_time(seconds: float) -> None:
    """Limits this process's further CPU time, in case the parent no longer exists to end it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + seconds + 2)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def make_environment() -> Any:
    """Returns the sandboxed jinja2 environment that chat templates are rendered in."""
    from jinja2 import nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """The tag `{% generation %}`, which marks text that the model wrote."""

        tags = {"generation"}  # noqa: RUF012  # the form that jinja2 requires

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
    """Writes one JSON object as a line to standard output."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
