"""Read forms with files: bodies of the type `multipart/form-data`. Everything stays in memory, nothing on the disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from olpipe.server.refusal import Refusal

MOST_PARTS = 64


@dataclass(slots=True)
class FormPart:
    """A field of a form.

    Attributes:
        name: The field's name.
        file: The name of the file that it holds; None where it is a text.
        data: Its bytes.
    """

    name: str = ""
    file: str | None = None
    data: bytearray = field(default_factory=bytearray)


def parts_of(content_type: str, data: bytes) -> list[FormPart]:
    """Return the fields of a form. Where that takes long, the event loop is not held up if a thread calls this.

    Args:
        content_type: The header of that name, which says where a field ends.
        data: The body.

    Raises:
        Refusal: It is not such a form.
    """
    from python_multipart import MultipartParser
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import parse_options_header

    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise Refusal(400, "the form cannot be read: its content type has no boundary")
    reader = _Reader()
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": reader.begin,
                "on_header_field": reader.header_field,
                "on_header_value": reader.header_value,
                "on_header_end": reader.header_end,
                "on_part_data": reader.part_data,
                "on_end": reader.end,
            },
        )
        parser.write(data)
        parser.finalize()
    except FormParserError as error:
        raise Refusal(400, f"the form cannot be read: {error}") from error
    if not reader.ended:
        raise Refusal(400, "the form cannot be read: its end is missing")
    return list(_named(reader.parts))


class _Reader:
    """Takes what the parser finds."""

    def __init__(self) -> None:
        self.parts: list[FormPart] = []
        self.ended = False
        self._header = b""
        self._value = b""

    def begin(self) -> None:
        if len(self.parts) == MOST_PARTS:
            raise Refusal(400, f"the form has more than {MOST_PARTS} fields")
        self.parts.append(FormPart())

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        from python_multipart.multipart import parse_options_header

        if self._header.lower() == b"content-disposition":
            options = parse_options_header(self._value)[1]
            self.parts[-1].name = options.get(b"name", b"").decode(errors="replace")
            if b"filename" in options:
                self.parts[-1].file = options[b"filename"].decode(errors="replace")
        self._header = self._value = b""

    def part_data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].data += memoryview(data)[start:end]

    def end(self) -> None:
        self.ended = True


def _named(parts: list[FormPart]) -> Iterator[FormPart]:
    for part in parts:
        if not part.name:
            raise Refusal(400, "the form cannot be read: a field has no name")
        yield part
