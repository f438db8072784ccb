"""Write how far a step is in one line, as Ollama's command line does.

    pulling 8eeb52dfb3bb:  42% ▕████████            ▏  12 MB/100 MB    5 MB/s     12s

Source: https://github.com/ollama/ollama/blob/main/progress/bar.go
"""

from __future__ import annotations

from collections import deque

from olpipe.cli.repl.terminal import printable
from olpipe.interfaces import Progress
from olpipe.sizes import size

LONGEST_BAR, SHORTEST_BAR = 50, 8
_WINDOW_S, _FEWEST = 10.0, 20
_SIZE_WIDTH, _RATE_WIDTH, _LEFT_WIDTH = 6, 8, 6
_MOST_LEFT_S = 100 * 3600


class Rate:
    """How many units are done in a second, measured over the last seconds, or over the last few reports."""

    def __init__(self) -> None:
        self._reports: deque[tuple[float, int]] = deque()

    def add(self, now_s: float, completed: int) -> None:
        """Take in how many units are done by now."""
        self._reports.append((now_s, completed))
        while len(self._reports) > _FEWEST and now_s - self._reports[0][0] > _WINDOW_S:
            self._reports.popleft()

    @property
    def per_second(self) -> float:
        """Units a second; 0 where that is not known yet."""
        if not self._reports:
            return 0.0
        (begun_s, before), (now_s, completed) = self._reports[0], self._reports[-1]
        return max(0.0, (completed - before) / (now_s - begun_s)) if now_s > begun_s else 0.0


def bar_line(progress: Progress, columns: int, *, rate: float = 0.0, note: str = "", ascii_only: bool = False) -> str:
    """Return a line that is no wider than the terminal. What does not fit is left out, the least important first.

    Args:
        progress: How far the step is.
        columns: How wide the line may be.
        rate: Units a second; 0 where that is not known.
        note: What stands at the end of the line.
        ascii_only: Whether the terminal shows ASCII characters only.
    """
    head = printable(progress.status)
    if progress.total is None or progress.total <= 0:
        numbers = f": {_amount(progress, progress.completed)}" if progress.completed else ""
        return cut(head + numbers + (f"  {_speed(progress, rate)}" if numbers and rate else ""), columns)
    done = min(1.0, max(0, progress.completed) / progress.total)
    start = f"{head}: {int(done * 100):3d}%"
    for end in _ends(progress, rate, note):
        room = min(LONGEST_BAR, columns - width(start) - width(end) - 3)
        if room >= SHORTEST_BAR:
            return f"{start} {_bar(done, room, ascii_only=ascii_only)}{end}".rstrip()
    return start if width(start) <= columns else f"{cut(head, columns - 6)}: {int(done * 100):3d}%"


def plain_line(progress: Progress, *, rate: float = 0.0) -> str:
    """Return a line for a log: without a bar, and as long as it needs."""
    head = printable(progress.status)
    if progress.total is None or progress.total <= 0:
        return f"{head}: {_amount(progress, progress.completed)}" if progress.completed else head
    parts = [_amounts(progress), _speed(progress, rate), _left(progress, rate) and f"{_left(progress, rate)} left"]
    share = int(100 * min(1.0, progress.completed / progress.total))
    return f"{head}: {share}%, {', '.join(part for part in parts if part)}"


def width(text: str) -> int:
    """Return how many columns a text takes."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth

    return max(int(wcswidth(text)), 0) or len(text)


def cut(text: str, columns: int) -> str:
    """Return a text that is no wider than some columns; three dots stand for what is cut off."""
    if width(text) <= columns:
        return text
    while text and width(text) > columns - 3:
        text = text[:-1]
    return f"{text}..."[: max(columns, 0)]


def _bar(done: float, room: int, *, ascii_only: bool) -> str:
    from tqdm.std import Bar

    drawn = format(Bar(done, room, " #" if ascii_only else " █"), "")
    return f"[{drawn}]" if ascii_only else f"▕{drawn}▏"


def _ends(progress: Progress, rate: float, note: str) -> list[str]:
    """Return what may stand behind the bar, the longest first. Their widths do not change while a step goes on."""
    whole = _amount(progress, progress.total or 0)
    longest = len(whole) + 1 + (_SIZE_WIDTH if progress.unit == "B" else len(str(progress.total)))
    amounts, said = f" {_amounts(progress):<{longest}}", f"  {note}" if note else ""
    is_over = progress.completed >= (progress.total or 0)
    speed = f"  {'' if is_over else _speed(progress, rate):>{_RATE_WIDTH}}"
    left = f"  {_left(progress, rate):>{_LEFT_WIDTH}}"
    return [amounts + said + speed + left, amounts + said + speed, amounts + said, said, ""]


def _amounts(progress: Progress) -> str:
    total = progress.total or 0
    whole = _amount(progress, total)
    if progress.unit == "B":
        return whole if progress.completed >= total else f"{size(progress.completed)}/{whole}"
    return f"{progress.completed}/{whole}"


def _amount(progress: Progress, count: int) -> str:
    if progress.unit == "B":
        return size(count)
    return f"{count}" if progress.unit == progress.status else f"{count} {progress.unit}"


def _speed(progress: Progress, rate: float) -> str:
    if not rate:
        return ""
    if progress.unit == "B":
        return f"{size(int(rate))}/s"
    return f"{rate:.{2 if rate < 10 else 0}f}/s"


def _left(progress: Progress, rate: float) -> str:
    """Return how long the rest will take: `12s`, `2m50s`, `1h02m`; an empty text where that is not known."""
    left = (progress.total or 0) - progress.completed
    if not rate or left <= 0 or left / rate > _MOST_LEFT_S:
        return ""
    seconds = round(left / rate)
    if seconds < 60:
        return f"{seconds}s"
    return f"{seconds // 60}m{seconds % 60:02d}s" if seconds < 3600 else f"{seconds // 3600}h{seconds // 60 % 60:02d}m"
