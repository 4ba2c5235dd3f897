"""The operators' listener: who may ask (`gate`), what there is to ask (`routes` and those who make them), and how it is
told (`answers`, `openapi`). It shares no credential with the data plane.
"""
