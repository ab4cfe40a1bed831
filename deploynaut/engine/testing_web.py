"""A web that answers from a script: the shipped stand-in for `smoke_tests.Transport`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from deploynaut.engine.smoke_tests import Answer, NoAnswer, SmokeTest

Scripted = Answer | NoAnswer


class ScriptedWeb:
    """Answers each URL from its list, the last answer again and again. What was asked is in `asked`, in order."""

    def __init__(self, answers: Mapping[str, Scripted | Sequence[Scripted]]) -> None:
        self._answers = {url: _as_list(given) for url, given in answers.items()}
        self.asked: list[str] = []

    def say(self, url: str, *answers: Scripted) -> None:
        """From now on this URL answers so."""
        self._answers[url] = list(answers)

    def get(self, test: SmokeTest, *, guard: Callable[[], None]) -> Answer:
        """See `Transport.get`. A URL without a script cannot be resolved."""
        guard()
        self.asked.append(test.url)
        waiting = self._answers.get(test.url) or [NoAnswer("the name cannot be resolved")]
        answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if isinstance(answer, NoAnswer):
            raise answer
        return answer


def _as_list(given: Scripted | Sequence[Scripted]) -> list[Scripted]:
    return [given] if isinstance(given, Answer | NoAnswer) else list(given)
