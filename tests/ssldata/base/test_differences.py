"""What differs between nested settings, by dotted key."""

from __future__ import annotations

from typing import Any

import pytest

from ssldata.base.differences import described, differences


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": 1, "b": {"c": [1, 2]}}, {"b": {"c": [1, 2]}, "a": 1}, {}),
        ({"b": {"c": 1, "d": 2}}, {"b": {"c": 1, "d": 3}}, {"b.d": [2, 3]}),
        ({"z": 1, "a": 1}, {}, {"a": [1, None], "z": [1, None]}),
        ({}, {"a": {"b": {"c": 0}}}, {"a.b.c": [None, 0]}),
        ({"a": {"b": 1}}, {"a": 5}, {"a": [{"b": 1}, 5]}),
        ({"a": [1, 2]}, {"a": [1, 3]}, {"a": [[1, 2], [1, 3]]}),
        ({"a": {}}, {"a": None}, {}),
        ({"a": 0}, {"a": None}, {"a": [0, None]}),
        (None, {"a": 1}, {"a": [None, 1]}),
    ],
)
def test_every_value_that_differs(old: Any, new: Any, expected: dict[str, list[Any]]) -> None:
    found = differences(old, new)
    assert found == expected
    assert list(found) == sorted(found)
    assert differences(new, old) == {key: pair[::-1] for key, pair in expected.items()}


def test_keys_within_a_larger_mapping() -> None:
    assert differences({"gap": 5}, {"gap": 20}, at="liftover") == {"liftover.gap": [5, 20]}
    assert differences(1, 2, at="seed") == {"seed": [1, 2]}


def test_long_values_are_shortened() -> None:
    assert described(
        differences({"rate": 0.1, "list": [1]}, {"rate": None, "list": [*range(20)]})
    ) == [
        "list: [1] → [0, 1, 2, 3,…",
        "rate: 0.1 → null",
    ]
