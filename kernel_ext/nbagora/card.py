"""An agent's card as a person reads it: what it offers, what is wrong with it, who signed it, and all of it as JSON."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from nbagora.show import Json

if TYPE_CHECKING:
    import pandas as pd

    from nbagora_lab.cardcheck import CardCheck

__all__ = ["CardSheet"]


class CardSheet(Json):
    """A card in ProtoJSON, which displays as a sheet.

    Attributes:
        problems: All that is wrong with it.
        signature: What can be said of who signed it.
        holds: Whether its signature holds; None where there was nothing to check.
    """

    def __init__(self, check: CardCheck) -> None:
        super().__init__(check.card)
        self.problems = check.problems
        self.signature = check.signature
        self.holds = check.holds

    @property
    def df(self) -> pd.DataFrame:
        """Its rows, as a table of name and value."""
        import pandas as pd

        return pd.DataFrame(self._rows(), columns=["name", "value"])

    def _rows(self) -> list[tuple[str, str]]:
        from nbagora_lab.a2a.cardauth import in_words, wanted

        can = [name for name, has in self.get("capabilities", {}).items() if has is True]
        rows = [("agent", f"{self.get('name', '')} {self.get('version', '')}"), ("what", self.get("description", ""))]
        rows += [(f"skill {one.get('id', '')}", one.get("description", "")) for one in self.get("skills", [])]
        rows += [
            (f"{one.get('protocolBinding', '')} {one.get('protocolVersion', '')}", one.get("url", ""))
            for one in self.get("supportedInterfaces", [])
        ]
        rows += [("takes", ", ".join(self.get("defaultInputModes", [])))]
        rows += [("gives", ", ".join(self.get("defaultOutputModes", []))), ("can", ", ".join(can))]
        if not self.problems:
            rows += [("asks for", in_words([way])) for way in wanted(self)]
        return [*rows, ("signature", self.signature), *(("PROBLEM", one) for one in self.problems or ())]

    def __repr__(self) -> str:
        told = "\n".join(f"{name:<14} {value}" for name, value in self._rows())
        return f"{told}\n{super().__repr__()}"

    def _repr_html_(self) -> str:
        lines = "".join(
            f'<tr><th scope="row" style="text-align:left">{escape(name)}</th>'
            f'<td style="text-align:left">{escape(value)}</td></tr>'
            for name, value in self._rows()
        )
        verdict = f"{len(self.problems)} problems" if self.problems else "fits the specification"
        caption = f"Card of {escape(str(self.get('name', '')))}: {verdict}"
        table = f"<table><caption>{caption}</caption><tbody>{lines}</tbody></table>"
        return f"{table}<details><summary>JSON</summary>{super()._repr_html_()}</details>"
