"""Prints which versions of the packages that matter to engines and training an environment resolved to."""

from __future__ import annotations

import platform
from importlib import metadata

from ssl4rl_bench.run.doctor import PACKAGES


def main() -> None:
    versions = {f"python {platform.python_version()}"}
    for need in PACKAGES:
        try:
            versions.add(f"{need.name} {metadata.version(need.name)}")
        except metadata.PackageNotFoundError:
            continue
    print("versions:", ", ".join(sorted(versions)), flush=True)


if __name__ == "__main__":
    main()
