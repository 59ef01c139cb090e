"""The driver `kubernetes`: sets fields of one container of a StatefulSet, Deployment or Pod, and no others.

    manifest + amounts ──wanted──▶ values of fields ──fields──▶ what is applied ──api──▶ the API server
                                        objects as they are ──rollout──▶ what is still missing
                                                            ──barriers──▶ what would keep a change from working

driver.py has the five verbs, checking.py and writing.py what they need; api.py alone speaks HTTP and needs the extra
`kubernetes`; the rest is pure. What it needs in the cluster, and why: docs/kubernetes.md.
"""

from controller.actuate.kubernetes.driver import Kubernetes, shared_connection

__all__ = ["Kubernetes", "shared_connection"]
