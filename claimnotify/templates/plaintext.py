"""Tidies rendered text, and makes a text of an HTML e-mail that has none of its own."""

from __future__ import annotations

import re
from html.parser import HTMLParser

__all__ = ["clean_html", "one_line", "text_from_html", "tidy"]

_UNWANTED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_CARRIAGE_RETURN = re.compile(r"\r\n?|[\u0085\u2028\u2029]")
_LINE_END = re.compile(r"[ \t]+(?=\n|\Z)")
_BLANK_LINES = re.compile(r"\n{3,}")

# HTML standard, section 13.1.2: these have no end tag.
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "wbr"}
)
_APART = frozenset({"blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "table", "ul"})
_BLOCKS = _APART | {"address", "article", "div", "footer", "header", "li", "main", "section", "tr"}
_HIDDEN = frozenset(("head", "script", "style", "template", "title"))


def tidy(text: str) -> str:
    """Return `text` without control characters, trailing blanks or more than one blank line."""
    text = _UNWANTED.sub("", _CARRIAGE_RETURN.sub("\n", text))
    return _BLANK_LINES.sub("\n\n", _LINE_END.sub("", text)).strip()


def one_line(text: str) -> str:
    """Return `text` as one line: every run of white space, line breaks too, is one space."""
    return " ".join(_UNWANTED.sub("", " ".join(text.split())).split())


def clean_html(html: str) -> str:
    """Return `html` without the characters no HTML document may have."""
    return _UNWANTED.sub("", _CARRIAGE_RETURN.sub("\n", html)).strip()


def text_from_html(html: str) -> str:
    """Return what a reader would see of `html`, with the targets of links in parentheses."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return tidy("\n".join(line.strip() for line in "".join(reader.parts).split("\n")))


class _Reader(HTMLParser):
    """Collects the visible text of a document."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden_in: list[str] = []
        self._link = ""
        self._link_from = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if self._hidden_in or _is_hidden(tag, attributes):
            if tag not in _VOID:
                self._hidden_in.append(tag)
            return
        if tag == "br":
            self.parts.append("\n")
        elif tag == "img":
            self.parts.append(attributes.get("alt", ""))
        elif tag == "a":
            self._link, self._link_from = attributes.get("href", ""), len(self.parts)
        elif tag in ("td", "th"):
            self.parts.append(" ")
        self._break(tag)
        if tag == "li":
            self.parts.append("- ")

    def handle_endtag(self, tag: str) -> None:
        if self._hidden_in:
            if tag in self._hidden_in:
                while self._hidden_in.pop() != tag:
                    pass
            return
        if tag == "a" and self._link:
            label = "".join(self.parts[self._link_from :]).strip()
            if self._link not in (label, f"mailto:{label}"):
                self.parts.append(f" ({self._link.removeprefix('mailto:')})")
            self._link = ""
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if not self._hidden_in:
            text = " ".join(data.split())
            before = " " if data[:1].isspace() else ""
            after = " " if text and data[-1:].isspace() else ""
            if not (before and self.parts and self.parts[-1][-1:] in (" ", "\n")):
                text = before + text
            self.parts.append(text + after)

    def _break(self, tag: str) -> None:
        if tag in _BLOCKS:
            self.parts.append("\n\n" if tag in _APART else "\n")


def _is_hidden(tag: str, attributes: dict[str, str]) -> bool:
    style = attributes.get("style", "").replace(" ", "").lower()
    return tag in _HIDDEN or "display:none" in style or "hidden" in attributes
