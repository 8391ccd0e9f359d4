"""A folder to put on PYTHONPATH; imports nothing, so that it can be of use to any Python process."""
