"""Two of the demo's takes on another machine: by `build.py demo --backend "ssh ..."`, over an sshd on loopback.

    python tests/demo/over_ssh.py [MEDIA]

One take is made from pictures and one from a movie, so both are sent: of the folder MEDIA, which the demo has drawn, or
drawn anew. It skips itself where there is no sshd.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "wan_backend" / "relay")]

import loopback_ssh  # noqa: E402  (its folder is no package on the path of this one)

TASKS = "restyle,extend"
LEAVES_SECONDS = 120.0


def main() -> int:
    """The exit code: 0 where both takes are what they should be, and were made over there."""
    if not loopback_ssh.is_possible():
        sys.stdout.write("[over ssh] SKIPPED: no sshd here\n")
        return 0
    with tempfile.TemporaryDirectory(prefix="wan-over-ssh-", ignore_cleanup_errors=True) as folder:
        ssh = loopback_ssh.LoopbackSsh(Path(folder) / "ssh")
        try:
            make_takes(ssh, Path(folder) / "far")
        finally:
            ssh.close()
    return 0


def make_takes(ssh: loopback_ssh.LoopbackSsh, state: Path) -> None:
    """Have them made over there and looked at. Raises where something is wrong."""
    python = ROOT / "build" / "environments" / "backend" / "bin" / "python"
    variables = [f"{name}={value}" for name, value in os.environ.items() if name.startswith("OMP_")]
    variables.append(f"PYTHONPYCACHEPREFIX={ROOT / 'build' / 'bytecode'}")
    serve = [str(python), "-m", "wan_backend", "serve", "--stay", "--state", str(state)]
    command = shlex.join(ssh.command(["env", f"PYTHONPATH={ROOT}", *variables, *serve]))
    build = [sys.executable, str(ROOT / "build.py"), "demo", "--only", TASKS, "--backend", command]
    build += [f"--media={folder}" for folder in sys.argv[1:2]]
    subprocess.run(build, check=True, stdin=subprocess.DEVNULL)
    check = ROOT / "tests" / "demo" / "check_report.py"
    subprocess.run([sys.executable, str(check), str(ROOT / "out" / "some_takes"), TASKS], check=True)
    sent = list((state / "sent" / "contents").glob("*"))
    assert len(sent) > 1, f"nothing was sent to {state}"
    size = sum(file.stat().st_size for file in sent)
    sys.stdout.write(f"[over ssh] {len(sent)} files were sent, {size / 1e6:.1f} MB in all\n")
    until = time.monotonic() + LEAVES_SECONDS
    while (state / "keeper.sock").exists():  # it goes by itself once nobody is there and nothing is to be made
        assert time.monotonic() < until, "the server over there does not leave"
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
