"""A real SLURM on this machine alone, as root, without systemd: controller, one host, munge."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.processes import wait_until

_PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch")
_KEY = Path("/etc/munge/munge.key")
_CONFIG = """ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={port}
SlurmdPort={port_of_host}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobRequeue=1
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1
KillWait=5
NodeName={host} CPUs={cpus} NodeAddr=127.0.0.1 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
"""


def why_not() -> str:
    """Why SLURM cannot be started here; empty where it can."""
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed (Debian: slurmctld slurmd slurm-client munge)"
    return "" if os.geteuid() == 0 else "SLURM's daemons are started by root"


@contextmanager
def running(folder: Path) -> Iterator[dict[str, str]]:
    """Start it, with its state in ``folder``; gives the environment of its programs."""
    _munge()
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    host, cpus = socket.gethostname().partition(".")[0], os.cpu_count()
    ports = {"port": _free_port(), "port_of_host": _free_port()}
    config = folder / "slurm.conf"
    config.write_text(_CONFIG.format(host=host, folder=folder, cpus=cpus, **ports))
    environment = {**os.environ, "SLURM_CONF": str(config), "OMP_NUM_THREADS": "1"}
    daemons = [
        subprocess.Popen([name, "-D"], env=environment, stderr=subprocess.DEVNULL) for name in _PROGRAMS[:2]
    ]
    try:
        _wait_for_host(environment)
        yield environment
    finally:
        subprocess.run(["scancel", "--user=root"], env=environment, check=False)
        _wait_until_empty(environment)  # the daemons end the jobs; without them jobs would go on
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            daemon.wait(30)


def _munge() -> None:
    for folder in ("/run/munge", "/etc/munge", "/var/lib/munge", "/var/log/munge"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        shutil.chown(folder, "munge", "munge")
    if not _KEY.exists():
        _KEY.write_bytes(os.urandom(1024))
        shutil.chown(_KEY, "munge", "munge")
        _KEY.chmod(0o400)
    if subprocess.run(["pgrep", "-x", "munged"], stdout=subprocess.DEVNULL, check=False).returncode:
        subprocess.run(["su", "-s", "/bin/sh", "munge", "-c", "munged"], check=True)


def _wait_for_host(environment: dict[str, str]) -> None:
    def state() -> str:
        said = subprocess.run(
            ["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True, check=False
        )
        return (said.stdout + said.stderr).strip()

    wait_until(lambda: state() == "idle", seen=state, every_s=0.2)


def _wait_until_empty(environment: dict[str, str]) -> None:
    def empty() -> bool:
        queue = subprocess.run(["squeue", "-h"], env=environment, capture_output=True, text=True, check=False)
        return bool(queue.returncode) or not queue.stdout

    wait_until(empty, every_s=0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
