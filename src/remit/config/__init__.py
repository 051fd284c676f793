"""One TOML file, ``remit.toml``, as a frozen ``Config``; secrets from the environment only.

Durations are written ``30s``, sizes ``1MiB``; relative paths start at the folder of the file.
What is wrong is said with the line and the whole key: nothing is ignored.
"""

from remit.config.file import CONFIG_FILE, parse_config, read_config
from remit.config.secrets import secret
from remit.config.settings import Config, LimitsConfig, ServerConfig, TlsConfig
from remit.config.units import Address, ByteCount, Duration

__all__ = [
    "CONFIG_FILE",
    "Address",
    "ByteCount",
    "Config",
    "Duration",
    "LimitsConfig",
    "ServerConfig",
    "TlsConfig",
    "parse_config",
    "read_config",
    "secret",
]
