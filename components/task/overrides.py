"""Settings by dotted name, `train.epochs=1`: change the fields of a task without editing it."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from components.task.keras_text import split_texts
from data.errors import UsageError, unknown
from data.fields import describe_choices, is_finite, types_of

T = TypeVar("T")


def parse_assignments(assignments: Sequence[str]) -> dict[str, str]:
    """Parse `["train.epochs=1"]` to `{"train.epochs": "1"}`.

    Raises:
      UsageError: If an assignment has no `=`, or if a name has two different values.
    """
    parsed: dict[str, str] = {}
    for assignment in assignments:
        key, separator, value = assignment.partition("=")
        if not separator:
            raise UsageError(f"--set {assignment}: expected KEY=VALUE", hint="For example --set train.epochs=1")
        key, value = key.strip(), value.strip()
        if parsed.get(key, value) != value:
            raise UsageError(f"{key} is set twice: to '{parsed[key]}' and to '{value}'", hint="Leave one of them out.")
        parsed[key] = value
    return parsed


def apply_settings(task: T, settings: Mapping[str, str]) -> T:
    """Return a copy of a task with the settings changed; each changed dataclass checks its fields again.

    Args:
      task: A dataclass with nested dataclasses.
      settings: Text of the new value by dotted name.

    Raises:
      UsageError: If a setting is unknown (the error suggests the closest match and lists the legal names), or if a
        text is not a value of the field's type.
    """
    legal = setting_names(task)
    check_settings(settings, legal)
    return _changed(task, "", settings)


def check_settings(settings: Iterable[str], legal: Sequence[str]) -> None:
    """Check that settings exist.

    Args:
      settings: Dotted names.
      legal: The names that exist.

    Raises:
      UsageError: If one does not exist. The hint has the names of the same part of the task, or else the parts.
    """
    for key in settings:
        if key not in legal:
            part = key.partition(".")[0]
            same = [one for one in legal if one.startswith(f"{part}.")]
            error = unknown("setting", key, same or legal)
            if not same:
                error.hint = f"Settings begin with {', '.join(sorted({one.partition('.')[0] for one in legal}))}"
            raise error


def setting_names(value: Any, prefix: str = "") -> list[str]:
    """List the dotted names of all plain fields: numbers, texts, flags, and tuples and dictionaries of them."""
    found = []
    for name, hint in types_of(type(value)).items():
        inner = getattr(value, name)
        if dataclasses.is_dataclass(inner):
            found += setting_names(inner, f"{prefix}{name}.")
        if is_plain(hint) and (prefix or name != "name"):  # `augment` is a dataclass or a text
            found.append(prefix + name)
    return found


def is_plain(hint: Any) -> bool:
    """Return whether a text can have a value of this type: `--set` reaches fields of such types."""
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(is_plain(one) for one in typing.get_args(hint))
    if origin in (tuple, Mapping):
        return all(is_plain(one) for one in typing.get_args(hint) if one is not Ellipsis)
    return hint in (int, float, str, bool)


def _changed(value: T, prefix: str, settings: Mapping[str, str]) -> T:
    """Return the dataclass with all its settings changed at once.

    Some values are valid only together: a backbone and its width.
    """
    changes: dict[str, Any] = {}
    for name, hint in types_of(type(value)).items():
        key = prefix + name
        inside = [one for one in settings if one.startswith(f"{key}.")]
        if key in settings and inside:
            raise UsageError(f"{key} and {inside[0]} cannot both be set", hint="Leave one of them out.")
        if key in settings:
            changes[name] = _convert(hint, settings[key], key)
        elif inside:
            changes[name] = _changed(getattr(value, name), f"{key}.", settings)
    if not changes:
        return value
    try:
        return dataclasses.replace(value, **changes)  # type: ignore[type-var]
    except (TypeError, ValueError) as error:  # raised by the checks of a user's own dataclass
        given = ", ".join(f"{key}={text}" for key, text in settings.items() if key.removeprefix(prefix) in changes)
        raise UsageError(f"{given}: {error}" if given else str(error)) from error


def _convert(hint: Any, text: str, key: str) -> Any:
    """Convert a text to a value of a type.

    Args:
      hint: The type: int, float, str, bool, a Literal, a union or a tuple of these.
      text: From the command line.
      key: The setting's name, for the error.

    Raises:
      UsageError: If the text is not a value of the type.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert_to_one(arguments, text, key)
    if origin is tuple:
        return _convert_parts(arguments, text, key)
    if origin is Mapping:
        return _convert_pairs(arguments, text, key)
    if origin is typing.Literal:
        if text not in arguments:
            raise UsageError(f"{key} must be {describe_choices(arguments)}, got '{text}'")
        return text
    if hint is bool:
        if text.lower() not in ("true", "false"):
            raise UsageError(f"{key} must be true or false, got '{text}'")
        return text.lower() == "true"
    try:
        found = hint(text)
        if hint is float and not is_finite(found):
            raise ValueError(text)
        return found
    except ValueError:
        kind = {int: "a whole number", float: "a number"}.get(hint, hint.__name__)
        raise UsageError(f"{key} must be {kind}, got '{text}'") from None


def _convert_to_one(hints: Sequence[Any], text: str, key: str) -> Any:
    """Convert the text to a value of the first type that accepts it.

    Raises:
      UsageError: If no type does; it names what each of them expects.
    """
    if type(None) in hints and text.lower() in ("none", ""):
        return None
    expected, got = [], ""
    for hint in filter(is_plain, hints):
        try:
            return _convert(hint, text, key)
        except UsageError as error:
            problem, _, got = str(error).partition(", got ")
            if not got:
                raise
            expected.append(problem.removeprefix(f"{key} must be "))
    raise UsageError(f"{key} must be {' or '.join(dict.fromkeys(expected))}, got {got}")


def _convert_parts(hints: Sequence[Any], text: str, key: str) -> tuple[Any, ...]:
    """Convert `a,b` to a tuple; a tuple inside it is written `a:b`."""
    parts = split_texts(text) if _holds_objects(hints) else [part.strip() for part in text.split(",")] if text else []
    if "" in parts:  # an empty class name would shift the index of those after it
        raise UsageError(f"{key} has an empty value between its commas: '{text}'", hint="Remove a comma.")
    if Ellipsis in hints:
        hints = [hints[0]] * len(parts)
    if len(hints) != len(parts):
        raise UsageError(f"{key} must be {len(hints)} values, separated by commas, got '{text}'")
    return tuple(
        _convert(hint, part.replace(":", ",") if typing.get_origin(hint) is tuple else part, key)
        for hint, part in zip(hints, parts, strict=True)
    )


def _holds_objects(hints: Sequence[Any]) -> bool:
    """Return whether the values may be Keras objects, whose texts have commas inside parentheses."""
    return any(object in typing.get_args(hint) for hint in hints)


def _convert_pairs(hints: Sequence[Any], text: str, key: str) -> dict[Any, Any]:
    """Convert `a:1,b:2` to a dictionary; the last colon of a part separates name and value."""
    of_name, of_value = hints
    found: dict[Any, Any] = {}
    for part in text.split(",") if text else []:
        name, colon, value = (one.strip() for one in part.rpartition(":"))
        if not (colon and name and value):
            raise UsageError(f"{key} must be NAME:VALUE, separated by commas, got '{text}'")
        converted = _convert(of_name, name, key)
        if converted in found:
            raise UsageError(f"{key} has {name} twice: '{text}'", hint="Remove one of them.")
        found[converted] = _convert(of_value, value, key)
    return found


def flatten_settings(value: Any, prefix: str = "") -> dict[str, str]:
    """Return the value of each plain field as JSON, by dotted name."""
    return {name: json.dumps(_get(value, name), default=repr) for name in setting_names(value, prefix)}


def _get(value: Any, name: str) -> Any:
    for part in name.split("."):
        value = getattr(value, part)
    return value
