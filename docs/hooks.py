"""What the site does beside turning Markdown into pages: it writes the reference from the code, and mends links.

The documents are also read where they lie, so they link to source files. The site does not hold those: there such a
link becomes the file's name.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from chappe.reference import PAGES

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\[(?P<words>[^\]]*)\]\((?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """The pages that no file holds: the reference, and what changed."""
    for name, page in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=page()))
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").replace("](docs/", "](")
    files.append(File.generated(config, "changes.md", content=changes))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    folder = posixpath.dirname(page.file.src_uri)
    return LINK.sub(lambda link: within(folder, link), markdown)


def within(folder: str, link: re.Match[str]) -> str:
    """The link as it is, or the name of a file that it leads to outside the documents."""
    target = posixpath.normpath(posixpath.join("docs", folder, link["target"]))
    if "://" in link["target"] or target == "docs" or target.startswith("docs/"):
        return link[0]
    return f"`{target}`"
