"""Every reader of ``metrics.csv`` uses what can be read, and says clearly when nothing can."""

import math

import pytest

from diffbev_engine.report.experiment import load_experiments
from diffbev_engine.runbook.checks.check import Outcome
from diffbev_engine.runbook.checks.files import CsvHasValues, CsvReachesStep
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_engine.runs.metrics.dialect import COLUMNS
from diffbev_engine.runs.metrics.file import MetricsWriter, read_metrics
from diffbev_engine.runs.metrics.integrity import Fault, MetricsError, damage, remarks
from diffbev_engine.runs.metrics.tail import MetricsTail, Trouble

KEPT = ("loss", "Lwce", "lr")


@pytest.fixture
def write(tmp_path):
    def write(text, folder="run", encoding="utf-8"):
        (tmp_path / folder).mkdir(exist_ok=True)
        content = text if isinstance(text, bytes) else text.encode(encoding)
        (tmp_path / folder / "metrics.csv").write_bytes(content)
        return tmp_path / folder

    return write


def _points(metrics, column):
    series = metrics.series(column)
    return dict(zip(series.steps, series.values, strict=True))


def _log(folder, *rows):
    writer = MetricsWriter(folder / "metrics.csv")
    for row in rows:
        writer.write(row)
    writer.close()
    return folder / "metrics.csv"


def _train(step, loss):
    return {"step": step, "mode": "train", "phase": "train", "loss": loss, "lr": 1e-4}


def test_what_the_writer_wrote(tmp_path):
    evaluation = {"step": 20, "mode": "eval", "phase": "eval", "mIoU": 0.25, "IoU/car": 0.5}
    path = _log(tmp_path, _train(10, 2.5), _train(20, 1.5), evaluation, _train(30, 1.25))
    metrics = read_metrics(path)
    assert _points(metrics, "loss") == {10: 2.5, 20: 1.5, 30: 1.25}
    assert _points(metrics, "mIoU") == {20: 0.25}
    assert _points(metrics, "IoU/car") == {20: 0.5}
    assert not metrics.series("IoU/bus")
    assert not metrics.series("Ldiff")
    assert (metrics.last_step, metrics.unreadable, metrics.superseded, remarks(metrics)) == (30, 0, 0, [])
    assert [(row.step, row.values) for row in metrics.evaluations()] == [(20, {"mIoU": 0.25, "IoU/car": 0.5})]


@pytest.mark.parametrize("torn", ["40,trai", "40,train,train,0.12", "40"])
def test_a_half_written_last_line_is_left_out(tmp_path, torn):
    path = _log(tmp_path, _train(10, 2.5), _train(20, 1.5))
    path.write_text(path.read_text() + torn)
    metrics = read_metrics(tmp_path)
    assert [*_points(metrics, "loss")] == [10, 20]
    assert not metrics.unreadable


def test_a_last_line_without_newline_may_lack_digits(tmp_path):
    path = _log(tmp_path, _train(10, 2.5), _train(20, 1.5))
    path.write_text(path.read_text()[:-1])  # every cell is there, but the last one may go on
    assert [*_points(read_metrics(path), "loss")] == [10]


def test_after_a_resume_later_rows_win(write):
    rows = ["10,train,5", "20,train,4", "20,eval,", "30,train,3", "40,train,2"]
    rows += ["30,train,3.5", "40,train,2.5", "40,eval,", "50,train,1"]
    metrics = read_metrics(write("\n".join(["step,mode,loss", *rows, ""])))
    assert _points(metrics, "loss") == {10: 5, 20: 4, 30: 3.5, 40: 2.5, 50: 1}
    assert [row.step for row in metrics.evaluations()] == [20, 40]
    assert (metrics.superseded, metrics.resumes) == (2, [30])


def test_a_resume_at_other_steps_leaves_no_row_of_the_abandoned_branch(write):
    rows = ["10,train,5", "20,train,4", "35,train,100", "20,train,3", "30,train,2"]
    metrics = read_metrics(write("\n".join(["step,mode,loss", *rows, ""])))
    assert _points(metrics, "loss") == {10: 5, 20: 3, 30: 2}


def test_nan_and_blank_cells(write):
    metrics = read_metrics(
        write("step,mode,loss,Lwce\n1,train,2,\n2,train,nan,1\n3,train,inf,\n4,train,1,2\n")
    )
    assert _points(metrics, "loss") == {1: 2, 4: 1}
    assert _points(metrics, "Lwce") == {2: 1, 4: 2}
    assert [*metrics.not_finite("loss")] == [2, 3]
    assert metrics.first_not_finite("Lwce") is None


def test_unreadable_lines_and_garbled_cells_are_counted(write):
    text = "step,mode,loss\n1,train,5\n2,train\n\0\0\0\0\n3,train,x\n-4,train,1\n1.5,train,1\n6,train,4\n"
    metrics = read_metrics(write(text))
    assert _points(metrics, "loss") == {1: 5, 6: 4}
    assert (metrics.unreadable, metrics.first_unreadable, metrics.garbled) == (3, 3, 1)
    assert len(remarks(metrics)) == 2


ROWS = "50,train,0.61,\n100,train,0.5,\n100,eval,,0.12\n"
LOSS, MIOU = {50: 0.61, 100: 0.5}, {100: 0.12}
FOREIGN = {
    # name: content, loss, mIoU
    "tabs": ("step\tmode\tloss\tmIoU\n" + ROWS.replace(",", "\t"), LOSS, MIOU),
    "bars": ("step|mode|loss|mIoU\n" + ROWS.replace(",", "|"), LOSS, MIOU),
    "decimal comma": (
        "step;mode;loss;mIoU\n50;train;0,61;\n100;train;0,5;\n100;eval;;0,12\n",
        LOSS,
        MIOU,
    ),
    "Excel's hint": ("sep=;\nstep;mode;loss;mIoU\n" + ROWS.replace(",", ";"), LOSS, MIOU),
    "capitals": ("STEP,Mode,Loss,MIOU\n" + ROWS.replace("train", "Train"), LOSS, MIOU),
    "comment": ("# run 7\n#step,mode,loss,mIoU\n" + ROWS, LOSS, MIOU),
    "quotes": (
        '"step","mode","loss","mIoU"\n"50","train","0.61",""\n"100","train","0.5",""\n"100","val","","0.12"\n',
        LOSS,
        MIOU,
    ),
    "thousands": ('step,mode,loss,mIoU\n"1,000",train,"1,234.5",\n', {1000: 1234.5}, {}),
    "padded": (
        "   step,   mode,  loss,  mIoU\n   50,  train,  0.61,\n  100, train, 0.5,  \n 100,  eval,  ,  0.12\n",
        LOSS,
        MIOU,
    ),
    "floats": (
        "step,mode,loss,mIoU\n5.0E+01,train,6.1E-01,\n100.0,train,0.5,\n1e2,eval,NaN,0.12\n",
        LOSS,
        MIOU,
    ),
    "global_step": ("global_step,mode,loss,mIoU\n" + ROWS, LOSS, MIOU),
    "iteration last": ("loss,lr,iteration\n0.61,1,50\n0.5,1,100\n", LOSS, {}),
    "index": (",step,mode,loss,mIoU\n0,50,train,0.61,\n1,100,train,0.5,\n2,100,eval,,0.12\n", LOSS, MIOU),
    "unnamed index": ("Unnamed: 0,step,loss\n0,50,0.61\n1,100,0.5\n", LOSS, {}),
    "twice the column": ("step,mode,loss,loss\n50,train,0.61,9\n100,train,0.5,9\n", LOSS, {}),
    "header again": (
        "step,mode,loss\n50,train,0.61\nstep,mode,loss,mIoU\n100,train,0.5,\n100,eval,,0.12\n",
        LOSS,
        MIOU,
    ),
    "wider": ("step,mode,loss\n50,train,0.61\n100,train,0.5,3.1,24\n", LOSS, {}),
    "trailing delimiters": ("step;loss;\n50;0.61;\n100;0.5;;\n", LOSS, {}),
    "blanks": ("# step loss lr\n50 0.61 1\n100  0.5  1\n", LOSS, {}),
    "percent": ("step,mode,loss,mIoU\n50,eval,,0.9\n100,eval,,12\n", {}, {50: 0.009, 100: 0.12}),
    "percent signs": ("step,mode,loss,mIoU\n100,eval,,12%\n", {}, MIOU),
    "no mode": ("step,loss,mIoU\n50,0.61,\n100,0.5,0.12\n", LOSS, MIOU),
    "rows of a step in parts": (
        "epoch,lr-AdamW,step,train_loss_step,val_loss,val_mIoU\n,1,50,0.61,,\n0,,100,,0.7,0.12\n0,,100,0.5,,\n",
        LOSS,
        MIOU,
    ),
    "older": ("\ufeffIoU_car,mIoU,step,loss\r\n,,50,0.61\r\n,,100,0.5\r\n0.5,0.12,100,\r\n", LOSS, MIOU),
    "carriage returns": ("step,mode,loss,mIoU\r" + ROWS.replace("\n", "\r"), LOSS, MIOU),
    "doubled carriage returns": ("step,mode,loss,mIoU\r\r\n" + ROWS.replace("\n", "\r\r\n"), LOSS, MIOU),
    "text columns": ("time,step,loss\n2026-11-27 10:00,50,0.61\n2026-11-27 10:01,100,0.5\n", LOSS, {}),
    "header lost": (
        "\x01?\n" + "".join(f"{step},train,train,{loss}{',' * 22}\n" for step, loss in LOSS.items()),
        LOSS,
        {},
    ),
    "panel": (
        '"Step","a - loss","a - loss__MIN","a - _step"\n"50","0.61","0.61","50"\n"100","0.5","0.5","100"\n',
        LOSS,
        {},
    ),
}


def _all_readers(folder, tmp_path):
    """What each caller makes of a file: (points by column, last step, unreadable lines)."""
    path = folder / "metrics.csv"
    tail = MetricsTail(path, KEPT)
    while tail.advance():
        pass
    roots = WorkspacePaths(tmp_path, tmp_path)
    reached = CsvReachesStep(str(path), 100)._look(roots, Outcome())
    (experiment,) = load_experiments([folder])
    tables = [read_metrics(path), read_metrics(path, 1 << 10), read_metrics(path, columns=KEPT)]
    tables += [tail.table, experiment.metrics]
    found = [
        ({name: _points(one, name) for name in (*KEPT, "mIoU")}, one.last_step, one.unreadable)
        for one in tables
    ]
    resumed = folder.parent / f"{folder.name} resumed"
    resumed.mkdir()
    (resumed / "metrics.csv").write_bytes(path.read_bytes())
    MetricsWriter(resumed / "metrics.csv", keep_until_step=1 << 40).close()
    return found, read_metrics(resumed), reached, CsvHasValues(str(path), ("loss",))._look(roots, Outcome())


def test_all_callers_read_the_same_from_the_files_of_other_programs(write, tmp_path):
    for number, (name, (text, loss, miou)) in enumerate(FOREIGN.items()):
        for encoding in ("utf-8", "utf-16", "utf-16-be"):
            folder = write(text, f"{number} {encoding}", encoding)
            found, resumed, reached, has_values = _all_readers(folder, tmp_path)
            assert found[0][0]["loss"] == loss, name
            assert found[0][0]["mIoU"] == pytest.approx(miou), name
            assert found.count(found[0]) == len(found), name
            assert _points(resumed, "loss") == loss, name
            assert _points(resumed, "mIoU") == pytest.approx(miou), name
            assert (reached.passed, has_values.passed) == (True, bool(loss)), name


def test_words_of_spreadsheets_and_c_libraries_for_what_is_not_finite(write):
    words = ("#NUM!", "#DIV/0!", "1.#INF", "-1.#IND", "1.#QNAN", "-nan(ind)", "nan(snan)", "inf", "-Infinity")
    rows = "".join(f"{step},train,{word}\n" for step, word in enumerate(words))
    blank = "".join(
        f"{step},train,{word}\n" for step, word in enumerate(("", "-", "N/A", "None", "null"), 100)
    )
    metrics = read_metrics(write(f"step,mode,loss\n{rows}{blank}200,train,1\n"))
    assert [*metrics.not_finite("loss")] == [*range(len(words))]
    assert _points(metrics, "loss") == {200: 1}
    assert not metrics.garbled


def test_what_was_changed_in_reading_is_said(write):
    said = {
        "percent": "IoU is logged in percent",
        "wider": "1 rows of metrics.csv are wider",
        "rows of a step in parts": "mIoU is read from the column val_mIoU.",
        "panel": "loss is read from the column a - loss.",
    }
    for name, words in said.items():
        metrics = read_metrics(write(FOREIGN[name][0]))
        assert any(words in remark.en for remark in remarks(metrics)), name


def test_two_rows_in_one_line_and_scores_beyond_reason_are_not_taken_for_values(write):
    glued = "step,mode,loss\n50,train,0.61\n100,train,0.5150,train,0.4\n"
    assert _points(read_metrics(write(glued)), "loss") == {50: 0.61}
    commas = "step,mode,loss,lr\n50,train,0,61,0,0002\n"
    assert _points(read_metrics(write("步数,loss\n50,0.61\n", encoding="gb18030")), "loss") == {50: 0.61}
    with pytest.raises(MetricsError, match="none of its 1 rows"):
        read_metrics(write(commas))
    own = f"{','.join(COLUMNS)}\n" + "".join(
        f"{step},eval,eval{',' * 6}{miou}{',' * 17}\n" for step, miou in ((1, 0.1), (2, 9.1))
    )
    metrics = read_metrics(write(own))
    assert _points(metrics, "mIoU") == {1: 0.1}  # this program writes no percentages: a flipped bit
    assert metrics.garbled == 1


@pytest.mark.parametrize(
    ("text", "fault", "message"),
    [
        ("", Fault.EMPTY, "is empty"),
        ("\0\0\0\0\0\0", Fault.DAMAGED, "is damaged: it contains only zero bytes"),
        (b"\xff\xfa\x80\n\x81\n", Fault.DAMAGED, "is damaged: it has no header"),
        ("step,mode,loss\n", Fault.NO_ROWS, "no row yet"),
        ("step,mode,loss", Fault.NO_ROWS, "no row yet"),
        ("what is this\n1,2\n", Fault.DAMAGED, "is damaged: it has no header and begins with 'what is this'"),
        ("0.5,0.1\n0.4,0.2\n", Fault.FOREIGN, "needs a `step` column; it begins with '0.5,0.1'"),
        ('{"loss": 1}\n', Fault.FOREIGN, "needs a `step` column"),
        (
            "epoch,loss,lr\n0,1,2\n",
            Fault.FOREIGN,
            r"its columns: epoch, loss, lr\. An epoch is not an iteration",
        ),
        ("            epoch,    box\n  1,  2\n", Fault.FOREIGN, "its columns: epoch, box"),
        ("time;Wert\n1;2\n", Fault.FOREIGN, "its columns: time, Wert. Rename the column that counts"),
        ("step,mode,loss\n1\n2\n", Fault.DAMAGED, "none of its 2 rows can be read, the first is line 2"),
    ],
)
def test_nothing_to_read(write, text, fault, message):
    folder = write(text)
    with pytest.raises(MetricsError, match=message) as caught:
        read_metrics(folder)
    assert caught.value.fault is fault
    assert str(folder / "metrics.csv") in str(caught.value)
    assert ("damaged" in str(caught.value)) == (fault is Fault.DAMAGED)
    tail = MetricsTail(folder / "metrics.csv")
    while tail.advance():
        pass
    notice = tail.notice
    said = notice is not None and notice.trouble is Trouble.NO_HEADER
    assert said == (fault is Fault.FOREIGN or "begins with" in message or isinstance(text, bytes))


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(MetricsError, match=r"no metrics\.csv in .*train_\*\.log"):
        read_metrics(tmp_path)
    with pytest.raises(MetricsError, match=r"no run directory .*nowhere"):
        read_metrics(tmp_path / "nowhere")


def test_of_a_huge_file_both_ends_are_enough_to_judge_it(tmp_path):
    path = tmp_path / "metrics.csv"
    rows = [f"{step},train,train,{1 / step}" for step in range(1, 20_001)]
    path.write_text("\n".join(["step,mode,phase,loss", *rows, ""]))
    for encoding in ("utf-8", "utf-16"):
        path.write_text("\n".join(["step,mode,phase,loss", *rows, ""]), encoding=encoding)
        judged = read_metrics(path, most=10_000)
        assert len(judged.training) < 1_000
        assert (judged.training.steps[0], judged.last_step) == (1, 20_000)
        assert not judged.unreadable
        assert len(read_metrics(path, most=1 << 30).training) == 20_000


def test_a_file_that_ends_before_its_run_did_is_damaged(write):
    folder = write("step,mode,loss\n10,train,1\n")
    path = folder / "metrics.csv"
    assert damage(path, read_metrics(path)) is None
    (folder / "status.json").write_text('{"state": "finished", "step": 20, "max_iters": 20}')
    assert "ends at iteration 10" in damage(path, read_metrics(path)).en
    path.write_text("step,mode,loss\n20,train,1\nx\ny\n")
    assert "2 rows cannot be read" in damage(path, read_metrics(path)).en


def test_infinite_and_huge_values_do_not_disturb_each_other(write):
    metrics = read_metrics(write("step,loss\n1,1e308\n2,1e308\n3,inf\n"))
    assert _points(metrics, "loss") == {1: 1e308, 2: 1e308}
    assert [*metrics.not_finite("loss")] == [3]
    assert not any(math.isinf(value) for value in metrics.series("loss").values)
