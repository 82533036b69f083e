"""The SHA-256 of every wheel that a development install takes on one kind of machine, in a file that pip checks.

    python pins/pins.py name     the file for this Python and platform, whether it is there or not
    python pins/pins.py write    write it: what pip takes here for the versions of constraints.txt

torch is left out: its wheels for the CPU alone and for each CUDA have one version and different hashes. Other kinds of
machine take other wheels: a file for them is written there.
"""

import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
CONSTRAINTS = HERE.parent / "constraints.txt"
LEFT_OUT = "torch=="


def name() -> Path:
    """One for each version of Python, system, processor and C library: these decide which wheel pip takes."""
    python = f"{sys.implementation.name}{sys.version_info.major}.{sys.version_info.minor}"
    system = (sys.platform, platform.machine(), platform.libc_ver()[0])
    return HERE / f"{'-'.join(filter(None, (python, *system)))}.txt"


def pinned() -> list[str]:
    """NAME==VERSION of every package of constraints.txt but torch."""
    lines = CONSTRAINTS.read_text().splitlines()
    return [line for line in lines if line and not line.startswith(("#", LEFT_OUT))]


def write() -> Path:
    """Ask pip which wheels it would take, without taking them."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, report = Path(folder, "wanted.txt"), Path(folder, "report.json")
        wanted.write_text("\n".join(pinned()))
        options = ["--dry-run", "--ignore-installed", "--no-deps", "--only-binary", ":all:", "--report", report]
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *options, "-r", wanted], check=True)
        taken = json.loads(report.read_text())["install"]
    hashes = {one["metadata"]["name"]: one["download_info"]["archive_info"]["hashes"]["sha256"] for one in taken}
    assert len(hashes) == len(pinned())
    versions = {one["metadata"]["name"]: one["metadata"]["version"] for one in taken}
    lines = [f"{each}=={versions[each]} --hash=sha256:{hashes[each]}" for each in sorted(hashes, key=str.lower)]
    name().write_text("# By `make pins`; see pins.py.\n" + "\n".join(lines) + "\n")
    return name()


if __name__ == "__main__":
    print({"name": name, "write": write}[sys.argv[1]]())
