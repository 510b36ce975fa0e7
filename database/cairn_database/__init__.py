"""The authority on instance state: tables, migrations, and the transactions that change it.

Everything that must never disagree (quota, host capacity, addresses, state, history) changes together, in one
transaction each, by compare-and-set on the row's version. Who calls what:

    instances   register, tasks, failures, delete            conductor, gateway
    claims      placing instances on hosts                   scheduler
    addresses   the instance's interfaces                    conductor
    quotas      limits and usage of projects                 gateway
    catalog     mirrors of the other resources               their controllers, gateway
    history     actions and events                           gateway

`engine.Database` runs them, on SQLite, PostgreSQL and MariaDB alike. Nothing here knows Kubernetes.
"""

from cairn_database.engine import Database, DatabaseSettings
from cairn_database.errors import (
    AddressesExhausted,
    AddressInUse,
    ConcurrentUpdate,
    DatabaseError,
    DatabaseUnavailable,
    InstanceNotFound,
    MacInUse,
    NameTaken,
    NetworkNotFound,
    ProjectDisabled,
    ProjectNotFound,
    QuotaExceeded,
    SchemaOutdated,
    ServerGroupNotFound,
    StillInUse,
)
from cairn_database.records import (
    InstanceRecord,
    InterfaceRecord,
    KeyPairRecord,
    NewInstance,
    TaskState,
    VmState,
)

__all__ = [
    "AddressInUse",
    "AddressesExhausted",
    "ConcurrentUpdate",
    "Database",
    "DatabaseError",
    "DatabaseSettings",
    "DatabaseUnavailable",
    "InstanceNotFound",
    "InstanceRecord",
    "InterfaceRecord",
    "KeyPairRecord",
    "MacInUse",
    "NameTaken",
    "NetworkNotFound",
    "NewInstance",
    "ProjectDisabled",
    "ProjectNotFound",
    "QuotaExceeded",
    "SchemaOutdated",
    "ServerGroupNotFound",
    "StillInUse",
    "TaskState",
    "VmState",
]
