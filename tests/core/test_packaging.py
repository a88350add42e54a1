"""The package is one package: in the checkout, installed in place, and in what is built from it."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINKED = ("reports", "tasks", "train")
HEAVY = ("torch", "transformers", "vllm", "trl", "lmms_eval", "huggingface_hub", "datasets")
"""Libraries of extras, which take long to import where they are installed."""
PROBE = """
import importlib.util, json, pkgutil, sys
class Absent:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in sys.argv[1:]:
            raise ImportError(name, name=name)
sys.meta_path.insert(0, Absent())
import ssl4rl_bench
names = [m.name for m in pkgutil.walk_packages(ssl4rl_bench.__path__, "ssl4rl_bench.") if "__main__" not in m.name]
missing = []
for name in names:
    try:
        importlib.import_module(name)
    except ImportError as error:  # torch, lmms-eval, ...: what is not ours may be absent
        if (error.name or "").startswith("ssl4rl_bench"):
            raise
        missing.append(name)
files = {n: m.__file__ for n, m in sys.modules.items() if n.startswith("ssl4rl_bench") and m.__file__}
files |= {name: importlib.util.find_spec(name).origin for name in missing}
top = [name for name in ("reports", "tasks", "train") if importlib.util.find_spec(name) is not None]
print(json.dumps([files, top, missing]))
"""


def modules(cwd: Path, path: Path | None = None) -> tuple[dict[str, str], list[str]]:
    """Name to file of all our modules, and which of the linked folders can be imported by themselves."""
    env = {"PATH": "/usr/bin:/bin"} | ({} if path is None else {"PYTHONPATH": str(path)})
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROBE, *HEAVY], cwd=cwd, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    files, top, missing = json.loads(done.stdout)
    assert len(files) > 200 and len(missing) < 20, missing
    return files, top


@pytest.mark.slow
def test_installed_in_place_there_is_one_copy_of_each_module(tmp_path: Path) -> None:
    files, top = modules(tmp_path)
    real = [Path(file).resolve() for file in files.values()]
    assert len(set(real)) == len(real)
    assert {file.relative_to(ROOT).parts[0] for file in real} == {"ssl4rl_bench", *LINKED}
    assert not top, "an installed package must not bring other names"


def test_in_the_checkout_the_links_lead_to_the_folders_at_the_top() -> None:
    for name in LINKED:
        link = ROOT / "ssl4rl_bench" / name
        assert link.is_symlink() and link.readlink() == Path("..") / name


@pytest.mark.slow
def test_wheel_and_source_distribution_hold_each_module_once(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, tracked.decode().split("\0")):
        source, target = ROOT / name, tree / name
        if source.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source.readlink())
        elif source.is_file() and not name.startswith(("tests/", "docs/")):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    uv = [str(Path(sys.executable).with_name("uv")), "build", "--quiet", "--out-dir"]
    subprocess.run([*uv, str(tmp_path / "direct"), "--wheel", str(tree)], check=True)
    subprocess.run([*uv, str(tmp_path / "made"), "--sdist", str(tree)], check=True)
    (archive,) = (tmp_path / "made").glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        assert not [member.name for member in packed if member.issym() or member.islnk()]
        packed.extractall(tmp_path / "unpacked", filter="data")
    (folder,) = (tmp_path / "unpacked").iterdir()
    subprocess.run([*uv, str(tmp_path / "indirect"), "--wheel", str(folder)], check=True)
    held = []
    for place in ("direct", "indirect"):
        (wheel,) = (tmp_path / place).glob("*.whl")
        with zipfile.ZipFile(wheel) as packed_wheel:
            held.append({i.filename: i.CRC for i in packed_wheel.infolist() if "dist-info" not in i.filename})
            packed_wheel.extractall(tmp_path / f"{place}-unpacked")
    assert held[0] == held[1]
    wanted = {
        str(path.relative_to(tree))
        for path in [*(tree / "ssl4rl_bench").rglob("*.py")]
        if not any(parent.is_symlink() for parent in path.parents)
    }
    wanted |= {
        f"ssl4rl_bench/{path.relative_to(tree)}" for name in LINKED for path in (tree / name).rglob("*.py")
    }
    assert {name for name in held[0] if name.endswith(".py")} == wanted
    data = (
        "py.typed",
        "tasks/scenes.yaml",
        "evaluation/presets.toml",
        "reports/templates/leaderboard.html.j2",
        "train/recipes/tiny_base.toml",
        "train/recipes/accelerate/gpu8_fsdp2.yaml",
        "examples/gate.toml",
        "examples/tasks/signs.tsv",
    )
    assert {f"ssl4rl_bench/{name}" for name in data} <= set(held[0])
    files, top = modules(tmp_path, tmp_path / "direct-unpacked")
    assert all(file.startswith(str(tmp_path)) for file in files.values()) and not top
