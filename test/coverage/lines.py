# SPDX-License-Identifier: MIT
"""Lines and branches of the library that clang saw, over all variants of it."""


def lines_of(segments):
    """(line, how often it ran) for each line that can run, as llvm-cov counts it: the largest of what runs on into
    the line and of what begins there."""
    by_line = {}
    for segment in segments:
        by_line.setdefault(segment[0], []).append(segment)
    running_on = None
    for line in range(min(by_line), max(by_line) + 1):
        here = by_line.get(line, [])
        begins = [count for _, _, count, counted, begin, gap in here if counted and begin and not gap]
        counts = begins + ([running_on[2]] if running_on and running_on[3] else [])
        is_skipped = here and here[0][4] and not here[0][3]
        if counts and not is_skipped:
            yield line, max(counts)
        running_on = here[-1] if here else running_on


class Lines:
    def __init__(self):
        self.counts = {}    # (file, line): how often it ran
        self.branches = {}  # place of a condition: how often it was true, and false

    def add(self, export):
        for file, segments in export.segments():
            for line, count in lines_of(segments):
                self.counts[file, line] = self.counts.get((file, line), 0) + count
        for place, true, false in export.branches():
            before = self.branches.get(place, (0, 0))
            self.branches[place] = (before[0] + true, before[1] + false)

    def missed_lines(self):
        return sorted(place for place, count in self.counts.items() if not count)

    def missed_branches(self):
        """(file, place, "true" or "false") for each that was never taken."""
        return sorted((file, place, outcome) for (file, place), counts in self.branches.items()
                      for outcome, count in zip(("true", "false"), counts) if not count)

    def branch_count(self):
        return 2 * len(self.branches)
