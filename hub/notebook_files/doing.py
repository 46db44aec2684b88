"""Which function does which job. For the child process (`worker`): importing this imports jupytext and nbdime."""

from __future__ import annotations

from hub.errors import BadRequest
from hub.notebook_files import comparing, texts
from hub.notebook_files.jobs import Answer, Combine, Compare, Job, ReadText, Refused, WriteText


def answer(job: Job) -> Answer:
    """The outcome, or what is wrong with what was given."""
    try:
        return _done(job)
    except BadRequest as error:
        return Refused(error.message)
    except Exception as error:
        # Whatever the libraries make of a stranger's text, it is the text that is wrong.
        return Refused(" ".join(f"{type(error).__name__}: {error}".split())[:300])


def _done(job: Job) -> Answer:
    match job:
        case ReadText():
            return texts.read_text(job)
        case WriteText():
            return texts.write_text(job)
        case Combine():
            return texts.combine(job)
        case Compare():
            return comparing.compare(job)
