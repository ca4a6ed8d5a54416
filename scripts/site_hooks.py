"""Hooks of the site: pages that include a file of the project, and links to files outside of docs/.

`<!-- include: ../CONTRIBUTING.md -->` stands for the text of that file; with `until: ## A heading` for its beginning.
The project's readers follow links to sources; on the site, such a link becomes the path of the file.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any

LOG = logging.getLogger("mkdocs.hooks.site")  # --strict counts its warnings
_INCLUDE = re.compile(r"^<!-- include: (?P<file>\S+)(?: until: (?P<end>.+?))? -->$", re.MULTILINE)
_CODE = r"^```[\s\S]*?^```$|`[^`\n]+`"
_LINK = r"(?<!!)\[(?P<text>[^\]\n]+)\]\((?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)"
_CODE_OR_LINK = re.compile(f"{_CODE}|{_LINK}", re.MULTILINE)


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Return a page's Markdown with what it includes, and with links that the site has."""
    docs = Path(config.docs_dir)
    return adapt(markdown, docs / page.file.src_uri, docs)


def adapt(markdown: str, file: Path, docs: Path) -> str:
    """Return the Markdown of a page with what it includes, and with links that the site has.

    Args:
      markdown: The page's text.
      file: The page's file.
      docs: Folder of all pages.
    """
    return _adapt_links(_include(markdown, file, docs), file.parent, file, docs)


def _include(markdown: str, file: Path, docs: Path) -> str:
    def text(match: re.Match[str]) -> str:
        included = (file.parent / match["file"]).resolve()
        if not included.is_file():
            LOG.warning("%s includes %s, which does not exist", file, match["file"])
            return ""
        found, end, _ = included.read_text().partition(f"\n{match['end']}\n" if match["end"] else "\0")
        if match["end"] and not end:
            LOG.warning("%s: %s has no line '%s'", file, match["file"], match["end"])
        return _adapt_links(found, included.parent, file, docs)

    return _INCLUDE.sub(text, markdown)


def _adapt_links(markdown: str, origin: Path, page: Path, docs: Path) -> str:
    """Return the Markdown with its relative links, outside of code, as they are for a page of the site.

    Args:
      markdown: The text.
      origin: Folder that its links are relative to.
      page: File of the page.
      docs: Folder of all pages.
    """

    def link(match: re.Match[str]) -> str:
        if not match["target"]:
            return match[0]
        target = Path(os.path.normpath(origin / match["target"]))
        if target.is_relative_to(docs):
            return f"[{match['text']}]({os.path.relpath(target, page.parent)}{match['anchor'] or ''})"
        if not target.exists():
            LOG.warning("%s has a link to %s, which does not exist", page, match["target"])
        path = os.path.relpath(target, docs.parent)
        return match["text"] if path in match["text"] else f"{match['text']} (`{path}`)"

    return _CODE_OR_LINK.sub(link, markdown)
