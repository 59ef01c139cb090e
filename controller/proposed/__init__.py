"""What a change of the manifests would do: the fields that differ, what that means, and on what orcha would act. Pure.

    manifests before, manifests after ──compare──▶ Proposed ──report/proposed_view.py──▶ JSON, a table, a comment

Compared is what the manifests mean, and shown what people wrote: "1h" is "60m", and the order of keys is nothing.
"""
