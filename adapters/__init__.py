"""Provider wire formats, translated: pure bytes and values in and out; nothing here ever sees a socket."""
