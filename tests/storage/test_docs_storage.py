"""The code block of docs/storage.md runs as it stands there."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "storage.md"


def test_a_backend_of_your_own(tmp_path):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, type] = {}
    exec(compile(block, str(PAGE), "exec"), names)
    suite = names["TestMyStore"]()
    suite.test_what_is_put_is_there(tmp_path)
    suite.test_writers_at_once(tmp_path)
