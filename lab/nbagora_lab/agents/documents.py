"""A folder of documents that an agent looks things up in: text, Markdown, HTML and PDF, cut into passages.

    guide = Documents("guides")
    trip = Agent(instructions="Answer from the guides.", toolsets=[tools(guide.tool())])

Sources and scores come with each passage. What is no document is left out and told in `skipped`: binaries, links that
lead out of the folder, what is larger than the limit, PDF without text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from nbagora_lab.agents.passages import Embedder, Hit, Passages
from nbagora_lab.core.errors import NotFound

__all__ = ["Documents", "cut"]

_TEXTS = frozenset({".txt", ".md", ".markdown", ".rst", ".html", ".htm", ".pdf"})
_LARGEST = 20 << 20  # bytes of a file
_MOST = 10_000  # files
_LONGEST = 800  # characters of a passage
_PARAGRAPH = re.compile(r"\n\s*\n|(?=\n#{1,6} )")
_SENTENCE = re.compile(r"(?<=[.!?。！？；\n])")


class Documents:
    """The documents of a folder.

    Args:
        folder: Where they are; read when this is made, and by `refresh`.
        embedder: Gives vectors for texts; None: words alone count.

    Attributes:
        skipped: What was left out, by its path within the folder, with the reason.

    Raises:
        NotFound: There is no such folder.
    """

    def __init__(self, folder: Path | str, *, embedder: Embedder | None = None) -> None:
        self.folder = Path(folder).resolve()
        if not self.folder.is_dir():
            raise NotFound(f"there is no folder {folder}", "give one that holds your documents")
        self._embedder = embedder
        self._passages = Passages(embedder=embedder)
        self.skipped: dict[str, str] = {}
        self.refresh()

    def refresh(self) -> int:
        """Reads the folder anew; the number of passages."""
        passages, self.skipped = Passages(embedder=self._embedder), {}
        for path in self._files():
            name = path.relative_to(self.folder).as_posix()
            try:
                text = _read(path)
            except Exception as error:  # noqa: BLE001 -- whatever a broken file does, the others are read
                self.skipped[name] = f"can't be read: {type(error).__name__}"
                continue
            pieces = cut(text) if text else []
            if not pieces:
                self.skipped[name] = "holds no text"
            passages.put([(f"{name}#{number}", "", name, piece) for number, piece in enumerate(pieces, 1)])
        former, self._passages = self._passages, passages
        former.close()
        return len(passages)

    def _files(self) -> Iterator[Path]:
        for number, path in enumerate(sorted(self.folder.rglob("*"))):
            name = path.relative_to(self.folder).as_posix()
            if path.is_symlink() and not path.resolve().is_relative_to(self.folder):
                self.skipped[name] = "a link that leads out of the folder"
            elif not path.is_file() or any(part.startswith(".") for part in Path(name).parts):
                continue
            elif number >= _MOST:
                self.skipped[name] = f"more than {_MOST} files"
            elif path.suffix.lower() not in _TEXTS:
                self.skipped[name] = "no document"
            elif path.stat().st_size > _LARGEST:
                self.skipped[name] = f"larger than {_LARGEST >> 20} MiB"
            else:
                yield path

    def find(self, question: str, limit: int = 5) -> list[Hit]:
        """The passages that fit a question best, the best first."""
        return self._passages.find(question, limit=limit)

    def __len__(self) -> int:
        return len(self._passages)

    def tool(self, limit: int = 5) -> Callable[[str], list[dict[str, Any]]]:
        """A tool that looks things up here."""

        def look_up(question: str) -> list[dict[str, Any]]:
            """Looks a question up in the documents 资料 文档: passages with their sources and scores."""
            return [hit.as_json() for hit in self.find(question, limit)]

        return look_up

    def close(self) -> None:
        """Lets go of the index."""
        self._passages.close()


def cut(text: str, longest: int = _LONGEST) -> list[str]:
    """A text in passages: paragraphs together up to a length, a longer one at the ends of its sentences.

    Example:
        >>> cut("One.\\n\\nTwo. Three.", 8)
        ['One.', 'Two. ', 'Three.']
    """
    pieces: list[str] = []
    for paragraph in _PARAGRAPH.split(text):
        if len(paragraph) <= longest:
            pieces.append(paragraph.strip())
            continue
        sentence_run = ""
        for sentence in _SENTENCE.split(paragraph):
            if sentence_run and len(sentence_run) + len(sentence) > longest:
                pieces.append(sentence_run)
                sentence_run = ""
            sentence_run += sentence
            while len(sentence_run) > longest:
                pieces.append(sentence_run[:longest])
                sentence_run = sentence_run[longest:]
        pieces.append(sentence_run)
    passages: list[str] = []
    for piece in pieces:
        if not piece.strip():
            continue
        if passages and len(passages[-1]) + len(piece) + 1 <= longest:
            passages[-1] += f"\n{piece}"
        else:
            passages.append(piece)
    return passages


def _read(path: Path) -> str:
    kind = path.suffix.lower()
    if kind == ".pdf":
        from pypdf import PdfReader

        with path.open("rb") as file:
            return "\n\n".join(page.extract_text() for page in PdfReader(file).pages)
    raw = path.read_bytes()
    if b"\x00" in raw[:8192]:
        return ""
    text = raw.decode("utf-8", errors="replace")
    if kind in {".html", ".htm"}:
        reader = _Html()
        reader.feed(text)
        return reader.text()
    return text


class _Html(HTMLParser):
    """The text of a page, a paragraph for each block."""

    _HIDDEN = frozenset({"script", "style", "template", "noscript"})
    _BLOCKS = frozenset({"p", "div", "li", "br", "h1", "h2", "h3", "h4", "h5", "h6", "tr", "section", "article", "td"})

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 -- its signature
        self._hidden += tag in self._HIDDEN
        if tag in self._BLOCKS:
            self._pieces.append("\n\n")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in self._HIDDEN and self._hidden > 0

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._pieces.append(data)

    def text(self) -> str:
        return "".join(self._pieces)
