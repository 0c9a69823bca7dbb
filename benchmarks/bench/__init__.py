"""The benchmarks: this router beside what one would use instead, and beside the limit, in one run on one machine."""
