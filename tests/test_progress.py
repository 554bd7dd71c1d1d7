"""Progress: durations for people, no ETA before it can be trusted, and an ETA from the recent rate."""

import pytest

from asr.progress import LOG_INTERVAL, ProgressBar, RemainingTime, format_duration


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def step(clock: Clock, remaining: RemainingTime, count: int, seconds: float) -> None:
    for _ in range(count):
        clock.now += seconds
        remaining.advance(1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((-1, "0 s"), (0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s")),
        *((3599.4, "59 min 59 s"), (3599.6, "1 h 00 min"), (3900, "1 h 05 min"), (7199, "2 h 00 min")),
    ],
)
def test_durations_are_written_for_people(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_slow_first_steps_do_not_spoil_the_estimate(clock: Clock) -> None:
    """A run of 200 s whose first step compiles code for 30 s: 1700 steps of 0.1 s follow."""
    remaining = RemainingTime(1701, clock=clock)
    step(clock, remaining, 1, 30.0)
    assert remaining.seconds() is None
    for done in range(1701 - 1):
        step(clock, remaining, 1, 0.1)
        estimate, true = remaining.seconds(), 0.1 * (1700 - 1 - done)
        if done < 40:
            assert estimate is None
        if done > 60:
            assert estimate == pytest.approx(true, rel=1e-6)
    assert remaining.seconds() == 0.0


def test_the_rate_of_the_recent_past_counts(clock: Clock) -> None:
    remaining = RemainingTime(10_000, clock=clock)
    step(clock, remaining, 100, 1.0)
    assert remaining.seconds() == pytest.approx(9900)
    step(clock, remaining, 1100, 0.1)  # 110 s: the second half of the time holds fast steps only
    assert remaining.seconds() == pytest.approx(880, rel=0.01)


def test_few_steps_are_trusted_from_5_percent_on(clock: Clock) -> None:
    remaining = RemainingTime(100, clock=clock)
    step(clock, remaining, 4, 6.0)
    assert remaining.seconds() is None
    step(clock, remaining, 1, 6.0)
    assert remaining.seconds() == pytest.approx(95 * 6)
    long = RemainingTime(100_000, clock=clock)
    step(clock, long, 19, 6.0)
    assert long.seconds() is None
    step(clock, long, 1, 6.0)
    assert long.seconds() == pytest.approx(99_980 * 6)


def test_steps_of_an_earlier_run_are_not_counted_as_fast(clock: Clock) -> None:
    remaining = RemainingTime(1000, done=900, clock=clock)
    step(clock, remaining, 10, 2.0)
    assert remaining.seconds() == pytest.approx(90 * 2)


def test_a_task_of_unknown_length_has_no_estimate(clock: Clock) -> None:
    remaining = RemainingTime(None, clock=clock)
    step(clock, remaining, 100, 1.0)
    assert remaining.seconds() is None


def test_lines_in_a_log(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar("packing", 300, clock=clock) as bar:
        clock.now += LOG_INTERVAL + 1
        bar.advance()
        for _ in range(80):
            clock.now += 1.0
            bar.advance(note="loss 0.5")
        bar.print("a line that stays")
    assert capsys.readouterr().err.splitlines() == [
        "packing 1/300",
        "packing 32/300 loss 0.5 ETA 4 min 28 s",
        "packing 63/300 loss 0.5 ETA 3 min 57 s",
        "a line that stays",
    ]


def test_the_bar_on_a_terminal_shows_the_estimate(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with ProgressBar("packing", 300, clock=clock) as bar:
        for _ in range(30):
            clock.now += 1.0
            bar.advance()
        bar._bar.refresh()  # type: ignore[union-attr]
    shown = capsys.readouterr().err
    assert "30/300" in shown and "ETA 4 min 30 s" in shown


def test_one_of_several_processes_prints_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    for shown in (True, False):
        with ProgressBar("training", 10, shown=shown, clock=clock) as bar:
            clock.now += LOG_INTERVAL + 1
            bar.advance()
    assert capsys.readouterr().err.count("training 1/10") == 1
