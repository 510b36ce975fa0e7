"""The authority on instance state: tables, migrations, and the transactions that change it.

Everything that must never disagree (quota, host capacity, addresses, state, history) changes together, in one
transaction each, by compare-and-set on the row's version. Who calls what:

    instances   being born, being found, what is asked   conductor, scheduler, gateway
    tasks       doing something to one                   conductor
    failures    to error, to another host, anew          conductor
    removal     going away                               conductor, gateway
    claims      placing instances on hosts               scheduler
    hosts       what hosts have, and how much is used    scheduler
    addresses   the instance's interfaces                conductor
    quotas      taking what projects and users may have  gateway
    quota_limits  limits of classes, projects, users     their controllers, gateway
    usage       who ran what, and when                   gateway
    history     actions and events                       gateway
    catalog     mirrors: images, networks …              their controllers, gateway
    flavors     mirrors: flavors, by id and name         their controller, gateway
    key_pairs   mirrors: key pairs, by user              their controller, gateway
    server_groups  mirrors: server groups, by id         their controller, scheduler, gateway
    tenants     mirrors: projects                        their controller, scheduler, gateway
    nodes       mirrors: compute nodes                   their controller, gateway
    aggregates  mirrors: host aggregates, zones          their controller, gateway
    identity    people, roles, credentials               gateway

`engine.Database` runs them, on SQLite, PostgreSQL and MariaDB alike. Nothing here knows Kubernetes.
"""

from cairn_database.engine import Database, DatabaseSettings
from cairn_database.errors import (
    AddressesExhausted,
    AddressInUse,
    ConcurrentUpdate,
    DatabaseError,
    DatabaseUnavailable,
    DisplayNameTaken,
    IdTaken,
    InstanceNotFound,
    MacInUse,
    NameTaken,
    NetworkNotFound,
    ProjectDisabled,
    ProjectNotFound,
    ProjectTaken,
    QuotaExceeded,
    SchemaOutdated,
    ServerGroupNotFound,
    StillInUse,
)
from cairn_database.records import (
    MAY_SEEK_HOST,
    InstanceRecord,
    InterfaceRecord,
    KeyPairRecord,
    NewInstance,
    TaskState,
    VmState,
)

__all__ = [
    "MAY_SEEK_HOST",
    "AddressInUse",
    "AddressesExhausted",
    "ConcurrentUpdate",
    "Database",
    "DatabaseError",
    "DatabaseSettings",
    "DatabaseUnavailable",
    "DisplayNameTaken",
    "IdTaken",
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
    "ProjectTaken",
    "QuotaExceeded",
    "SchemaOutdated",
    "ServerGroupNotFound",
    "StillInUse",
    "TaskState",
    "VmState",
]
