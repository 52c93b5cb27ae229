"""The numbers of ``summary.md`` are those one computes by hand from ``metrics.csv``."""

import pytest

from diffbev_engine.core.errors import UsageError
from diffbev_engine.report.experiment import load_experiments
from diffbev_engine.report.summary import summary_json, summary_text


def _row(text, start, section=None):
    lines = text[text.index(section) :].splitlines() if section else text.splitlines()
    line = next(line for line in lines if line.startswith(f"| {start} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.fixture
def pair(write_run):
    baseline = write_run("baseline", [0.10, 0.20, 0.15], config={"model": {"diffusion": None}, "seed": 0})
    diffbev = write_run(
        "diffbev", [0.10, 0.30], diffusion=True, config={"model": {"diffusion": {"steps": 3}}, "seed": 0}
    )
    (baseline / "best_mIoU.pth").touch()
    (diffbev / "iter_800.pth").touch()
    return load_experiments([baseline, diffbev], ["Baseline", "DiffBEV"])


def test_best_miou_with_its_step_and_checkpoint(pair):
    text = summary_text(pair)
    best = _row(text, "Baseline", "## Best mIoU")
    assert best[:3] == ["Baseline", "20.00", "800"]
    assert best[3].endswith("baseline/best_mIoU.pth`")
    assert best[4:] == ["15.00 at 1,200", "3"]
    assert _row(text, "DiffBEV", "## Best mIoU")[3].endswith("diffbev/iter_800.pth`")


def test_last_losses_are_means_of_the_last_hundred_rows(pair):
    # rows 21 to 120: their mean is 70.5
    text = summary_text(pair)
    assert _row(text, "Baseline", "## Losses") == [
        "Baseline",
        "70.5",
        "7.05",
        "not logged",
        "not logged",
        "100",
    ]
    assert _row(text, "DiffBEV", "## Losses")[1:] == ["70.5", "7.05", "929.5", "141", "100"]


def test_classes_at_the_best_step(pair):
    text = summary_text(pair)
    assert _row(text, "car") == ["car", "24.00", "34.00", "+10.00"]
    assert _row(text, "bus") == ["bus", "–", "–", "–"]
    assert _row(text, "**mIoU**") == ["**mIoU**", "**20.00**", "**30.00**", "**+10.00**"]


def test_differences_of_results_and_settings(pair):
    text = summary_text(pair)
    assert "best mIoU +10.00 points" in text
    assert "better in 13 of 13 classes" in text
    assert "mIoU +10.00 points at step 800, the latest iteration at which both were evaluated" in text
    assert _row(text, "`model.diffusion.steps`") == ["`model.diffusion.steps`", "not set", "3"]
    assert "`seed`" not in text


def test_a_run_without_evaluation_or_manifest(pair, write_run):
    young = load_experiments([write_run("young", [])])
    text = summary_text([pair[0], *young])
    assert _row(text, "young", "## Best mIoU") == ["young", "–", "–", "–", "–", "0"]
    assert "mIoU can be compared once" in text
    assert "no readable run.json for young" in text
    assert "- young: No evaluation yet" in text


def test_a_tie_goes_to_the_earlier_step(write_run):
    (run,) = load_experiments([write_run("run", [0.2, 0.2])])
    assert run.best.step == 400
    assert run.best_checkpoint is None
    assert "not kept" in summary_text([run])


def test_notes_name_damage_and_divergence(write_run):
    folder = write_run("run", [0.2])
    with (folder / "metrics.csv").open("a") as file:
        file.write("garbage\n1210,train,train,nan" + "," * 22 + "\n")
    (run,) = load_experiments([folder])
    assert "1 unreadable lines" in run.notes[0]
    assert run.notes[1] == "loss was NaN or infinite, for the first time at step 1210."
    assert run.last_loss("loss").mean == 70.5  # of the finite rows


def test_json_has_the_same_numbers(pair):
    baseline, diffbev = summary_json(pair)["experiments"]
    assert (baseline["best_mIoU"], baseline["best_step"]) == (0.2, 800)
    assert baseline["last_losses"]["Ldiff"] is None
    assert diffbev["last_losses"]["Ldiff"] == {"mean": 141.0, "rows": 100}
    assert diffbev["best_IoU"]["bus"] is None


def test_names(write_run, tmp_path):
    folder = write_run("run", [])
    (tmp_path / "other").mkdir()
    twin = folder.rename(tmp_path / "other" / "run")
    folder = write_run("run", [])
    names = [run.name for run in load_experiments([folder, twin])]
    assert names == [f"{tmp_path.name}/run", "other/run"]
    with pytest.raises(UsageError, match="1 names for 2 runs"):
        load_experiments([folder, twin], ["a"])
    with pytest.raises(UsageError, match="two runs are called 'a'"):
        load_experiments([folder, twin], ["a", "a"])


def test_a_name_cannot_break_the_table(write_run):
    text = summary_text(load_experiments([write_run("run", [0.1])], ["a|b"]))
    assert "| a\\|b | 10.00 |" in text
