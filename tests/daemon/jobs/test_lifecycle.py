"""The life of a job: every event in every state, and what holds whatever happens.

`python -m tests.daemon.jobs.test_lifecycle` writes the table into docs/architecture.md.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from stylewatch_daemon.base.model import (
    PICTURES,
    Attempt,
    Cause,
    End,
    Input,
    Job,
    OutputFile,
    State,
)
from stylewatch_daemon.jobs.lifecycle import (
    ACTIVITIES,
    ALLOWED,
    BEGINS,
    FOLLOWS,
    TABLE,
    Abandoned,
    Activity,
    Asked,
    Begun,
    Blocked,
    Broke,
    Deleted,
    Displaced,
    Effect,
    Finished,
    Found,
    InputsChanged,
    Inspected,
    LinkChosen,
    Lost,
    Moved,
    Next,
    OutputListed,
    Placed,
    Published,
    Regained,
    Resolved,
    Restarted,
    Restored,
    Staged,
    Stopped,
    Trashed,
    Unusable,
    advance,
    may_resume,
    numbered,
)

PAGE = Path(__file__).parents[3] / "docs/architecture.md"
LIMIT = 3

EVENTS: tuple[Any, ...] = (
    Moved(), Abandoned(), Inspected(), Inspected(problem="no picture"),
    Resolved(1, "sketch"), Begun("a"), Placed("a-2"), Staged(1), Staged(9), Finished(End.DONE),
    Finished(End.STOPPED_EARLY), Unusable(Cause.SETTINGS, "steps: many"), Stopped(),
    Blocked(Cause.DISK, "full"), Blocked(Cause.DISK, "gone", has_output=True),
    Lost(Cause.WORKER, "it died", LIMIT), Asked(End.CANCELED),
    Asked(End.STOPPED_EARLY), Broke("KeyError"), OutputListed(), LinkChosen(),
    Published(),
    InputsChanged(), Trashed("then"), Restored(), Deleted(),
    Displaced(), Restarted(),
)  # fmt: skip

NEW = Job("1", "a", "/in", "/out", "then", inputs=(Input("content", "a.jpg", "/in/a.jpg", 3),))


def samples(state: State) -> Iterator[Job]:
    """Jobs in `state` that differ in all that a rule may look at."""
    ends = End if state in (State.ENDING, State.ENDED) else [None]
    for end, asked, faults in product(ends, (None, End.STOPPED_EARLY, End.CANCELED), range(LIMIT)):
        # a job that is canceled in the queue ends at once
        if not (state is State.QUEUED and asked is End.CANCELED):
            job = replace(NEW, state=state, end=end, asked=asked, faults=faults, step=5)
            yield replace(job, finished="now" if state is State.ENDED else None)
    if state is State.ENDED:
        yield replace(job, trashed="before")


def text_of(before: Job, after: Job | None) -> str:
    """What an event made of a job, as the table says it."""
    if after is None:
        return "no job"
    is_decided = after.state is State.ENDING and after.end is not before.end
    return f"{after.state} ({after.end})" if is_decided else after.state


# -- the table


def test_nothing_happens_by_an_event_without_a_rule_or_to_no_job() -> None:
    assert advance(None, Found(NEW)) == Next(NEW, (Effect.MOVE,))
    assert advance(NEW, Found(NEW)) == Next(NEW), "it was found before"
    assert advance(None, Regained(NEW)) == advance(NEW, Regained(NEW)) == Next(NEW)
    assert {advance(None, event) for event in EVENTS} == {Next(None)}
    for state, event in product(State, EVENTS):
        if (state, type(event)) not in TABLE:
            assert all(advance(job, event) == Next(job) for job in samples(state))


def test_what_an_effect_begins_is_allowed_in_the_state_that_it_follows() -> None:
    for state, event in product(State, EVENTS):
        for job in samples(state):
            after = advance(job, event)
            for effect in after.effects:
                if after.job is not None and effect in BEGINS:
                    assert BEGINS[effect] in ALLOWED[after.job.state], (event, effect)


def test_every_activity_can_end_and_be_begun() -> None:
    reached = {Activity.IDLE}
    for _ in Activity:
        reached |= {each for before in reached for each in FOLLOWS[before]}
    assert reached == {*Activity}
    assert all(FOLLOWS[each] & {Activity.IDLE, Activity.WAITING} for each in Activity)
    assert {*BEGINS.values()} < {each for state in State for each in ALLOWED[state]}


def check(before: Job, event: object, job: Job | None) -> None:
    """Check that a job ends at most once, and as it was decided."""
    if job is None:
        assert isinstance(event, Abandoned | Deleted)
        return
    assert (job.end is not None) == (job.state in (State.ENDING, State.ENDED))
    assert job.state in (State.ENDING, State.ENDED) or job.faults < LIMIT
    if before.state is State.ENDED:
        assert replace(job, trashed=before.trashed) == before, "late bytes change only its inputs"
        assert job == before or isinstance(event, Trashed | Restored)
    if before.finished:
        assert (job.end, job.finished) == (before.end, before.finished), "people were told"
    if job.state is State.ENDED:
        assert before.state in (State.ENDING, State.ENDED)
    if before.state is State.ENDING and isinstance(event, Blocked) and event.has_output:
        assert job == before, "people may have seen its receipt"
    if before.asked is End.CANCELED:
        assert job.asked is End.CANCELED, "nobody takes that back"
        assert job.state is not State.QUEUED, "it would wait for nothing"
        if before.end is None and not isinstance(event, Finished):
            assert job.end in (None, End.CANCELED)


def test_whatever_happens_a_job_ends_at_most_once_and_as_it_was_decided() -> None:
    for state, event in product(State, EVENTS):
        for job in samples(state):
            check(job, event, advance(job, event).job)


def rendered() -> str:
    """The tables in Markdown: what `advance` makes of all samples; effects and activities."""
    outcomes: dict[type, list[str]] = {Found: [_outcome("-", {(Effect.MOVE,): ["claimed"]})]}
    for state, kind in TABLE:
        results = dict[tuple[Effect, ...], list[str]]()
        for event, job in product(EVENTS, samples(state)):
            is_early = isinstance(event, Displaced) and job.end not in (None, *PICTURES)
            if type(event) is kind and not is_early:  # only an output has a place to be driven from
                after = advance(job, event)
                results.setdefault(after.effects, []).append(text_of(job, after.job))
        outcomes.setdefault(kind, []).append(_outcome(state, results))
    rows = [
        "| event | what has happened | what the job becomes, by its state |",
        "| --- | --- | --- |",
    ]
    for kind, of_states in outcomes.items():
        rows.append(f"| `{kind.__name__}` | {_first_line(kind)} | {'<br>'.join(of_states)} |")
    rows += ["", _meanings({f"*{_name(effect)}*": str(effect) for effect in Effect}), ""]
    always = frozenset(Activity).intersection(*FOLLOWS.values(), *ALLOWED.values())
    rows += [f"| state | activities, beside {_listed(always)} |", "| --- | --- |"]
    rows += [f"| {state} | {_listed(ALLOWED[state] - always)} |" for state in State]
    rows += ["", _meanings({each: ACTIVITIES[each] for each in Activity})]
    return "\n".join(rows)


def _meanings(words: Mapping[str, str]) -> str:
    """Say what the words mean that do not say it themselves."""
    told = [f"{word}: {text}" for word, text in words.items()
            if not text.startswith(word.strip("*").partition(" ")[0])]  # fmt: skip
    return f"{'; '.join(told)}."


def _listed(activities: Collection[Activity]) -> str:
    return ", ".join(each for each in Activity if each in activities) or "-"


def _first_line(kind: type) -> str:
    return str(kind.__doc__).partition("\n")[0].rstrip(".").replace("`", "")


def _name(effect: Effect) -> str:
    return effect.name.lower().replace("_", " ")


def _outcome(state: str, results: Mapping[tuple[Effect, ...], Sequence[str]]) -> str:
    """Say what a job in `state` becomes, for each list of effects."""
    told = []
    for effects, becomes in results.items():
        outcome = " or ".join(dict.fromkeys(becomes)).replace(") or ending (", ", ")
        told.append(", ".join([outcome, *(f"*{_name(effect)}*" for effect in effects)]))
    return f"{state}: {'; '.join(told)}"


def test_the_page_on_the_architecture_has_the_table() -> None:
    begin, end = "<!-- lifecycle -->\n", "\n<!-- /lifecycle -->"
    shown = PAGE.read_text().partition(begin)[2].partition(end)[0]
    assert shown == rendered(), "write it by: python -m tests.daemon.jobs.test_lifecycle"


# -- what the table does not show


@pytest.mark.parametrize(
    ("limit", "faults", "reason"),
    [(1, 0, "it died"), (3, 2, "tried 3 times, the last time: it died"), (3, 1, None)],
)
def test_a_job_fails_once_as_many_attempts_as_the_limit_went_wrong_in_a_row(
    limit: int, faults: int, reason: str | None
) -> None:
    job = replace(NEW, state=State.RUNNING, faults=faults)
    after = advance(job, Lost(Cause.WORKER, "it died", limit)).job
    assert after is not None
    if reason is None:
        assert (after.state, after.faults, after.reason) == (State.QUEUED, 2, "it died")
    else:
        assert (after.end, after.cause, after.reason) == (End.FAILED, Cause.WORKER, reason)


@pytest.mark.parametrize(
    ("event", "step", "faults", "interruptions"),
    [
        (Staged(6), 6, 0, 0),
        (Staged(5), 5, 2, 2),
        (Stopped(), 5, 2, 0),
        (Blocked(Cause.DISK, ""), 5, 2, 2),
        (Restarted(), 5, 2, 3),
        (Lost(Cause.BUG, "", 9), 5, 3, 0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_a_new_stage_makes_up_for_faults_and_only_a_kill_is_an_interruption(
    event: Any, step: int, faults: int, interruptions: int
) -> None:
    job = replace(NEW, state=State.RUNNING, step=5, faults=2, interruptions=2)
    after = advance(job, event).job
    assert after is not None
    assert (after.step, after.faults, after.interruptions) == (step, faults, interruptions)


def test_inputs_are_what_was_published_last() -> None:
    known = replace(NEW, inputs=(Input("content", "a", "", 1, "1"), Input("style", "b", "", 2)))
    job = replace(known, state=State.ENDING, end=End.DONE)
    published = {name: OutputFile(f"x/{name}", "inputs", "9", 9) for name in "abc"}
    first = advance(job, Published({"a": published["a"]}))
    assert first.job is not None and first.effects == (Effect.NOTIFY, Effect.DISCARD)
    changed = Input("content", "a", "", 9, "9", published="x/a")
    assert first.job.inputs == (changed, known.inputs[1])
    late = advance(first.job, InputsChanged(published))
    undecoded = Input("style", "b", "", 9, published="x/b")
    assert late == Next(replace(first.job, inputs=(changed, undecoded)), (Effect.DISCARD,))
    assert advance(job, OutputListed(published)).job == replace(job, inputs=(changed, undecoded))


DIED = Attempt("t", device="cpu", how=Cause.WORKER)
STOPPED = Attempt("t", device="cpu", how=Cause.DAEMON)
WAITED = Attempt("t", how=Cause.DISK)
BROKE = Attempt("t", how=Cause.BUG)


@pytest.mark.parametrize(
    ("earlier", "faults", "asked", "resumes"),
    [
        ((), 0, None, True),
        ((DIED,), 1, None, True),
        ((DIED, DIED), 2, None, False),
        ((DIED, BROKE), 2, None, False),
        # one that waited for a disk has not begun, and has no checkpoint of its own
        ((DIED, DIED, WAITED), 2, None, False),
        # the last attempt has begun, and goes on after a restart
        ((DIED, DIED, STOPPED), 2, None, True),
        ((DIED, DIED), 2, End.STOPPED_EARLY, True),
        ((DIED, DIED), 2, End.CANCELED, False),
    ],
)
def test_the_last_attempt_starts_from_the_beginning(
    earlier: Sequence[Attempt], faults: int, asked: End | None, resumes: bool
) -> None:
    job = replace(NEW, faults=faults, asked=asked)
    assert may_resume(job, earlier, LIMIT) is resumes


ENDS = (
    Attempt("then", device="cpu", how=Cause.WORKER),
    Attempt("then", how=Cause.WORKER),
    Attempt("then", device="cpu", how=Cause.DEVICE),
    Attempt("then", how=Cause.DEVICE),
    Attempt("then", device="cpu", how=Cause.DAEMON),
)


def test_an_attempt_that_takes_the_number_of_another_one_hides_nothing() -> None:
    """The attempts that are left tell if a job has begun, and if its checkpoint is its own."""
    job = replace(NEW, faults=LIMIT - 1)
    for ends in product(ENDS, repeat=5):
        kept: Sequence[Attempt] = ()
        for count, end in enumerate(ends, start=1):
            kept = (*numbered(kept), end)
            assert any(each.device for each in kept) == any(each.device for each in ends[:count])
            assert may_resume(job, kept, LIMIT) == may_resume(job, ends[:count], LIMIT)
        if all(each.how is Cause.DEVICE for each in ends):
            assert len(kept) <= 3, "days without a device do not fill the ledger"


@pytest.mark.parametrize("end", End)
def test_an_end_that_breaks_becomes_a_failure_which_is_only_tried_again(end: End) -> None:
    job = replace(NEW, state=State.ENDING, end=end, reason="first")
    after = advance(job, Broke("then"))
    if end in (End.FAILED, End.CANCELED):
        assert after == Next(job)
    else:
        assert after.job is not None and after.job.end is End.FAILED
        assert after.effects == (Effect.PUBLISH_END,)


# -- whatever happens


if __name__ == "__main__":
    pattern = re.compile(r"(?s)(?<=<!-- lifecycle -->\n).*?(?=<!-- /lifecycle -->)")
    PAGE.write_text(pattern.sub(lambda match: f"{rendered()}\n", PAGE.read_text()))
