"""The scheduler: chooses a host for each instance that has none (Nova's `nova-scheduler`).

`settings` says what to do, `hosts` is what is known of every host, `request` is what one instance needs.
`filters` say which hosts will do, `weighers` say which of those is best, `select` puts the two together and
`explain` says why there was none. All of that is pure. `service` is the loop around it: it reads
instances from SQL, decides, and claims in SQL; `app` feeds it from the Kubernetes API.
"""
