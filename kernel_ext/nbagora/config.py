"""`%config Lab`: the lab's settings as traits, made from `core.settings.Settings` when first asked for.

What is set here goes before the environment and pyproject.toml, and after options of `%lab start`. A value is checked
when it is set; IPython only logs what is wrong with it, so the next `%lab start` raises it, and a run is red.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traitlets import TraitType
from traitlets.config import Config, Configurable

from nbagora_lab.core.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["Lab", "Setting"]

_SECTION = "Lab"


class Setting(TraitType[Any, Any]):
    """A field of `Settings` as a trait."""

    def validate(self, obj: Any, value: Any) -> Any:  # noqa: ARG002 -- traitlets' signature
        """The value as the field takes it.

        Raises:
            UsageError: It does not fit.
        """
        assert self.name is not None
        return _check(self.name, value)


class Lab(Configurable):
    """Settings for %lab start.

    Args:
        shell: The shell whose configuration file is read.
    """

    _filling: Lab | None = None  # the one that `class_traits` fills

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__()
        self._refused: dict[str, UsageError] = {}
        Lab._filling = self
        if section := shell.config.get(_SECTION):
            self.update_config(Config({_SECTION: section}))

    @classmethod
    def class_traits(cls, **metadata: Any) -> dict[str, TraitType[Any, Any]]:
        """The settings as traits (what `%config` asks for first, of the class alone)."""
        if cls is Lab and Lab._filling is not None:
            return Lab._filling.filled().class_traits(**metadata)
        return super().class_traits(**metadata)

    def update_config(self, config: Config) -> None:
        """Takes settings; what is wrong is raised, and kept for `given`.

        Raises:
            UsageError: A name that is no setting, or a value that does not fit.
        """
        section = config.get(_SECTION, Config())
        if section:
            self.filled()
        for name, value in section.items():
            try:
                _check(name, value)
            except UsageError as error:
                self._refused[name] = error
                raise
            self._refused.pop(name, None)
        super().update_config(config)

    def given(self) -> dict[str, Any]:
        """The settings that were set here.

        Raises:
            UsageError: One was set to what does not fit, and not set anew since; raised once.
        """
        if self._refused:
            raise self._refused.pop(next(iter(self._refused)))
        return {name: getattr(self, name) for name in self.config.get(_SECTION, {})}

    def forget(self) -> None:
        """Takes back all that was set here."""
        self._refused.clear()
        self.config = Config()
        Lab._filling = None

    def filled(self) -> type[Lab]:
        """Its class, now with the settings as traits."""
        if type(self) is Lab:
            from nbagora_lab.core.settings import Settings

            self.add_traits(
                **{
                    name: Setting(field.default, allow_none=True, help=field.description).tag(config=True)
                    for name, field in Settings.model_fields.items()
                }
            )
        return type(self)


def _check(name: str, value: Any) -> Any:
    from pydantic import ValidationError

    from nbagora_lab.core.settings import Settings

    field = Settings.model_fields.get(name)
    if field is None:
        raise UsageError(f"no setting '{name}'", did_you_mean(name, Settings.model_fields))
    try:
        return getattr(Settings(**{name: value}), name)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]["msg"]
        raise UsageError(
            f"%config Lab.{name} can't be {value!r}: {problem}", f"{name}: {field.description}; set it anew"
        ) from None
