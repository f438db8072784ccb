"""Which of two languages a chat template is written in."""

import pytest

from olpipe.families.template_language import is_jinja
from olpipe.testing.models import CHAT_TEMPLATE


@pytest.mark.parametrize(
    "template",
    [
        CHAT_TEMPLATE,
        "{% for message in messages %}{{ message.content }}{% endfor %}",
        "{{ bos_token }}{{ messages[0].Content }}",
        "{{- messages[0]['content'] -}}",
        "{{ x('.Prompt') }}",
        "{{ Foo.Bar }}",
    ],
)
def test_jinja_is_known(template):
    assert is_jinja(template)


@pytest.mark.parametrize(
    "template",
    [
        "{{ .Prompt }}",
        "{{.System}} USER: {{.Prompt}}",
        "{{- if .System }}<|system|>{{ .System }}{{ end }}{{ .Response }}",
        '{{- range $i, $_ := .Messages }}{{ if eq .Role "user" }}{{ .Content }}{{ end }}{{ end }}',
        '{{ printf "%s" .Prompt }}',
        "{{ (index .Messages 0).Content }}",
        "",
        "You are a pirate.",
    ],
)
def test_what_is_not_jinja_is_known(template):
    assert not is_jinja(template)
