"""Places: files by name, in a folder of this machine or in an object store.

May import: `errors`, files and, for what is elsewhere, fsspec. Must never: know what the files hold, or show
one that is not whole.
"""
