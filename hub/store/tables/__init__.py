"""The tables, a module for each subject. See docs/reference/database.md; migrations/versions makes them."""

from __future__ import annotations

from hub.store.tables.base import metadata
from hub.store.tables.containers import kernel_results, kernels, missed_results, runs, sessions, workspaces
from hub.store.tables.ending import culling_postponements, culling_rules
from hub.store.tables.people import groups, memberships, messages, user_numbers, users, views
from hub.store.tables.platforms import lti_contexts, lti_keys, lti_links, lti_platforms, lti_scores, lti_targets
from hub.store.tables.records import FAILED, audit_events, container_lives, hub_settings
from hub.store.tables.signing_in import (
    invitations,
    passwords,
    provider_identities,
    registrations,
    second_factors,
    sign_in_attempts,
    sign_in_failures,
    sign_ins,
    tokens,
    used_once,
)

__all__ = [
    "FAILED",
    "audit_events",
    "container_lives",
    "culling_postponements",
    "culling_rules",
    "groups",
    "hub_settings",
    "invitations",
    "kernel_results",
    "kernels",
    "lti_contexts",
    "lti_keys",
    "lti_links",
    "lti_platforms",
    "lti_scores",
    "lti_targets",
    "memberships",
    "messages",
    "metadata",
    "missed_results",
    "passwords",
    "provider_identities",
    "registrations",
    "runs",
    "second_factors",
    "sessions",
    "sign_in_attempts",
    "sign_in_failures",
    "sign_ins",
    "tokens",
    "used_once",
    "user_numbers",
    "users",
    "views",
    "workspaces",
]
