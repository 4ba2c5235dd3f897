"""One file per revision, named after its number: vNNNN_what.py."""
