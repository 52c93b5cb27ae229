"""What counts as a secret in a command line, a text and an environment, and what does not."""

import pytest

from diffbev_engine.core.secrets import masked, masked_command, masked_values, without_secrets

ENVIRONMENT = {
    "HF_TOKEN": "hf_abcdefgh1234",
    "SSH_AUTH_SOCK": "/tmp",
    "API_KEY": "short",
    "HOME": "/home/somebody",
}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("HF_TOKEN=hf_x1 diffbev-engine train c", "HF_TOKEN=*** diffbev-engine train c"),
        ("export API_KEY='a b c'; echo", "export API_KEY=***; echo"),
        ("--set 'notify.urls=[\"slack://A/B\"]' x", "--set 'notify.urls=***' x"),
        ("--set notify.urls=ntfy://t/x done", "--set notify.urls=*** done"),
        ("login --api-key sk-123 --verbose", "login --api-key *** --verbose"),
        ("curl -H 'Authorization: Bearer abc.d'", "curl -H 'Authorization: Bearer ***'"),
        ("get https://u:p@h/x?token=aa&b=1", "get https://***@h/x?token=***&b=1"),
        ("my_password=x db.pwd=y", "my_password=*** db.pwd=***"),
        ("it said hf_abcdefgh1234 there", "it said *** there"),
    ],
)
def test_secrets_in_a_text_are_masked(text, shown):
    assert masked(text, ENVIRONMENT) == shown
    assert masked(shown, ENVIRONMENT) == shown


@pytest.mark.parametrize(
    "text",
    [
        "model.diffusion.fusion.key_stride=8",
        "preview-labels --token fd8420396768425eabec9bdddf7e64b6",
        "sorted(key=len) author=me bypass=on compass=north",
        "the key frames are in /home/somebody, see https://pytorch.org/x",
        "short",
    ],
)
def test_what_only_looks_like_one_stays(text):
    assert masked(text, ENVIRONMENT) == text


def test_arguments_are_masked_one_by_one():
    command = ["p", "--set", 'notify.urls=["x y"]', "--password", "abc", "HF_TOKEN=1"]
    command += ["--set", "a.key_stride=8"]
    assert masked_command(command) == [
        *("p", "--set", "notify.urls=***", "--password", "***", "HF_TOKEN=***"),
        *("--set", "a.key_stride=8"),
    ]


def test_plain_values_are_masked_wherever_they_are():
    content = {"a": ["A_TOKEN=1", 2, None], "b": {"c": "ftp://u:p@h"}, "d": ("x",)}
    assert masked_values(content) == {"a": ["A_TOKEN=***", 2, None], "b": {"c": "ftp://***@h"}, "d": ["x"]}


def test_an_environment_without_secrets():
    given = {"NCCL_DEBUG": "INFO", "NCCL_KEY": "x", "HTTP_PROXY": "http://u:p@h"}
    assert without_secrets(given) == {"NCCL_DEBUG": "INFO"}


def test_long_texts_take_no_time():
    for piece in ("authorization", "--key ", "'key=", "a://", "a.", "--", "KEY_"):
        masked(piece * 5_000)
