# SPDX-License-Identifier: MIT
"""Conditions of the library that clang saw decide alone (MC/DC): every condition of a decision of several must
have turned the decision by itself."""


class Conditions:
    def __init__(self):
        self.decisions = {}  # place of a decision: [whether each condition was seen to decide]
        self.owners = {}     # name of a function: its file

    def add(self, export):
        for name, (file, place), seen in export.decisions():
            # Clang names static functions by the last part of the path alone.
            if self.owners.setdefault(name, file) != file:
                raise RuntimeError(f"{name} is in {file} and in {self.owners[name]}: rename one")
            before = self.decisions.get((file, place), [False] * len(seen))
            self.decisions[file, place] = [now or then for now, then in zip(seen, before)]

    def missed(self):
        """(file, place, number of the condition)"""
        return sorted((file, place, index + 1) for (file, place), seen in self.decisions.items()
                      for index, decided in enumerate(seen) if not decided)

    def count(self):
        return sum(len(seen) for seen in self.decisions.values())
