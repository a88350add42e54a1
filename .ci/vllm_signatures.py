"""Checks that versions of vLLM for GPUs have the names and parameters that engines/vllm/adapter.py uses.

CI has no GPU and can run only the builds for CPUs. This script reads the source files of other versions out of
their wheels, a few at a time by HTTP ranges, without installing anything or downloading a wheel. A version that
passes has the signatures; whether it works has not been shown.

    python .ci/vllm_signatures.py 0.30.0 0.31.0
"""

from __future__ import annotations

import ast
import io
import json
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

USED: dict[str, dict[str, tuple[str, ...]]] = {
    "vllm/engine/arg_utils.py": {
        "EngineArgs": (
            "model",
            "dtype",
            "max_model_len",
            "limit_mm_per_prompt",
            "mm_processor_kwargs",
            "mm_processor_cache_gb",
            "tensor_parallel_size",
            "seed",
            "trust_remote_code",
            "use_tqdm_on_load",
            "max_num_seqs",
            "max_num_batched_tokens",
            "gpu_memory_utilization",
            "enforce_eager",
            "block_size",
            "kv_cache_memory_bytes",
        ),
        "EngineArgs.create_engine_config": ("usage_context",),
    },
    "vllm/usage/usage_lib.py": {"UsageContext": ("LLM_CLASS",)},
    "vllm/renderers/__init__.py": {"renderer_from_config": ()},
    "vllm/renderers/base.py": {"BaseRenderer.render_cmpl": ("prompts", "skip_mm_cache")},
    "vllm/renderers/inputs/preprocess.py": {"parse_model_prompt": ("model_config", "prompt")},
    "vllm/sampling_params.py": {
        "SamplingParams": (
            *("temperature", "top_p", "top_k", "max_tokens", "seed", "output_kind"),
            "prompt_logprobs",
        ),
        "RequestOutputKind": ("DELTA", "FINAL_ONLY"),
    },
    "vllm/v1/engine/llm_engine.py": {
        "LLMEngine.from_vllm_config": ("vllm_config", "usage_context", "disable_log_stats"),
        "LLMEngine.add_request": ("request_id", "prompt", "params"),
        "LLMEngine.abort_request": ("request_ids",),
        "LLMEngine.step": (),
        "LLMEngine": ("renderer", "engine_core"),
    },
    "vllm/v1/engine/core_client.py": {"MPClient": ("resources",), "BackgroundResources": ("engine_dead",)},
    "vllm/outputs.py": {"RequestOutput": ("finished", "outputs", "prompt_token_ids", "num_cached_tokens")},
    "vllm/multimodal/inputs.py": {
        "MultiModalKwargsItem": (),
        "MultiModalKwargsItems": (),
        "PlaceholderRange": ("offset", "length", "is_embed"),
    },
    "vllm/multimodal/cache.py|vllm/multimodal/cache/base.py": {
        "BaseMultiModalProcessorCache.touch_sender_cache_item": ("mm_hash",),
        "BaseMultiModalProcessorCache.is_cached_item": ("mm_hash",),
        "BaseMultiModalCache.get_and_update_item": ("mm_item", "mm_hash"),
    },
    "vllm/v1/serial_utils.py": {"MsgpackEncoder.encode": (), "MsgpackDecoder.decode": ()},
}
"""Names of functions and classes by file, each with the parameters, fields or members that are used. "|" separates
the names that a file has had."""


class RemoteFile(io.RawIOBase):
    """A file behind a URL that is read by ranges."""

    BLOCK = 1 << 18

    def __init__(self, url: str) -> None:
        self._url = url
        self._at = 0
        self._blocks: dict[int, bytes] = {}
        with urllib.request.urlopen(self._request(0, 0), timeout=60) as answer:
            self._size = int(answer.headers["Content-Range"].rsplit("/", 1)[1])

    def _request(self, first: int, last: int) -> urllib.request.Request:
        return urllib.request.Request(self._url, headers={"Range": f"bytes={first}-{last}"})

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._size if size < 0 else min(self._size, self._at + size)
        out = b""
        while self._at < end:
            number, offset = divmod(self._at, self.BLOCK)
            if number not in self._blocks:
                first = number * self.BLOCK
                last = min(first + self.BLOCK, self._size) - 1
                with urllib.request.urlopen(self._request(first, last), timeout=60) as answer:
                    self._blocks[number] = answer.read()
            piece = self._blocks[number][offset : offset + end - self._at]
            out, self._at = out + piece, self._at + len(piece)
        return out


def wheel_url(version: str) -> str:
    """Asks pip where it would download the wheel from."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--dry-run",
            "--no-deps",
            "--ignore-installed",
            "--quiet",
        ]
        subprocess.run([*command, "--report", str(report), f"vllm=={version}"], check=True)
        return str(json.loads(report.read_text())["install"][0]["download_info"]["url"])


def definitions(tree: ast.Module) -> dict[str, ast.AST]:
    """Returns classes, functions, methods and imports by qualified name."""
    out: dict[str, ast.AST] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            out |= {alias.asname or alias.name: node for alias in node.names}
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            out[node.name] = node
        if isinstance(node, ast.ClassDef):
            out |= {f"{node.name}.{sub.name}": sub for sub in node.body if isinstance(sub, ast.FunctionDef)}
    return out


def members(node: ast.AST) -> set[str]:
    """Returns a function's parameters, or a class's fields, methods, parameters and attributes of self."""
    if isinstance(node, ast.FunctionDef):
        return {a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}
    out: set[str] = set()
    for sub in ast.walk(node):
        if isinstance(sub, ast.FunctionDef):
            out |= {sub.name} | (members(sub) if sub.name == "__init__" else set())
        elif isinstance(sub, ast.AnnAssign | ast.Assign):
            for target in sub.targets if isinstance(sub, ast.Assign) else [sub.target]:
                if isinstance(target, ast.Name):
                    out.add(target.id)
                elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                    out.add(target.attr)
    return out


def problems(sources: dict[str, str]) -> Iterable[str]:
    """Yields what is missing in source texts by file name."""
    for files, names in USED.items():
        file = next((file for file in files.split("|") if file in sources), None)
        if file is None:
            yield f"{files.replace('|', ' or ')} is missing"
            continue
        known = definitions(ast.parse(sources[file]))
        for name, wanted in names.items():
            if name not in known:
                yield f"{file} has no {name}"
            elif missing := [one for one in wanted if one not in members(known[name])]:
                yield f"{file}: {name} has no {', '.join(missing)}"


def read_sources(names: Iterable[str], read: Callable[[str], bytes]) -> dict[str, str]:
    """Reads those of the files in `USED` that are among the names."""
    used = {file for files in USED for file in files.split("|")}
    return {name: read(name).decode() for name in names if name in used}


def main() -> int:
    failed = False
    for version in sys.argv[1:]:
        with zipfile.ZipFile(RemoteFile(wheel_url(version))) as wheel:
            missing = list(problems(read_sources(wheel.namelist(), wheel.read)))
        failed |= bool(missing)
        print(f"vllm {version}: " + ("; ".join(missing) or "all signatures are as used"), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
