"""When idle things end, as forms: rules of profiles, groups and users as people write them, and back. Pure.

An empty field says nothing: what holds otherwise goes on holding.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypeVar

from hub.config.culling import NEVER, CullingRules, GroupRules, OwnerRules
from hub.web.setting_forms import WrongForm, made, span_text

R = TypeVar("R", bound=OwnerRules)
PREFIX = "culling_"
_SPANS = ("kernel_idle", "workspace_empty", "max_age", "kernel_stuck", "pause_after", "owners_up_to")
_NEVER = frozenset({"never", "no", "none"})
_TABS = {"": None, "ends": True, "keeps": False}


def rules_fields(rules: OwnerRules) -> dict[str, str]:
    """Rules as the form has them, each name with `PREFIX`."""
    fields: dict[str, str] = {
        name: span_text_or_never(getattr(rules, name)) for name in _SPANS if name in type(rules).model_fields
    }
    if isinstance(rules, CullingRules):
        tabs = {value: name for name, value in _TABS.items()}
        fields["cull_connected"] = tabs[rules.cull_connected]
        fields["busy_cpu"] = "" if rules.busy_cpu is None else f"{rules.busy_cpu:g}"
        fields["quiet_hours"] = "none" if rules.quiet_hours == [] else "\n".join(rules.quiet_hours or [])
        fields["time_zone"] = rules.time_zone if rules.quiet_hours else ""
    return {PREFIX + name: text for name, text in fields.items()}


def read_rules_form(shape: type[R], fields: Mapping[str, str]) -> R:
    """The rules that a form describes. Raises WrongForm with the mistake of each field, its name with `PREFIX`."""
    texts = {name: fields.get(PREFIX + name, "").strip() for name in shape.model_fields}
    values: dict[str, Any] = {name: _read_span(texts[name]) for name in _SPANS if name in texts}
    if "busy_cpu" in texts:
        values["cull_connected"] = _TABS.get(texts["cull_connected"])
        values["busy_cpu"] = texts["busy_cpu"].replace(",", ".") or None
        values["quiet_hours"] = read_quiet_field(texts["quiet_hours"])
        values["time_zone"] = texts["time_zone"] or "UTC"
    try:
        return made(shape, values)
    except WrongForm as error:
        raise WrongForm({PREFIX + name: why for name, why in error.mistakes.items()}) from error


def read_quiet_field(text: str) -> list[str] | None:
    """Quiet hours, one on a line: None of nothing, an empty list of “none”."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return None
    return [] if len(lines) == 1 and lines[0].lower() in _NEVER else lines


def explained(error: WrongForm) -> str:
    """All mistakes in one sentence."""
    return "Nothing was saved: " + "; ".join(
        f"{name.removeprefix(PREFIX).replace('_', ' ')}: {why}" for name, why in error.mistakes.items()
    )


def empty_fields(shape: type[OwnerRules] = GroupRules) -> dict[str, str]:
    """The fields of rules that say nothing."""
    return rules_fields(shape())


def span_text_or_never(value: timedelta | str | None) -> str:
    """A span of rules as the form has it; empty for None, which says nothing."""
    if value is None:
        return ""
    return value if isinstance(value, str) else span_text(value)


def _read_span(text: str) -> str | None:
    if not text:
        return None
    return NEVER if text.lower() in _NEVER else text.lower().replace(" ", "")
