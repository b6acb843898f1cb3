"""What was done to the site in a storm, and what became of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Report:
    """Faults and promises, counted."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    broken: dict[str, list[str]] = field(default_factory=dict)
    checked: Counter[str] = field(default_factory=Counter)

    def check(self, promise: str, *, holds: bool, otherwise: str) -> None:
        """Count one check of a promise."""
        self.checked[promise] += 1
        self.broken.setdefault(promise, [])
        if not holds:
            self.broken[promise].append(otherwise)

    @property
    def is_whole(self) -> bool:
        """Whether every promise held."""
        return not any(self.broken.values())

    def table(self) -> str:
        """The faults injected and the promises checked, for people."""
        lines = [f"seed {self.seed}", "", "faults injected"]
        lines += [f"  {count:5}  {name}" for name, count in sorted(self.faults.items())]
        lines += ["", "how runs ended"]
        lines += [
            f"  {count:5}  {name}" for name, count in sorted(self.reasons.items())
        ]
        lines += ["", "promises checked"]
        for promise, broken in self.broken.items():
            verdict = f"BROKEN {len(broken)} times" if broken else "held"
            lines.append(f"  {self.checked[promise]:5}  {promise}: {verdict}")
            lines += [f"           {what[:300]}" for what in broken[:5]]
        return "\n".join(lines)
