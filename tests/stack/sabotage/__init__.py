"""Parts with one thing broken on purpose. Each is the real part but for that; see tests/stack/test_breakage.py."""
