"""What lets something in is found by the gate's linter, with the exceptions that this project makes."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLANTED = {
    "pickle": "import pickle\npickle.loads(b'')\n",
    "eval": "eval('1')\n",
    "yaml": "import yaml\nyaml.load('', yaml.Loader)\n",
    "shell": "import subprocess\nsubprocess.run('true', shell=True)\n",
    "zip": "import tarfile\ntarfile.open('a').extractall('b')\n",
    "torch": "import torch\ntorch.load('a')\n",
    "temporary": "import tempfile\ntempfile.mktemp()\n",
}


def test_control_what_is_planted_is_found(tmp_path: Path) -> None:
    for name, source in PLANTED.items():
        (tmp_path / f"{name}.py").write_text(source)
    (tmp_path / "good.py").write_text(
        "import json, subprocess\njson.loads('1')\nsubprocess.run(['/bin/true'])\nassert True\n"
    )
    words = ["bandit", "--quiet", "--configfile", ROOT / "pyproject.toml", "--format", "json", "--recursive", tmp_path]
    ended = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, check=False)
    assert ended.returncode == 1, ended.stderr
    found = {Path(one["filename"]).stem for one in json.loads(ended.stdout)["results"]}
    assert found == set(PLANTED)
