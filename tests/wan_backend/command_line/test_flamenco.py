"""The job type for Flamenco in docs/farms: it is JavaScript, and makes the tasks that docs/farms.md tells of."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from wan_backend.command_line import arguments

SCRIPT = Path(__file__).resolve().parents[3] / "docs" / "farms" / "wan_vse_takes.js"
STAND_IN = """
const author = {
  Task: (name, type) => ({ name, type, commands: [], addCommand(command) { this.commands.push(command); } }),
  Command: (name, parameters) => ({ name, parameters }),
};
const tasks = [];
const job = { settings: SETTINGS, addTask(task) { tasks.push(task); } };
compileJob(job);
console.log(JSON.stringify({ keys: JOB_TYPE.settings.map((setting) => setting.key), tasks }));
"""
SETTINGS = {"jobs_folder": "/jobs/", "job_files": "010.json, 020.json", "takes_folder": "/takes", "models_folder": "/m"}

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node to run JavaScript")


def compiled(**changes: Any) -> dict[str, Any]:
    """What Flamenco's Manager would be given for these settings."""
    text = SCRIPT.read_text("utf-8") + STAND_IN.replace("SETTINGS", json.dumps({**SETTINGS, **changes}))
    ran = subprocess.run(["node", "-"], input=text, capture_output=True, text=True, timeout=60, check=False)
    if ran.returncode:
        raise ValueError(ran.stderr)
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def test_each_file_is_a_task_with_a_command_line_that_we_take():
    found = compiled()
    assert found["keys"] == list(SETTINGS)
    assert [task["name"] for task in found["tasks"]] == ["010", "020"]
    (command,) = found["tasks"][0]["commands"]
    assert command["name"] == "exec" and command["parameters"]["exe"] == "{wanPython}"
    words = command["parameters"]["args"]
    assert words[:2] == ["-m", "wan_backend"]
    options = arguments.parser().parse_args(words[2:])
    assert (options.job, options.output) == (Path("/jobs/010.json"), Path("/takes/010"))
    assert options.models_folder == ["/m"]


@pytest.mark.parametrize("names", ["", " , ", "../a.json", "a/b.json", "a.txt", "--device"])
def test_a_name_that_is_none_is_refused(names):
    with pytest.raises(ValueError, match="Error"):
        compiled(job_files=names)
