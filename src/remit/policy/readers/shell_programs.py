"""What the shell reader knows of programs: which run others, and which read and write files."""

from __future__ import annotations

from msgspec import Struct


class Wrapper(Struct, frozen=True, kw_only=True):
    """How a program takes the command that it runs.

    ``bare`` and ``valued`` are its short options without and with a value; ``long`` its long ones
    that are safe (a value after ``=`` belongs to them, ``long_valued`` take the next word).
    ``skip`` words come before the command.
    """

    bare: str = ""
    valued: str = ""
    long: frozenset[str] = frozenset()
    long_valued: frozenset[str] = frozenset()
    skip: int = 0
    assignments: bool = False


def _wrapper(
    bare: str = "", valued: str = "", long: str = "", long_valued: str = "", skip: int = 0
) -> Wrapper:
    return Wrapper(
        bare=bare,
        valued=valued,
        long=frozenset(long.split()),
        long_valued=frozenset(long_valued.split()),
        skip=skip,
        assignments=skip == 0,
    )


WRAPPERS: dict[str, Wrapper] = {
    "sudo": _wrapper(
        "nEHSkKAbPBN",
        "ughpCDRTUrt",
        "--non-interactive --preserve-env --set-home --stdin --background",
        "--user --group --host --prompt --chdir",
    ),
    "doas": _wrapper("nL", "u"),
    "env": _wrapper("i0v", "uC", "--ignore-environment --null --debug", "--unset --chdir"),
    "nice": _wrapper("0123456789", "n", "", "--adjustment"),
    "ionice": _wrapper("t", "cn", "--ignore", "--class --classdata"),
    "nohup": _wrapper(),
    "timeout": _wrapper(
        "v", "ks", "--preserve-status --foreground --verbose", "--kill-after --signal", 1
    ),
    "time": _wrapper("pvaq", "fo", "--portability --verbose --append", "--format --output"),
    "stdbuf": _wrapper("", "ioe", "", "--input --output --error"),
    "setsid": _wrapper("cfw", "", "--ctty --fork --wait"),
    "command": _wrapper("pvV"),
    "builtin": _wrapper(),
    "exec": _wrapper("cl", "a"),
    "coproc": _wrapper(),
    "xargs": _wrapper(
        "0rtpxo",
        "IELnPsda",
        "--null --no-run-if-empty --verbose --exit --interactive",
        "--max-args --max-procs --max-chars --delimiter --arg-file --replace --max-lines",
    ),
    "chroot": _wrapper("", "", "--skip-chdir", "--userspec --groups", 1),
    "strace": _wrapper("fFqvVtrTyikcCwdDxzZn", "eopsuaISXPbOE"),
    "ltrace": _wrapper("fcCiLrStT", "aAeDFlnopsuxX"),
    "caffeinate": _wrapper("dimsu", "tw"),
    "taskset": _wrapper("ac", "", "--cpu-list --all-tasks", "", 1),
    "chrt": _wrapper("abdfimorR", "TPD", "", "", 1),
    "busybox": _wrapper(),
    "toybox": _wrapper(),
    "pkexec": _wrapper("", "", "--keep-cwd", "--user"),
    "fakeroot": _wrapper("", "lsfib"),
    "unbuffer": _wrapper("p"),
    "torsocks": _wrapper(),
    "proxychains": _wrapper("q", "f"),
    "proxychains4": _wrapper("q", "f"),
    "linux64": _wrapper(),
    "linux32": _wrapper(),
}

# These join the words that follow and give them to a shell.
JOINING: dict[str, Wrapper] = {
    "watch": _wrapper("bcdegptwC", "n", "--color --differences --no-title --precise", "--interval"),
    "ssh": _wrapper("46AaCfGgKkMNnqsTtVvXxYy", "BbcDEeFIiJLlmOopQRSWw", "", "", 1),
}

SHELLS = frozenset({"sh", "bash", "zsh", "dash", "ksh", "ksh93", "mksh", "ash", "rbash", "fish"})
SHELL_LETTERS = frozenset("abefhiklmnprtuvxBCEHPTscoO")
SHELL_LONG = frozenset({"--login", "--posix", "--norc", "--noprofile", "--version", "--help"})

# They run what only they understand, or what arrives later.
OPAQUE = frozenset(
    {
        "alias", "at", "batch", "bind", "compgen", "complete", "enable", "entr", "expect", "fc",
        "gdb", "hash", "lldb", "nsenter", "parallel", "rlwrap", "screen", "script", "systemd-run",
        "tmux", "unshare", "proot", "firejail", "bwrap", "run-parts", "start-stop-daemon",
    }
)  # fmt: skip

# Variables that change which program runs, or what runs before it.
POWERFUL_VARIABLES = frozenset(
    {
        "PATH", "BASH_ENV", "ENV", "IFS", "PS4", "PS0", "PROMPT_COMMAND", "SHELLOPTS", "BASHOPTS",
        "CDPATH", "GLOBIGNORE", "PAGER", "EDITOR", "VISUAL", "BROWSER", "MANPAGER", "LESSOPEN",
        "LESSCLOSE", "PERL5OPT", "PERL5LIB", "PYTHONSTARTUP", "PYTHONPATH", "PYTHONHOME",
        "RUBYOPT", "RUBYLIB", "NODE_OPTIONS", "NODE_PATH", "JAVA_TOOL_OPTIONS", "TAR_OPTIONS",
        "RSYNC_RSH", "ZDOTDIR", "TMOUT", "MAKEFLAGS", "BASH_XTRACEFD",
    }
)  # fmt: skip
POWERFUL_PREFIXES = ("LD_", "DYLD_", "GIT_", "BASH_FUNC", "npm_config_", "NPM_CONFIG_")

# Options through which a program that otherwise runs nothing runs a command.
RUNNING_OPTIONS: dict[str, tuple[str, ...]] = {
    "tar": ("--checkpoint-action", "--to-command", "--use-compress-program", "-I", "-F",
            "--info-script", "--new-volume-script", "--rsh-command", "--rmt-command"),
    "rsync": ("-e", "--rsh", "--rsync-path"),
    "scp": ("-S", "-o"),
    "sftp": ("-S", "-o"),
    "zip": ("-TT", "--unzip-command"),
    "man": ("-P", "--pager", "-H", "--html"),
    "fd": ("-x", "-X", "--exec", "--exec-batch"),
    "fdfind": ("-x", "-X", "--exec", "--exec-batch"),
    "rg": ("--pre", "--hostname-bin"),
    "sort": ("--compress-program",),
    "split": ("--filter",),
    "git": ("--exec-path", "--config-env", "--upload-pack", "--receive-pack", "--exec",
            "--extcmd", "--open-files-in-pager"),
    "wget": ("--use-askpass", "-e", "--execute"),
    "vim": ("-c", "--cmd", "-S", "-s"),
    "vi": ("-c", "--cmd", "-S", "-s"),
    "nvim": ("-c", "--cmd", "-S", "-s"),
    "less": ("+",),
}  # fmt: skip
HARMLESS_GIT_SETTINGS = (
    "user.name=", "user.email=", "color.", "core.quotepath=", "commit.gpgsign=",
    "init.defaultbranch=", "advice.", "safe.directory=",
)  # fmt: skip
RUNNING_GIT_COMMANDS = frozenset({"filter-branch", "bisect", "difftool", "mergetool"})

READERS_OF_FILES = frozenset(
    {
        "cat", "head", "tail", "less", "more", "wc", "sort", "uniq", "diff", "cmp", "file", "stat",
        "md5sum", "sha1sum", "sha256sum", "sha512sum", "od", "xxd", "hexdump", "strings", "base64",
        "base32", "nl", "tac", "rev", "cut", "paste", "join", "comm", "column", "grep", "egrep",
        "fgrep", "rg", "awk", "gawk", "mawk", "sed", "jq", "source", ".", "zcat", "gzip", "gunzip",
        "ls", "du", "readlink", "realpath", "tree", "bat",
    }
)  # fmt: skip
WRITERS_OF_FILES = frozenset(
    {
        "rm", "rmdir", "mkdir", "touch", "truncate", "shred", "unlink", "tee", "mkfifo", "mknod",
        "chmod", "chown", "chgrp", "chattr", "setfacl", "wipefs", "mkfs", "fallocate", "gzip",
        "gunzip", "bzip2", "xz", "zstd", "patch", "split", "srm",
    }
)  # fmt: skip
PATTERN_FIRST = frozenset(
    {"grep", "egrep", "fgrep", "rg", "sed", "awk", "gawk", "mawk", "jq", "chmod", "chown", "chgrp"}
)
COPIERS_OF_FILES = frozenset({"cp", "install", "ln", "rsync", "scp"})
MOVERS_OF_FILES = frozenset({"mv", "rename"})
OUTPUT_OPTIONS: dict[str, tuple[str, ...]] = {
    "curl": ("-o", "--output", "-D", "--dump-header", "-c", "--cookie-jar", "--output-dir"),
    "wget": ("-O", "--output-document", "-o", "--output-file", "-P", "--directory-prefix"),
    "sort": ("-o", "--output"),
    "cp": ("-t", "--target-directory"),
    "mv": ("-t", "--target-directory"),
    "install": ("-t", "--target-directory"),
    "ln": ("-t", "--target-directory"),
    "find": ("-fprint", "-fprint0", "-fprintf", "-fls"),
    "tar": ("-C", "--directory"),
    "unzip": ("-d",),
    "git": ("--output",),
}
WHOLE_FLAGS = frozenset(
    {"find", "java", "javac", "go", "terraform", "openssl", "convert", "ffmpeg"}
)
