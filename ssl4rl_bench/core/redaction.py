"""Removes secrets from everything that is written: run directories, logs, reports, and standard error."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

REDACTED = "[redacted]"
_SHORTEST_SECRET = 8
"""A shorter value, as of a variable `SORT_KEY`, is taken for a word and not for a secret."""
_SECRET_NAMES = re.compile(r"(?i)(^|[_-])(api-?key|key|token|secret|password|passwd|pwd|credentials?)$")

# A value after a name that certainly belongs to a secret is always redacted. After other names, the value itself
# must look like a secret: "token=4 tokens" and "key=value" are kept. All repetitions are bounded or cannot
# backtrack, so that redaction takes linear time.
_ANY = r"""[^\s"'&\\]+"""
_LIKELY = r"""(?!<)(?=[^\s"'&\\]{16}|[^\s"'&\\]{0,15}[0-9])[^\s"'&\\]{8,}"""
_MIXED = r"""(?=[^\s"'\\]{0,64}?[0-9])(?=[^\s"'\\]{0,64}?[A-Za-z])[^\s"'&\\]{16,}"""
_NO_NUMBER = r"(?!\d{1,6}(?:[\s,;.)]|$)|<)"
_BEGIN = r"(?<![A-Za-z0-9_-])(?:[A-Za-z0-9_-]{0,40}[_-])?"
_SURE = (
    _BEGIN
    + r"(?:[a-z]{0,10}(?:api|access|auth|client|private|secret|session|refresh|security|signing|bearer|hf|hub|"
    r"github|gitlab|openai|aws|azure|wandb)[_-]?(?:access[_-]?)?(?:key|token|secret)|password|passwd|passphrase|"
    r"secret|amz-signature|amz-credential|goog-signature|goog-credential)"
)
_NAME = _BEGIN + r"(?:key|token|pwd|sig|signature|credentials?|auth)"
_SEPARATED = _BEGIN + r"(?<=[_-])(?:key|token)"
_QUOTED = (
    r"""(?<!\\)["']\s{0,8}[:=]\s{0,8}(?P<quote>["'])(?!<)LOOK(?P<secret>(?:\\.|(?!(?P=quote))[^\\\n]){1,4096})""",
    r"""\\+["']\s{0,8}[:=]\s{0,8}\\+["'](?!<)LOOK(?P<secret>(?:(?!\\+["'])[^\n]){1,4096})""",
)
_LOOKS_SECRET = r"""(?=[^"'\\\n]{16}|[^"'\\\n]{0,15}[0-9])(?=[^"'\\\n]{8})"""


def _compiled() -> tuple[re.Pattern[str], ...]:
    case = re.IGNORECASE
    quoted = [
        (name + form.replace("LOOK", look), case)
        for name, look in ((_SURE, ""), (_NAME, _LOOKS_SECRET), (r"\b(?:proxy-)?authorization", ""))
        for form in _QUOTED
    ]
    patterns = [
        # Credentials in a URL. A password may contain "/" and "@", but a port and a path are not a password.
        (r"""(?<=://)(?P<secret>[^\s/@:"'<>]{0,256}:(?!\d{1,5}(?:[/?\#]|$))[^\s"'<>]{0,1024}(?=@))""", 0),
        (r"""(?<=://)(?P<secret>[^\s/@"'<>]{1,1024}(?=@))""", 0),
        *quoted,
        (
            r"""\b(?:proxy-)?authorization\s{0,8}[:=]\s{0,8}\\*["']?(?:(?:basic|bearer|token|digest|apikey)\s{1,8})?"""
            rf"(?P<secret>{_ANY})",
            case,
        ),
        (rf"\b(?:x-api-key|x-auth-token)\s{{0,8}}:\s{{0,8}}(?P<secret>{_ANY})", case),
        (r"""\b(?:set-)?cookie\s{0,8}:\s{0,8}(?P<secret>[\w.-]{1,256}=[^\n"']+)""", case),
        (rf"\bbearer\s{{1,8}}(?P<secret>{_LIKELY})", case),
        (
            r"\bbasic\s{1,8}(?P<secret>(?-i:(?=[A-Za-z0-9+/]{0,64}?(?:[0-9+/=]|[a-z][A-Z])))[A-Za-z0-9+/]{8,}={0,2})"
            r"(?![A-Za-z0-9+/=])",
            case,
        ),
        (rf"""(?:{_SURE}|{_SEPARATED})=\\*["']?(?P<secret>{_NO_NUMBER}{_ANY})""", case),
        (rf"""{_SURE}(?:\s{{0,8}}:\s{{0,8}}|\s{{1,8}}=\s{{0,8}})\\*["']?(?P<secret>{_LIKELY})""", case),
        (rf"""{_NAME}=\\*["']?(?P<secret>{_LIKELY})""", case),
        (rf"(?<!\S)--(?:{_SURE}|{_NAME})\s{{1,8}}(?P<secret>{_LIKELY})", case),
        (
            rf"""\b(?:api[ _-]?key|token|secret|password)(?:\s\w{{1,20}}){{0,2}}[\s:]{{1,8}}["']?"""
            rf"(?P<secret>{_MIXED})",
            case,
        ),
        # Keys in the formats of known services. A name such as hf_transfer is not a key.
        (r"(?<![A-Za-z0-9])(?P<secret>sk-[A-Za-z0-9_-]{6,})", 0),
        (r"(?<![A-Za-z0-9])(?P<secret>hf_(?:[A-Za-z0-9]{16,}|(?=[A-Za-z]{0,15}[0-9])[A-Za-z0-9]{6,}))", 0),
        (
            r"(?<![A-Za-z0-9])(?P<secret>(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|nvapi-|gsk_)[A-Za-z0-9_-]{12,})",
            0,
        ),
        (r"(?<![A-Za-z0-9])(?P<secret>A(?:KI|SI)A[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{30,})", 0),
        (r"(?<![A-Za-z0-9])(?P<secret>eyJ[\w-]{8,}\.[\w-]+\.[\w-]*)", 0),
        (r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?P<secret>.*?)(?:-----END|\Z)", re.DOTALL),
    ]
    return tuple(re.compile(pattern, flags) for pattern, flags in patterns)


_PATTERNS = _compiled()


def redact(value: Any) -> Any:
    """Returns `value` (a text, or JSON values that contain text) without its secrets.

    Secrets are: values of environment variables whose names end in `_KEY`, `_TOKEN`, `_SECRET`, `_PASSWORD`
    or a similar word; credentials in a URL or an `Authorization` header, bearer tokens, and signatures in a
    query; values after a name such as `api_key`; and keys in the formats of well-known services.
    """
    known = _of_the_environment()

    def clean(item: Any) -> Any:
        if isinstance(item, str):
            return _without_cached(item, known) if len(item) <= _SHORT else _without(item, known)
        if isinstance(item, Mapping):
            return {clean(key): clean(inner) for key, inner in item.items()}
        if isinstance(item, list | tuple):
            return [clean(inner) for inner in item]
        return item

    return clean(value)


def redact_argv(argv: Sequence[str]) -> list[str]:
    """Redacts a command line: secrets as in `redact`, and the values of flags such as `--api-key`."""
    out: list[str] = []
    for previous, word in zip(["", *argv], argv, strict=False):
        hidden = previous.startswith("-") and _SECRET_NAMES.search(previous) and not word.startswith("-")
        out.append(REDACTED if hidden else redact(word))
    return out


def _of_the_environment() -> tuple[str, ...]:
    """Returns the secret values of environment variables, verbatim and as URLs and JSON, longest first.

    `PWD` is the shell's working directory and no password: paths below it are kept.
    """
    values = {text for name, text in os.environ.items() if _SECRET_NAMES.search(name) and name != "PWD"}
    forms = {
        form
        for text in values
        if len(text) >= _SHORTEST_SECRET
        for form in (text, quote(text, safe=""), quote_plus(text), json.dumps(text)[1:-1])
    }
    return tuple(sorted(forms, key=len, reverse=True))


def _without(text: str, known: Sequence[str]) -> str:
    for secret in known:
        text = text.replace(secret, REDACTED)
    for pattern in _PATTERNS:
        text = pattern.sub(_hide, text)
    return text


_SHORT = 200
"""Redacted texts of at most this many characters are cached: names and settings occur in every run's files."""
_without_cached = lru_cache(4096)(_without)


def _hide(match: re.Match[str]) -> str:
    if match["secret"].startswith(REDACTED):
        return match.group()
    start, end = (place - match.start() for place in match.span("secret"))
    text = match.group()
    return text[:start] + REDACTED + text[end:]
