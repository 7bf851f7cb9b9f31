"""Every error answer, in one place: RFC 9457 problems, their kinds, and which error becomes which of them."""

from summit_api.problems.kinds import Kind
from summit_api.problems.problem import ProblemError

__all__ = ["Kind", "ProblemError"]
