"""The life of a policy, use case by use case. Every step is audited in its own transaction.

Whoever changes a policy locks it first, so that two operators act one after the other, and the
second sees what the first has done. Reading order: ground, drafts, publications, priorities,
overrides, reads.
"""

from emberkeep.xp.service.policies.drafts import (
    create_version,
    delete_draft,
    edit_draft,
    validate_document,
)
from emberkeep.xp.service.policies.overrides import Overrides, put_overrides, read_overrides
from emberkeep.xp.service.policies.priorities import Priorities, read_priorities
from emberkeep.xp.service.policies.publications import (
    cancel_version,
    publish_if_unknown,
    publish_version,
    retire_version,
    roll_back_policy,
)
from emberkeep.xp.service.policies.reads import (
    list_audit,
    list_policies,
    list_versions,
    read_active,
    read_difference,
    read_outline,
    read_version,
    render_policy,
)

__all__ = [
    "Overrides",
    "Priorities",
    "cancel_version",
    "create_version",
    "delete_draft",
    "edit_draft",
    "list_audit",
    "list_policies",
    "list_versions",
    "publish_if_unknown",
    "publish_version",
    "put_overrides",
    "read_active",
    "read_difference",
    "read_outline",
    "read_overrides",
    "read_priorities",
    "read_version",
    "render_policy",
    "retire_version",
    "roll_back_policy",
    "validate_document",
]
