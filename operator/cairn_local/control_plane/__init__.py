"""The local Kubernetes control plane: where its programs come from, its keys, and how it runs.

`binaries` finds (or builds once) etcd, kube-apiserver and kube-controller-manager, `pki` makes the keys,
`plane` turns both into processes. `cairn up` and the integration tests are the two users.
"""
