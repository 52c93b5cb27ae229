"""Lists on the command line are read alike by every command."""

import click
import pytest

from diffbev_engine.cli.options import WholeNumbers, read_seeds, separated

GPUS = WholeNumbers(0, "a list of GPUs")


@pytest.mark.parametrize(
    ("text", "numbers"), [("0", (0,)), ("2,0", (2, 0)), ("0, 1", (0, 1)), ("3,1,3", (3, 1))]
)
def test_numbers_keep_their_order(text, numbers):
    assert GPUS.convert(text, None, None) == numbers


@pytest.mark.parametrize("text", ["", ",", "1,", "-1", "0,-1", "1.0", "1_0", "all", "1;2"])
def test_what_is_no_list_is_named(text):
    with pytest.raises(click.BadParameter, match="is not a list of GPUs"):
        GPUS.convert(text, None, None)


def test_the_least_is_a_limit():
    with pytest.raises(click.BadParameter):
        WholeNumbers(1, "a number of steps").convert("0,1", None, None)


def test_seeds_differ():
    context, parameter = click.Context(click.Command("x")), click.Option(["--seeds"])
    assert read_seeds(context, parameter, None) == ()
    assert read_seeds(context, parameter, "4,0") == (4, 0)
    for text in ("0,0", "0,00", "-1", "", "x"):
        with pytest.raises(click.BadParameter, match="different seeds"):
            read_seeds(context, parameter, text)


def test_numbers_of_another_kind_are_none():
    assert separated("8,12.5", float) == (8.0, 12.5)
    assert separated("8,12.5", int) == ()
