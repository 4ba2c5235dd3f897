"""Several worker processes behind one port: who starts them, watches over them and speaks for them to operators.

Workers share the port through SO_REUSEPORT and the limits through Redis; nothing of a call passes through here.
"""
