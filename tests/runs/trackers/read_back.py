"""What trackers hold, read from their own files with their own packages: (tag, step) to value."""

import json
from pathlib import Path

from diffbev_engine.runs.trackers.rows import tag_of

Points = dict[tuple[str, int], list[float]]


def tensorboard(run: Path) -> Points:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    found: Points = {}
    for tag in events.Tags()["scalars"]:
        for event in events.Scalars(tag):
            found.setdefault((tag, event.step), []).append(event.value)
    return found


def wandb(run: Path, groups: list[str]) -> Points:
    from swanlab.converter.wb.wbdatastore import WBDataStoreReader
    from wandb.proto.wandb_internal_pb2 import Record

    found: Points = {}
    for path in sorted(run.glob("wandb/offline-run-*/*.wandb")):
        reader = WBDataStoreReader()
        reader.open(str(path))
        while content := reader.scan():
            record = Record()
            record.ParseFromString(content)
            if record.WhichOneof("record_type") == "run":
                groups.append(record.run.run_group)
            row = {(*item.nested_key,) or item.key: item.value_json for item in record.history.item}
            values = {key if isinstance(key, str) else ".".join(key): json.loads(row[key]) for key in row}
            step = values.get("step")
            for tag in values.keys() - {"step", "_timestamp", "_runtime", "_step"}:
                found.setdefault((tag, step), []).append(values[tag])
    return found


def swanlab(run: Path, groups: list[str]) -> Points:
    from swanlab.proto.swanlab.record.v1.record_pb2 import Record
    from swanlab.sdk.internal.core_python.store import DataStoreReader

    found: Points = {}
    for path in sorted(run.glob("swanlog/run-*/*.swanlab")):
        reader = DataStoreReader()
        reader.open(path)
        for content in reader:
            record = Record()
            record.ParseFromString(content)
            if record.HasField("start"):
                groups.append(record.start.group)
            if record.HasField("scalar") and not record.scalar.key.startswith(
                "__swanlab__"
            ):  # of the machine
                key = (record.scalar.key, record.scalar.step)
                found.setdefault(key, []).append(record.scalar.value.number)
    return found


def metrics(run: Path) -> Points:
    """The same of ``metrics.csv`` itself."""
    header, *lines = (run / "metrics.csv").read_text().splitlines()
    names = header.split(",")
    found: Points = {}
    for line in lines:
        cells = dict(zip(names, line.split(","), strict=True))
        for name in names[3:]:
            if cells[name]:
                found.setdefault((tag_of(name), int(cells["step"])), []).append(float(cells[name]))
    return found
