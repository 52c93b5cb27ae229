"""The reader of ``metrics.csv`` uses what can be read, and says clearly when nothing can."""

import math

import pytest

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.runs.metrics import MetricsWriter
from diffbev_engine.runs.metrics_reader import Series, read_metrics


@pytest.fixture
def write(tmp_path):
    def write(text, folder="run"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "metrics.csv").write_text(text)
        return tmp_path / folder

    return write


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
    assert metrics.series("loss") == Series((10, 20, 30), (2.5, 1.5, 1.25))
    assert metrics.series("mIoU") == Series((20,), (0.25,))
    assert metrics.series("IoU/car") == Series((20,), (0.5,))
    assert not metrics.series("IoU/bus")
    assert not metrics.series("Ldiff")
    assert (metrics.last_step, metrics.unreadable, metrics.superseded) == (30, [], 0)


@pytest.mark.parametrize("torn", ["40,trai", "40,train,train,0.12", "40"])
def test_a_half_written_last_line_is_left_out(tmp_path, torn):
    path = _log(tmp_path, _train(10, 2.5), _train(20, 1.5))
    path.write_text(path.read_text() + torn)
    metrics = read_metrics(tmp_path)
    assert metrics.series("loss").steps == (10, 20)
    assert not metrics.unreadable


def test_a_last_line_without_newline_may_lack_digits(tmp_path):
    path = _log(tmp_path, _train(10, 2.5), _train(20, 1.5))
    path.write_text(path.read_text()[:-1])  # every cell is there, but the last one may go on
    assert read_metrics(path).series("loss").steps == (10,)


def test_after_a_resume_later_rows_win(write):
    rows = ["10,train,5", "20,train,4", "20,eval,", "30,train,3", "40,train,2"]
    rows += ["30,train,3.5", "40,train,2.5", "40,eval,", "50,train,1"]
    metrics = read_metrics(write("\n".join(["step,mode,loss", *rows, ""])))
    assert metrics.series("loss") == Series((10, 20, 30, 40, 50), (5, 4, 3.5, 2.5, 1))
    assert [row.step for row in metrics.evaluation] == [20, 40]
    assert metrics.superseded == 2


def test_a_resume_at_other_steps_leaves_no_row_of_the_abandoned_branch(write):
    rows = ["10,train,5", "20,train,4", "35,train,100", "20,train,3", "30,train,2"]
    metrics = read_metrics(write("\n".join(["step,mode,loss", *rows, ""])))
    assert metrics.series("loss") == Series((10, 20, 30), (5, 3, 2))


def test_nan_and_blank_cells(write):
    metrics = read_metrics(
        write("step,mode,loss,Lwce\n1,train,2,\n2,train,nan,1\n3,train,inf,\n4,train,1,2\n")
    )
    assert metrics.series("loss") == Series((1, 4), (2, 1))
    assert metrics.series("Lwce") == Series((2, 4), (1, 2))
    assert metrics.first_not_finite("loss") == 2
    assert metrics.first_not_finite("Lwce") is None
    assert math.isnan(metrics.training[1].values["loss"])


def test_a_header_that_is_written_again_names_the_rows_below_it(write):
    text = "mode,phase,step,loss\ntrain,train,1,5\nmode,phase,step,Lwce,loss\ntrain,train,2,3,4\n"
    metrics = read_metrics(write(text))
    assert metrics.series("loss") == Series((1, 2), (5, 4))
    assert metrics.series("Lwce") == Series((2,), (3,))


def test_files_of_older_programs(write):
    """Other column order, ``IoU_car``, a byte order mark, Windows line ends, no mode column."""
    text = "\ufeffIoU_car,mIoU,step,loss\r\n,,1,5\r\n0.5,0.25,1,\r\n"
    metrics = read_metrics(write(text))
    assert metrics.series("IoU/car") == Series((1,), (0.5,))
    assert metrics.series("loss") == Series((1,), (5,))


def test_unreadable_lines_are_counted(write):
    text = "step,mode,loss\n1,train,5\n2,train\n\0\0\0\0\n3,train,x\n-4,train,1\n1.5,train,1\n6,train,4\n"
    metrics = read_metrics(write(text))
    assert metrics.series("loss") == Series((1, 6), (5, 4))
    assert metrics.unreadable == [3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\0\0\0\0\0\0", "is damaged: it holds nothing but zero bytes"),
        ("step,mode,loss\n", "no row yet"),
        ("step,mode,loss", "no line of it is a header"),
        ("what is this\n1,2\n", "no line of it is a header .*'what is this'"),
        ("step,mode,loss\n1\n2\n", "none of its 2 rows can be read, the first is line 2"),
    ],
)
def test_nothing_to_read(write, text, message):
    folder = write(text)
    with pytest.raises(DiffBEVError, match=message) as caught:
        read_metrics(folder)
    assert str(folder / "metrics.csv") in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DiffBEVError, match=r"no metrics\.csv in .*train_\*\.log"):
        read_metrics(tmp_path)
    with pytest.raises(DiffBEVError, match=r"no run directory .*nowhere"):
        read_metrics(tmp_path / "nowhere")


def test_of_a_huge_file_both_ends_are_enough_to_judge_it(tmp_path):
    path = tmp_path / "metrics.csv"
    rows = [f"{step},train,train,{1 / step}" for step in range(1, 20_001)]
    path.write_text("\n".join(["step,mode,phase,loss", *rows, ""]))
    judged = read_metrics(path, most=10_000)
    assert len(judged.training) < 1_000
    assert (judged.training[0].step, judged.last_step) == (1, 20_000)
    assert not judged.unreadable
    assert len(read_metrics(path, most=1 << 30).training) == 20_000
