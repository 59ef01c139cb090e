"""`orcha init`: from the nodes that answer to the first manifests.

    wish ──finding──▶ what answers, as what ──sizing──▶ bounds, each with its reason ──drafting──▶ YAML ──placing──▶ files

wish, sizing and drafting are pure; finding and machine look; placing alone writes, and only what was loaded and is valid.
"""
