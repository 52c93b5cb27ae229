"""The files of a run directory."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from tests.fuzz.reader import Reader, check_shown

CASES = Path(__file__).parents[3] / "shared" / "cases"
"""Files of other programs, where there are some next to the checkout."""

METRICS = (
    b"step,mode,phase,loss,Lwce,Ldepth,Ldiff,lr,mIoU,IoU/drivable_area,IoU/ped_crossing,IoU/walkway,"
    b"IoU/carpark,IoU/car,IoU/truck,IoU/bus,IoU/trailer,IoU/construction_vehicle,IoU/pedestrian,"
    b"IoU/motorcycle,IoU/bicycle,IoU/traffic_cone,IoU/barrier,grad_norm,images_per_s,gpu_mem_mb\n"
    + b"".join(
        f"{step},train,train,{1 / step:.6g},0.5,,,6e-05{',' * 16}1.5,20.1,\n".encode()
        for step in range(50, 600, 50)
    )
    + b"600,eval,eval,,,,,,0.125,0.5"
    + b",0.1" * 13
    + b",,,\n650,train,train,nan,inf,,,6e-05"
    + b"," * 16
    + b"1.5,20.1,\n"
)
_FOREIGN = (
    b"epoch,step,train_loss,val_mIoU\n0,10,0.5,\n0,20,0.4,\n0,20,,12.5\n",
    b"# step loss lr\n1 0.5 1e-3\n2 0.25 1e-3\n",
    "step;loss;mIoU\n1;0,5;\n2;0,25;12,5\n".encode("utf-16"),
    b'sep=,\n"step","mode","loss"\n"1","train","1,234.5"\n"2","val","#NUM!"\n',
    "迭代次数,损失\n1,2\n".encode("gb18030"),
)


def run_files() -> dict[str, Any]:
    """Valid state files of a run, by name."""
    from diffbev_engine.runs.failed_start import FailedStart
    from diffbev_engine.runs.labels import RunLabels
    from diffbev_engine.runs.launch import Launch
    from diffbev_engine.runs.process import identify
    from diffbev_engine.runs.slurm import SlurmJob
    from diffbev_engine.runs.status import RunState, RunStatus
    from diffbev_engine.runs.trackers.feed import Fed
    from diffbev_engine.runs.trackers.rows import Position

    me = asdict(identify())
    launch = Launch(
        "1", ("train",), "/", {"OMP_NUM_THREADS": "1"}, "console_1.log", 1.7e9, identify(), identify()
    )
    status = RunStatus(
        RunState.FAILED, 100, step=5, updated=1.7e9, message="No space left on device", it_per_s=2.0
    )
    config = {"log_config": {"interval": 50}, "runner": {"max_iters": 9}, "data": {"samples_per_gpu": 2}}
    arguments = {"config": "c.py", "gpu_ids": [0], "overrides": ["a=1"]}
    return {
        "run.json": {
            **{"started": "2026-01-01T00:00:00+00:00", "cwd": "/", "config_path": "c.py", "process": me},
            **{"arguments": arguments, "launch": "1", "config": config, "world_size": 1},
        },
        "status.json": {
            **asdict(status),
            **{"median_step_s": 0.5, "monotonic": 1.0, "idle_s": 0.0, "process": me, "best_miou": 0.1},
        },
        "launch.json": {**asdict(launch), "ended": 1.7e9, "exit_code": 1, "message": "m"},
        "run.lock": {**me, "since": 1.7e9, "command": ["train"], "launch": "1"},
        "stop.json": {"process": me, "requested": 1.7e9, "by": "host"},
        "failed_start.json": asdict(
            FailedStart(1.7e9, 1, "no weights", "train_1.log", ("train",), identify(), "1")
        ),
        "labels.json": asdict(RunLabels("A", ("tag",), "note")),
        "slurm.json": asdict(SlurmJob("12_1")),
        "tracker_wandb.json": asdict(Fed(Position(9, 5), 1, 1, identify())),
    }


def _prepare_run(scratch: Path) -> None:
    for name, content in run_files().items():
        (scratch / "run" / name).write_text(json.dumps(content, default=list))


def _seed(name: str) -> Sequence[bytes]:
    return [json.dumps(run_files()[name], default=list).encode()]


_turns = count()


def _read_state(name: str, path: Path) -> None:
    """The file alone; one time in ten all of the run, as ``runs list``, ``runs show`` and the screens do."""
    from diffbev_engine.core.state_file import decode_file
    from diffbev_engine.runs import failed_start, labels, launch, lock, manifest, slurm, status, stop_request
    from diffbev_engine.runs.folder import RunFolder
    from diffbev_engine.runs.trackers.feed import Fed

    folder = RunFolder(path.parent)
    decode: dict[str, Callable[[], object]] = {
        "run.json": lambda: manifest.decode_manifest(folder),
        "status.json": lambda: status.decode_status(path),
        "launch.json": lambda: launch.decode_launch(folder),
        "run.lock": lambda: lock.decode_owner(folder),
        "stop.json": lambda: stop_request.decode_stop_request(folder),
        "failed_start.json": lambda: failed_start.why_start_failed(folder),
        "labels.json": lambda: labels.read_labels(path),
        "slurm.json": lambda: slurm.read_job(folder),
        "tracker_wandb.json": lambda: decode_file(path, Fed),
    }
    decode[name]()
    if next(_turns) % 10 == 0:
        _read_run(path)


def _read_run(path: Path) -> None:
    from diffbev_engine.cli import runs
    from diffbev_engine.runs.inspect import inspect_run
    from diffbev_engine.runs.labels import read_labels

    report = inspect_run(path.parent)
    json.dumps(report.to_json(), allow_nan=False)
    lines = (runs._progress(report), runs._miou(report), runs._note(report), runs._speed(report))
    shown = (
        runs._scores(report),
        report.last_checkpoint,
        report.config,
        report.console,
        report.reason,
        report.slurm_job,
    )
    labels = read_labels(path.parent / "labels.json")
    check_shown(*lines, *shown, runs._when(report.started), labels.letter, *labels.tags, labels.note)


def _read_metrics(path: Path) -> None:
    from diffbev_engine.runs.metrics.file import read_metrics
    from diffbev_engine.runs.metrics.integrity import MetricsError, damage, remarks

    try:
        table = read_metrics(path)
    except MetricsError as error:
        check_shown(error.text.zh, error.text.en)
        raise
    for name in table.columns:
        series = table.series(name)
        assert len(series.steps) == len(series.values)
    table.evaluations()
    for text in (*remarks(table), damage(path, table)):
        check_shown(*((text.zh, text.en) if text else ()))


def _follow_metrics(path: Path) -> None:
    from diffbev_engine.runs.metrics.tail import MetricsTail

    tail = MetricsTail(path, ("loss", "lr"))
    for _ in range(200):
        if not tail.advance():
            break
    if tail.notice:
        check_shown(tail.notice.detail.zh, tail.notice.detail.en)


def _resume_metrics(path: Path) -> None:
    from diffbev_engine.runs.metrics.file import _rows_until

    _rows_until(path, 400)


def _metric_seeds() -> Sequence[bytes]:
    found = sorted((CASES / "metrics").glob("*/metrics.csv")) if CASES.is_dir() else []
    return [METRICS, *_FOREIGN, *(path.read_bytes()[:4096] for path in found if path.stat().st_size)]


def _read_system(path: Path) -> None:
    from diffbev_engine.runs.system import read_system, system_columns
    from diffbev_engine.runs.system_figures import figures_in

    history = read_system(path)
    for figure in figures_in(system_columns(path)):
        figure.over_time(history)
        figure.over_iterations(history)


def _system_seeds() -> Sequence[bytes]:
    columns = "time,step,host_used_mib,host_total_mib,gpu0_used_mib,gpu0_total_mib,gpu0_load,gpu12_power_w"
    rows = "".join(f"{1.7e9 + 10 * n:.10g},{n},512,1024,100,200,{n},\n" for n in range(8))
    return [f"{columns}\n{rows}".encode()]


def _read_alerts(path: Path) -> None:
    from diffbev_engine.runs.alerts import alert_words, read_alerts

    for alert in read_alerts(path):
        words = alert_words(alert)
        check_shown(words.zh, words.en)


def _alert_seeds() -> Sequence[bytes]:
    from diffbev_engine.runs.alerts import AlertKind

    facts = {"step": 5, "message": "m", "column": "loss", "value": 0.5, "before": 0.25, "free": 1e9}
    lines = [{"time": 1.7e9, "kind": kind.value, **facts, "seconds": 3.5} for kind in AlertKind]
    return ["\n".join(json.dumps(one) for one in lines).encode(), json.dumps(lines[0]).encode()]


def _read_log(path: Path) -> None:
    """As the doctor does."""
    from diffbev_engine.findings.catalogue import LogText, kinds, signs_of
    from diffbev_engine.findings.failure import read_tail
    from diffbev_engine.findings.oom_message import parse_oom
    from diffbev_engine.runs.last_words import last_error, signal_of_a_worker

    text = read_tail(path)
    log = LogText(text)
    for kind in kinds().values():
        signs_of(kind, log)
    oom = parse_oom(text)
    for line in oom.say() if oom else ():
        check_shown(line.zh, line.en)
    check_shown(last_error([path]), signal_of_a_worker(path) or "")


_LOG = b"""2026-11-28 08:00:00 I iter 50/300 loss 0.5 lr 6e-05 2.0 it/s\r\x1b[32mgreen\x1b[0m
Traceback (most recent call last):
  File "train.py", line 5, in <module>
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of \
23.64 GiB of which 1.05 GiB is free. Process 123 has 4.00 GiB memory in use. Of the allocated memory \
17.62 GiB is allocated by PyTorch, and 412.00 MiB is reserved by PyTorch but unallocated.
error: no space left on device
"""


def _log_seeds() -> Sequence[bytes]:
    found = sorted((CASES / "logs").glob("*.log")) if CASES.is_dir() else []
    return [_LOG, *(path.read_bytes()[:2048] for path in found)]


def _read_oom_report(path: Path) -> None:
    """As the doctor and the memory screen do."""
    from diffbev_engine.findings.failure import context_of_run
    from diffbev_engine.findings.memory.oom_report import remedies_of

    context = context_of_run(path.parent)
    for remedy in remedies_of(context.oom_report):
        check_shown(remedy.text.zh, remedy.text.en, remedy.saving.en, remedy.changes.en, *remedy.overrides)


def _oom_seeds() -> Sequence[bytes]:
    remedy = {
        "id": "batch",
        "title": {"zh": "减小", "en": "smaller"},
        "overrides": ["data.samples_per_gpu=1"],
    }
    remedy |= {"environment": {"PYTORCH_CUDA_ALLOC_CONF": "x"}, "saving": {"zh": "a", "en": "a"}}
    report = {"format": 1, "written": 1.7e9, "message": _LOG.decode().splitlines()[3], "phase": "forward"}
    report |= {"step": 5, "batch": {"samples_per_gpu": 2, "image_size": [64, 96]}, "precision": "bf16"}
    report |= {"compile": "off", "processes": [{"pid": 1, "user": "u"}], "remedies": [remedy]}
    report |= {"others": [{"pid": 1, "mib": 5.0, "name": "python"}], "checkpoint": "latest.pth"}
    return [json.dumps(report).encode()]


def _prepare_oom(scratch: Path) -> None:
    for name in ("run.json", "status.json"):
        (scratch / "run" / name).write_text(json.dumps(run_files()[name], default=list))


def _read_curve(path: Path) -> None:
    from diffbev_engine.findings.memory.curve import read_curve

    curve = read_curve(path)
    if curve is not None:
        json.dumps(curve.to_json())
        for point in curve.points:
            assert point.fits in (True, False)
        if curve.line:
            curve.line.largest(curve.free)


def _curve_seeds() -> Sequence[bytes]:
    from diffbev_engine.findings.memory.curve import MemoryCurve, MemoryPoint, fit_line

    points = tuple(MemoryPoint(batch, 100.0 + 50 * batch) for batch in (1, 2, 4))
    known: dict[str, Any] = {"config": "c.py", "device": "GPU", "kind": "gpu", "precision": "bf16"}
    known |= {"compile": "off", "image_size": (64, 96), "free": 1e4, "total": 2e4, "planned": 2, "limit": 8}
    curve = MemoryCurve(**known, points=points, line=fit_line(points), predicted=8, largest=4)
    return [json.dumps(curve.to_json()).encode()]


def _state(name: str) -> Reader:
    seeds: Callable[[], Sequence[bytes]] = partial(_seed, name)
    return Reader(name, f"run/{name}", seeds, partial(_read_state, name), form="json", prepare=_prepare_run)


READERS = (
    *map(_state, ("run.json", "status.json", "launch.json", "run.lock", "stop.json")),
    *map(_state, ("failed_start.json", "labels.json", "slurm.json", "tracker_wandb.json")),
    Reader("metrics.csv", "metrics.csv", _metric_seeds, _read_metrics),
    Reader("metrics.csv followed", "metrics.csv", _metric_seeds, _follow_metrics),
    Reader("metrics.csv resumed", "metrics.csv", _metric_seeds, _resume_metrics),
    Reader("system.csv", "system.csv", _system_seeds, _read_system),
    Reader("alerts.jsonl", "alerts.jsonl", _alert_seeds, _read_alerts, form="lines"),
    Reader("log", "train_20261128_080000.log", _log_seeds, _read_log, cheap=False),
    Reader(
        "oom_report.json",
        "run/oom_report.json",
        _oom_seeds,
        _read_oom_report,
        "json",
        prepare=_prepare_oom,
        cheap=False,
    ),
    Reader("memory.json", "memory.json", _curve_seeds, _read_curve, form="json"),
)
