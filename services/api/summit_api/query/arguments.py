"""The arguments of a statement that is made up of conditions, each with its placeholder."""


class Arguments(list[object]):
    def bind(self, value: object) -> str:
        """Take a value, and give the placeholder that stands for it."""
        self.append(value)
        return f"${len(self)}"


def where(conditions: list[str]) -> str:
    """The clause that all conditions make; nothing for none."""
    return f"WHERE {' AND '.join(conditions)}" if conditions else ""
