"""Models written as Modelfiles."""

from pathlib import Path

import pytest

from olpipe.messages import Message
from olpipe.model import ModelBundle, ModelName
from olpipe.store.modelfile import modelfile, parameter_lines


def bundle(**fields):
    return ModelBundle(ModelName.parse("me/it"), "sha256:0", Path("/srv/view"), Path("/srv/cache"), **fields)


def test_a_modelfile_names_the_model_and_no_path():
    assert modelfile(bundle(), template="") == '# Modelfile written by "olpipe show"\nFROM me/it:latest\n'


def test_a_modelfile_has_all_texts():
    whole = bundle(
        system="Be brief.",
        parameters={"temperature": 0.5, "stop": ["</s>", " x"]},
        messages=(Message.of("user", "hi"), Message.of("assistant", "two\nlines")),
        licenses=("MIT",),
    )
    assert modelfile(whole, template='say "{{ .Prompt }}"').splitlines()[2:] == [
        'TEMPLATE """say "{{ .Prompt }}""""',
        "SYSTEM Be brief.",
        "PARAMETER stop </s>",
        'PARAMETER stop " x"',
        "PARAMETER temperature 0.5",
        "MESSAGE user hi",
        'MESSAGE assistant """two',
        'lines"""',
        "LICENSE MIT",
    ]


@pytest.mark.parametrize(
    ("parameters", "lines"),
    [
        ({}, ""),
        ({"temperature": 0.8}, "temperature                    0.8"),
        (
            {"stop": ["<|im_end|>", "ü"]},
            'stop                           "<|im_end|>"\nstop                           "ü"',
        ),
        ({"b": 1, "a": True}, "a                              true\nb                              1"),
    ],
)
def test_parameters_stand_in_a_column(parameters, lines):
    assert parameter_lines(parameters) == lines
