"""The options of a recipe: an object, read one way only, and refused with its line within a second (RA37)."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploynaut.instances.models import Environment
from deploynaut.web.environments.options import BadOptions, read_options
from tests.doors.world import World


@pytest.mark.parametrize(
    ("text", "value"),
    [("", {}), ("{}", {}), ('{"a": [1, 2.5, true, null]}', {"a": [1, 2.5, True, None]}), ('{"\\u00e4": 1}', {"ä": 1})],
)
def test_an_object_is_read(text: str, value: object) -> None:
    assert read_options(text) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1]", "Write the options as a JSON object"),
        ("1", "Write the options as a JSON object"),
        ('{\n  "a": 1,\n  "a": 2\n}', "3:3: the key 'a' is there twice."),
        ('{"a": NaN}', "1:7: NaN is no number."),
        ('{"a": -Infinity}', "1:7: -Infinity is no number."),
        ('{"a": 1e400}', "1:7: the number 1e400 is too large."),
        ('{"a":\n 1' + "0" * 400 + "}", "2:2: a number has too many digits."),
        ('{"a": 1,}', "this is not JSON"),
        ("{'a': 1}", "1:2: this is not JSON"),
        ('{"a": !!python/object:x}', "1:7: this is not JSON"),
        ('{"a": ' + "[" * 25 + "]" * 25 + "}", "deeper than 20"),
        ('{"a": ' + "[" * 9_000, "this is not JSON|deeper than 20"),
        ("[" * 100_000, "this is not JSON|deeper than 20"),
        ('{"a":' * 50_000 + "1" + "}" * 50_000, "deeper than 20"),
        ('{"a": ' + "9" * 100_000 + "}", "too many digits"),
    ],
)
def test_anything_else_is_refused_with_its_line_within_a_second(text: str, words: str) -> None:
    began = time.process_time()
    with pytest.raises(BadOptions, match=words):
        read_options(text)
    assert time.process_time() - began < 1


@settings(max_examples=200, deadline=1000)
@given(st.text(max_size=80) | st.text(alphabet='{}[]":,01eE.-+ \n\\uNaInfity', max_size=60))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    try:
        assert isinstance(read_options(text), dict)
    except BadOptions as refused:
        assert str(refused)


def test_the_settings_say_what_is_wrong_and_save_nothing(world: World) -> None:
    fields = {"url": "", "recipe": "plain", "recipe_options": '{"a": 1, "a": NaN}'}
    answer = world.browser("Ida").post("/instances/acme/uat/settings/", fields)
    assert answer.status_code == 400
    assert "1:15: NaN is no number." in answer.content.decode()
    assert Environment.objects.get(pk=world.uat.pk).recipe_options == {}
