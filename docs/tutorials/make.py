"""Run the code of a tutorial as it stands, and keep the picture that it draws beside its page.

    python docs/tutorials/make.py classify imitate      some; all when none is named

Seconds are CPU time here, so that a picture does not hang on what else the machine does.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
CPU_TIME = "import time; time.perf_counter = time.process_time\n"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def make(page: Path) -> None:
    """Run the blocks of a page, one after another in a folder of their own.

    Raises:
        CalledProcessError: one has failed.
    """
    with TemporaryDirectory() as folder:
        for code in BLOCK.findall(page.read_text()):
            Path(folder, "block.py").write_text(CPU_TIME + code)
            environment = os.environ | {"MPLBACKEND": "Agg"}
            subprocess.run([sys.executable, "block.py"], cwd=folder, env=environment, check=True)
        shutil.copy(Path(folder, f"{page.stem}.png"), HERE)


if __name__ == "__main__":
    for name in sys.argv[1:] or [page.stem for page in sorted(HERE.glob("*.md")) if page.stem != "index"]:
        print(f"-- {name}", flush=True)
        make(HERE / f"{name}.md")
