"""The audit log as data: records, Merkle tree, signed checkpoints, exports and their verification.

Pure: bytes in, bytes or findings out. Import from the module that names the thing:
``record``, ``merkle``, ``tiles``, ``checkpoint``, ``proof``, ``export``, ``verify``.
"""
